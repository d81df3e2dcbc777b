//! Single writes: what they leave, what they answer, and what keeps them from being made.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::apply::{COMMIT, put};
use crate::place::{Place, Run, SmallDisk, id, load_counts, names};

/// Commands that only read, of a store that has token 1.
const READS: [&[&str]; 8] = [
    &["get", "store", "1"],
    &["get", "store", "99"],
    &["range", "store"],
    &["--json", "dump", "store"],
    &["sign", "store", "1", "--peer", "7"],
    &["check", "--store", "store"],
    &["stat", "store"],
    &["verify", "store"],
];

/// Commands that write.
const WRITES: [&[&str]; 5] = [
    &["set", "store", "9", "9", "9"],
    &["remove", "store", "1"],
    &["apply", "store"],
    &["compact", "store"],
    &["expire", "store", "--before", "9"],
];

fn line(token: u64, block: u64, time: u64) -> String {
    format!("{},{},{time}\n", id(token), id(block))
}

fn stat(place: &Place) -> Value {
    place.run(&["--json", "stat", "store"]).ends(0).json().remove(0)
}

#[test]
fn what_is_set_is_found_and_what_is_removed_is_not() {
    let place = Place::store_of(1_000);
    let dump = place.ok(&["dump", "store"]);
    let run = place.run(&["set", "store", "7", "8", "9"]).ends(0);
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1));
    assert!(run.stderr.contains(&format!("token {} set", id(7))), "{run:?}");
    assert_eq!(place.ok(&["get", "store", "7"]), line(7, 8, 9));
    assert_eq!(place.ok(&["dump", "store"]), line(7, 8, 9) + &dump);
    assert_eq!(place.ok(&["range", "store", "--limit", "1"]), line(7, 8, 9));
    assert_eq!(
        (stat(&place)["tokens"].as_u64(), stat(&place)["delta"].as_u64()),
        (Some(1_001), Some(1))
    );

    let run = place.run(&["remove", "store", "7"]).ends(0);
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1));
    assert!(run.stderr.contains(&format!("token {} removed", id(7))), "{run:?}");
    place.run(&["get", "store", "7"]).fails(1, "is not in the store");
    assert_eq!(place.ok(&["dump", "store"]), dump);

    // One that a segment has.
    let first = &dump[..64];
    place.run(&["remove", "store", first]).ends(0);
    assert_eq!(place.ok(&["dump", "store"]), dump.split_once('\n').unwrap().1);
    assert_eq!(stat(&place)["tokens"], 999);
    place.run(&["set", "store", first, "1", "0"]).ends(0);
    assert_eq!(place.ok(&["get", "store", first]), format!("{first},{},0\n", id(1)));
    assert_eq!(stat(&place)["tokens"], 1_000);
    place.ok(&["verify", "store"]);
}

#[test]
fn only_what_is_newer_is_set() {
    let place = Place::empty_store();
    let set = |token: &str, block: &str, time: &str| {
        place.run(&["--json", "set", "store", token, block, time])
    };
    let answer = |block: u64, time: u64, set: bool| json!({"token": id(1), "block": id(block), "time": time, "set": set});
    assert_eq!(set("1", "10", "5").ends(0).json(), [answer(10, 5, true)]);
    let there = format!("token {} not set: it has block {} and time 5", id(1), id(10));
    for (block, time) in [("11", "5"), ("11", "4"), ("10", "5"), ("11", "0")] {
        assert_eq!(set("1", block, time).fails(1, &there).json(), [answer(10, 5, false)]);
    }
    let run = place.run(&["set", "store", "1", "11", "5"]).fails(1, &there);
    assert_eq!(run.stdout, "");
    assert_eq!(place.ok(&["get", "store", "1"]), line(1, 10, 5));
    let hex = format!("0x{}", id(1));
    assert_eq!(set(&hex, "12", "6").ends(0).json(), [answer(12, 6, true)]);
    let last = u64::MAX;
    assert_eq!(set("1", "13", &last.to_string()).ends(0).json(), [answer(13, last, true)]);
    assert_eq!(place.ok(&["dump", "store"]), line(1, 13, last));
}

#[test]
fn removing_says_whether_it_was_there() {
    let place = Place::empty_store();
    let remove = || place.run(&["--json", "remove", "store", "1"]);
    let answer = |removed: bool| json!({"token": id(1), "removed": removed});
    let absent = format!("token {} is not in the store", id(1));
    assert_eq!(remove().fails(1, &absent).json(), [answer(false)]);
    place.ok(&["set", "store", "1", "2", "3"]);
    assert_eq!(remove().ends(0).json(), [answer(true)]);
    assert_eq!(remove().fails(1, &absent).json(), [answer(false)]);
    assert_eq!(place.run(&["remove", "store", "1"]).fails(1, &absent).stdout, "");
    assert_eq!(place.ok(&["dump", "store"]), "");
    // What was removed can be loaded.
    place.write("tokens.csv", "1,2,3\n");
    place.ok(&["load", "store", "tokens.csv"]);
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2, 3));
}

/// Of the newer record and the older one, and of two that are equally new.
#[test]
fn a_load_adds_to_what_was_set() {
    let place = Place::empty_store();
    for token in ["1", "2", "3"] {
        place.ok(&["set", "store", token, "1", "5"]);
    }
    place.write("tokens.csv", "4,2,0\n1,2,6\n2,2,5\n3,2,4\n4,3,0\n");
    let report = place.run(&["--json", "load", "store", "tokens.csv"]).ends(0).json();
    assert_eq!(load_counts(&report), [5, 2, 3, 0]);
    let expected = line(1, 2, 6) + &line(2, 1, 5) + &line(3, 1, 5) + &line(4, 2, 0);
    assert_eq!(place.ok(&["dump", "store"]), expected);
    let stat = stat(&place);
    assert_eq!(
        [&stat["tokens"], &stat["layers"], &stat["delta"]],
        [4, 2, 0].map(|it| json!(it)).each_ref()
    );
    place.ok(&["verify", "store"]);
}

/// Every command opens the store anew, so logs come and go; there is never more than one.
#[test]
fn many_commands_leave_one_log() {
    let place = Place::empty_store();
    for number in 0..40 {
        place.ok(&["set", "store", &number.to_string(), "1", &number.to_string()]);
        if number % 4 == 3 {
            place.ok(&["remove", "store", &(number - 2).to_string()]);
        }
    }
    let expected = (0..40).filter(|number| number % 4 != 1).map(|number| line(number, 1, number));
    assert_eq!(place.ok(&["dump", "store"]), expected.collect::<String>());
    let stat = stat(&place);
    assert_eq!(
        (&stat["tokens"], &stat["delta"], &stat["segments"]),
        (&json!(30), &json!(30), &json!(0))
    );
    let log = fs::metadata(place.file(".log")).unwrap().len();
    assert_eq!(stat["log_bytes"], log);
    assert!(log <= 64 << 10, "{log}");
    assert_eq!(names(&place.path("store")).len(), 3);
}

#[test]
fn stat_tells_what_is_in_the_log() {
    let place = Place::empty_store();
    let operations = [0, 1, 2, 3, 4].map(|token| put(token, 2) + COMMIT).concat();
    place.run_with_input(&["apply", "store"], &operations).ends(0);
    let found = stat(&place);
    assert_eq!((&found["tokens"], &found["delta"]), (&json!(5), &json!(5)));
    assert_eq!(found["recovery"], json!({"commits": 5, "cut_bytes": 0}));
    assert_eq!(found["log_bytes"], fs::metadata(place.file(".log")).unwrap().len());
    let text = place.ok(&["stat", "store"]);
    for (name, figure) in [("delta", "5"), ("commits replayed", "5"), ("bytes cut off", "0")] {
        let line = format!("{name:<16}{figure:>20}");
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn reading_changes_nothing_on_disk() {
    let place = Place::empty_store();
    place.ok(&["set", "store", "1", "2", "3"]);
    let before = place.contents();
    assert!(before.len() >= 4);
    for args in READS {
        place.run(args);
        assert!(place.contents() == before, "{args:?}");
    }
}

/// The last frame of a log is torn, as the loss of power may leave it: it is left out, told,
/// and gone once somebody writes. Those who read do not touch it.
#[test]
fn a_torn_end_is_told_and_left_out() {
    let place = Place::empty_store();
    place.ok(&["set", "store", "1", "2", "3"]);
    place.ok(&["set", "store", "4", "5", "6"]);
    let path = place.file(".log");
    // A header, what was kept, the last commit, and the mark that it is durable.
    let mut log = fs::read(&path).unwrap();
    let used = log.chunks(512).rposition(|block| block.iter().any(|byte| *byte != 0)).unwrap();
    assert_eq!(used, 3);
    log[3 * 512..].fill(0);
    log[2 * 512 + 50] ^= 1;
    fs::write(&path, &log).unwrap();
    fs::create_dir(place.path("copy")).unwrap();
    for name in names(&place.path("store")) {
        fs::copy(place.path(&format!("store/{name}")), place.path(&format!("copy/{name}")))
            .unwrap();
    }

    let before = place.contents();
    for _ in 0..2 {
        let found = stat(&place);
        assert_eq!(found["recovery"]["commits"], 1);
        let cut = found["recovery"]["cut_bytes"].as_u64().unwrap();
        assert!((50..=512).contains(&cut), "{cut}");
        assert_eq!((&found["tokens"], &found["delta"]), (&json!(1), &json!(1)));
    }
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2, 3));
    place.ok(&["verify", "store"]);
    assert!(place.contents() == before);

    // So does who loads.
    let run = place.run(&["load", "copy", "/dev/null", "--format", "csv"]);
    assert!(run.stderr.contains("bytes of commits that a crash cut off"), "{run:?}");
    assert_eq!(place.ok(&["dump", "copy"]), line(1, 2, 3));

    let run = place.run(&["--json", "remove", "store", "4"]).ends(1);
    assert_eq!(run.stderr.lines().count(), 2, "{run:?}");
    assert!(run.stderr.contains("bytes of commits that a crash cut off"), "{run:?}");
    let run = place.run(&["set", "store", "7", "8", "9"]).ends(0);
    assert_eq!(run.stderr, format!("ringstore: token {} set\n", id(7)));
    assert_eq!(stat(&place)["recovery"]["cut_bytes"], 0);
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2, 3) + &line(7, 8, 9));
}

/// A byte of a commit that was on disk before another one was written.
#[test]
fn a_damaged_log_is_3_for_every_command() {
    let place = Place::empty_store();
    let operations = [1, 2, 3].map(|token| put(token, 2) + COMMIT).concat();
    place.run_with_input(&["apply", "store"], &operations).ends(0);
    let path = place.file(".log");
    let good = fs::read(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_string();
    for (byte, part) in [
        (20, "log header at byte 12"),
        (512 + 4, "log frame at byte 512"),
        (512 + 40, "log frame at byte 512"),
        (2 * 512 + 40, "log frame at byte 1024"),
        // It was the last one, but closing said that it is on disk.
        (3 * 512 + 40, "log frame at byte 1536"),
    ] {
        let mut damaged = good.clone();
        damaged[byte] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let before = place.contents();
        let reason = format!("{name} is damaged: {part}");
        for args in READS.into_iter().chain(WRITES) {
            if args[0] != "verify" {
                place.run(args).fails(3, &reason);
            }
        }
        let run = place.run(&["--json", "verify", "store"]).fails(3, "is damaged in 1 places");
        let damage = &run.json()[0]["damages"][0];
        assert!(damage["path"].as_str().unwrap().ends_with(&name), "{damage}");
        assert!(part.ends_with(&format!(" {}", damage["offset"])), "{damage}");
        assert!(place.contents() == before);
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(place.ok(&["dump", "store"]).lines().count(), 3);
    fs::remove_file(&path).unwrap();
    place.run(&["get", "store", "1"]).fails(3, "no such file");
    place.run(&["set", "store", "1", "2", "3"]).fails(3, "no such file");
}

#[test]
fn a_log_of_the_future_is_3() {
    let place = Place::empty_store();
    place.ok(&["set", "store", "1", "2", "3"]);
    let path = place.file(".log");
    let mut log = fs::read(&path).unwrap();
    log[8..12].copy_from_slice(&77u32.to_le_bytes());
    // Its checksum, of the salt and all of the header but itself, is right: this is no damage.
    let mut checksum = crc32fast::Hasher::new();
    for part in [64..72, 0..12, 16..72] {
        checksum.update(&log[part]);
    }
    log[12..16].copy_from_slice(&checksum.finalize().to_le_bytes());
    fs::write(&path, &log).unwrap();
    for args in [&["get", "store", "1"][..], &["set", "store", "1", "2", "4"]] {
        place.run(args).fails(3, "format version 77");
    }
}

/// Runs with files of at most so many blocks of 512 bytes. The signal is ignored, so that
/// the call itself fails.
fn limited(place: &Place, blocks: u64, args: &[&str]) -> Run {
    let script = format!(r#"trap '' XFSZ; ulimit -f {blocks}; exec "$0" "$@""#);
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_ringstore")]).args(args);
    Run::of(command.current_dir(place.path("")).output().unwrap())
}

#[test]
fn a_limit_on_file_size_is_5_and_changes_nothing() {
    let place = Place::empty_store();
    place.ok(&["set", "store", "1", "2", "3"]);
    let dump = place.ok(&["dump", "store"]);
    for args in [&["set", "store", "4", "5", "6"][..], &["remove", "store", "1"]] {
        limited(&place, 2, args).fails(5, "File too large");
        assert_eq!(place.ok(&["dump", "store"]), dump);
    }
    place.ok(&["set", "store", "4", "5", "6"]);
    assert_eq!(place.ok(&["dump", "store"]), dump + &line(4, 5, 6));
    assert_eq!(names(&place.path("store")).len(), 3);
}

#[test]
fn no_space_is_5_and_the_same_works_once_there_is_room() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path("disk"), 2) else {
        eprintln!(
            "SKIPPED: no_space_is_5_and_the_same_works_once_there_is_room: this user may not mount a tmpfs"
        );
        return;
    };
    place.write("one.csv", "1,2,3\n");
    place.ok(&["load", "disk/store", "one.csv"]);
    // Enough for a segment and a manifest, but not for a log of the usual size.
    let operations = |token| put(token, 6) + COMMIT;
    for _ in 0..2 {
        let run = place.run_with_input(&["apply", "disk/store"], operations(4));
        assert_eq!(run.fails(5, "no room for").stdout, "");
        assert_eq!(place.ok(&["dump", "disk/store"]), line(1, 2, 3));
    }
    // A log for one commit is small, but there has to be room for it.
    let filler = place.path("disk/filler");
    let chunk = [7; 4096];
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&chunk).is_ok() {}
    drop(file);
    for args in [&["set", "disk/store", "4", "5", "6"][..], &["remove", "disk/store", "1"]] {
        let run = place.run(args).ends(5);
        assert!(
            ["no room for", "No space left on device"].iter().any(|why| run.stderr.contains(why)),
            "{run:?}"
        );
        assert_eq!(place.ok(&["dump", "disk/store"]), line(1, 2, 3));
    }
    fs::remove_file(filler).unwrap();
    place.ok(&["set", "disk/store", "4", "5", "6"]);
    disk.remount("size=64m");
    place.run_with_input(&["apply", "disk/store"], operations(7)).ends(0);
    let expected = [line(1, 2, 3), line(4, 5, 6), line(7, 1, 6)].concat();
    assert_eq!(place.ok(&["dump", "disk/store"]), expected);
    place.ok(&["verify", "disk/store"]);
}

#[test]
fn a_read_only_mount_is_5_to_write_and_can_be_read() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path("store"), 64) else {
        eprintln!(
            "SKIPPED: a_read_only_mount_is_5_to_write_and_can_be_read: this user may not mount a tmpfs"
        );
        return;
    };
    place.write("one.csv", "1,2,3\n");
    place.ok(&["load", "store", "one.csv"]);
    place.ok(&["set", "store", "4", "5", "6"]);
    disk.remount("ro");
    for args in WRITES {
        place.run(args).fails(5, "store/LOCK: Read-only file system");
    }
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2, 3) + &line(4, 5, 6));
    assert_eq!(stat(&place)["recovery"], json!({"commits": 1, "cut_bytes": 0}));
    place.ok(&["verify", "store"]);
    disk.remount("rw");
    place.ok(&["remove", "store", "1"]);
}

/// Somebody who may read the store, but not write to it.
#[test]
fn no_permission_is_5_to_write_and_can_be_read() {
    let place = Place::empty_store();
    place.ok(&["set", "store", "1", "2", "3"]);
    let set_mode = |name: &str, mode| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in names(&place.path("store")) {
        set_mode(&format!("store/{name}"), 0o444);
    }
    set_mode("", 0o755);
    set_mode("store", 0o555);
    // Others may not go where the program was built. If this process wrote the copy, a child
    // that it starts meanwhile for another test could keep it from being run.
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_ringstore")).arg(place.path("ringstore"));
    assert!(copy.status().unwrap().success());
    let probe = place.path("store/probe");
    let is_root = fs::File::create(&probe).is_ok_and(|_| fs::remove_file(&probe).is_ok());
    let run = |args: &[&str]| {
        let mut command = Command::new(place.path("ringstore"));
        command.args(args).current_dir(place.path("")).stdin(Stdio::null());
        if is_root {
            // Nobody, by convention.
            command.uid(65_534).gid(65_534);
        }
        Run::of(command.output().unwrap())
    };
    let before = place.contents();
    for args in WRITES {
        run(args).fails(5, "store/LOCK: Permission denied");
    }
    assert_eq!(run(&["dump", "store"]).ends(0).stdout, line(1, 2, 3));
    for args in READS {
        assert_ne!(run(args).code, 5, "{args:?}");
    }
    assert!(place.contents() == before);
    set_mode("store", 0o755);
}

#[test]
fn answers_that_nobody_reads_change_no_verdict() {
    let place = Place::empty_store();
    let run = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Run::of(place.command(args).stdout(writer).output().unwrap())
    };
    assert_eq!(run(&["--json", "set", "store", "1", "2", "3"]).ends(0).stderr, "");
    run(&["--json", "set", "store", "1", "2", "3"]).fails(1, "not set");
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2, 3));
    assert_eq!(run(&["--json", "remove", "store", "1"]).ends(0).stderr, "");
    run(&["--json", "remove", "store", "1"]).fails(1, "is not in the store");
    assert_eq!(place.ok(&["dump", "store"]), "");
}
