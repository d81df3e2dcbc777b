//! What keeps a store small, and what is kept of it: compactions, expiry, checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::apply::{COMMIT, put};
use crate::place::{Place, Run, SmallDisk, id, names, other_file_system};

fn line(token: u64, block: u64, time: u64) -> String {
    format!("{},{},{time}\n", id(token), id(block))
}

fn stat(place: &Place, store: &str) -> Value {
    place.run(&["--json", "stat", store]).ends(0).json().remove(0)
}

/// All files, with all their bytes and when they were changed.
fn files(place: &Place) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = place.contents();
    files.retain(|path, _| path.is_file());
    files
}

/// A store of a thousand tokens, of which another layer updates one and adds one, and a log
/// removes the one that it had first.
fn layered() -> Place {
    let place = Place::store_of(1_000);
    let dump = place.ok(&["dump", "store"]);
    let (first, second) = (&dump[..64], &dump.lines().nth(1).unwrap()[..64]);
    place.write("more.csv", format!("{second},7,{}\n1,2,3\n", u64::MAX));
    place.ok(&["load", "store", "more.csv"]);
    place.ok(&["remove", "store", first]);
    place
}

#[test]
fn a_compaction_makes_one_layer_and_says_what_came_of_it() {
    let place = layered();
    let (dump, before) = (place.ok(&["dump", "store"]), stat(&place, "store"));
    assert_eq!((&before["layers"], &before["delta"]), (&json!(2), &json!(1)));
    let report = place.run(&["--json", "compact", "store"]).ends(0).json();
    let after = stat(&place, "store");
    assert_eq!(
        report,
        [json!({
            "tokens": 1_000,
            "layers_before": 2,
            "layers": 1,
            "segment_bytes_before": before["segment_bytes"],
            "segment_bytes": after["segment_bytes"],
        })]
    );
    assert_eq!(
        (&after["layers"], &after["delta"], &after["log_bytes"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!(after["each_layer"][0]["fresh"], 1_000);
    assert_eq!(place.ok(&["dump", "store"]), dump);
    assert_eq!(names(&place.path("store")).len(), 3);
    place.ok(&["verify", "store"]);

    // There is nothing left to do.
    let before = place.contents();
    let run = place.run(&["compact", "store"]).ends(0);
    let bytes = after["segment_bytes"].as_u64().unwrap() / 1_000;
    let said = format!("store: 1,000 tokens in 1 layers, 1 before; {bytes},");
    assert!(run.stdout.is_empty() && run.stderr.contains(&said), "{run:?}");
    assert!(place.contents() == before);
}

#[test]
fn a_compaction_of_nothing_leaves_nothing() {
    let place = Place::empty_store();
    let nothing = json!({
        "tokens": 0, "layers_before": 0, "layers": 0, "segment_bytes_before": 0, "segment_bytes": 0,
    });
    assert_eq!(place.run(&["--json", "compact", "store"]).ends(0).json(), [nothing]);
    place.ok(&["set", "store", "1", "2", "3"]);
    place.ok(&["compact", "store"]);
    place.ok(&["remove", "store", "1"]);
    let report = place.run(&["--json", "compact", "store"]).ends(0).json().remove(0);
    assert_eq!((&report["layers_before"], &report["layers"]), (&json!(1), &json!(0)));
    assert_eq!(names(&place.path("store")), ["LOCK", "MANIFEST"]);
}

#[test]
fn what_is_older_is_removed() {
    let place = Place::new();
    let last = u64::MAX;
    place.write("tokens.csv", format!("1,1,0\n2,1,6\n3,1,7\n4,1,8\n5,1,{last}\n"));
    place.ok(&["load", "store", "tokens.csv"]);
    place.ok(&["set", "store", "6", "1", "2"]);
    let expire = |before: u64| {
        let before = before.to_string();
        place.run(&["--json", "expire", "store", "--before", &before]).ends(0).json()
    };
    let report = |examined: u64, removed: u64| {
        [json!({"examined": examined, "removed": removed, "is_complete": true})]
    };
    assert_eq!(expire(0), report(6, 0));
    assert_eq!(expire(7), report(6, 3));
    assert_eq!(place.ok(&["dump", "store"]), line(3, 1, 7) + &line(4, 1, 8) + &line(5, 1, last));
    assert_eq!(expire(7), report(3, 0));
    let run = place.run(&["expire", "store", "--before", "8"]).ends(0);
    assert_eq!(run.stdout, "");
    assert_eq!(run.stderr, "ringstore: store: 3 tokens looked at, 1 removed\n");
    // A time to come is a time. What has the last of all is older than none.
    assert_eq!(expire(last), report(2, 1));
    assert_eq!(place.ok(&["dump", "store"]), line(5, 1, last));
    place.ok(&["verify", "store"]);
    // This gives the room back.
    assert_eq!(stat(&place, "store")["each_layer"][0]["fresh"], 5);
    place.ok(&["compact", "store"]);
    assert_eq!(stat(&place, "store")["each_layer"][0]["fresh"], 1);
    assert_eq!(place.ok(&["dump", "store"]), line(5, 1, last));
}

#[test]
fn a_checkpoint_is_a_store_of_its_own() {
    let place = layered();
    let (dump, before) = (place.ok(&["dump", "store"]), stat(&place, "store"));
    let contents = files(&place);
    let report =
        place.run(&["--json", "checkpoint", "store", "a/new/copy"]).ends(0).json().remove(0);
    assert_eq!(report["tokens"], 1_000);
    assert_eq!(
        (&report["linked_bytes"], &report["copied_bytes"]),
        (&before["segment_bytes"], &json!(0))
    );
    let written = report["written_bytes"].as_u64().unwrap();
    assert!(written > 0);
    assert_eq!(
        stat(&place, "a/new/copy")["segment_bytes"],
        before["segment_bytes"].as_u64().unwrap() + written
    );
    let after = files(&place);
    assert!(contents.iter().all(|(path, file)| after.get(path) == Some(file)));
    assert_eq!(place.ok(&["dump", "a/new/copy"]), dump);
    place.ok(&["verify", "a/new/copy"]);

    // Each goes its own way.
    place.ok(&["remove", "store", "1"]);
    place.ok(&["compact", "store"]);
    place.ok(&["set", "a/new/copy", "9", "9", "9"]);
    assert_eq!(stat(&place, "store")["tokens"], 999);
    assert_eq!(stat(&place, "a/new/copy")["tokens"], 1_001);
    place.ok(&["verify", "store"]);
    place.ok(&["verify", "a/new/copy"]);

    // A directory that is there and empty does as well.
    fs::create_dir(place.path("empty")).unwrap();
    let run = place.run(&["checkpoint", "store", "empty"]).ends(0);
    let bytes = fs::metadata(place.file(".seg")).unwrap().len();
    let bytes = format!("{},{:03}", bytes / 1_000, bytes % 1_000);
    let said = format!("999 tokens in empty: {bytes} bytes linked, 0 copied, 0 written");
    assert_eq!((run.stdout.as_str(), run.stderr), ("", format!("ringstore: {said}\n")));
    assert_eq!(place.ok(&["dump", "empty"]), place.ok(&["dump", "store"]));
}

#[test]
fn a_checkpoint_on_another_file_system_is_a_copy() {
    let place = layered();
    let Some(elsewhere) = other_file_system(&place) else {
        eprintln!(
            "SKIPPED: a_checkpoint_on_another_file_system_is_a_copy: there is no other file system"
        );
        return;
    };
    let copy = elsewhere.path().join("copy");
    let copy = copy.to_str().unwrap();
    let report = place.run(&["--json", "checkpoint", "store", copy]).ends(0).json().remove(0);
    let bytes = &stat(&place, "store")["segment_bytes"];
    assert_eq!((&report["linked_bytes"], &report["copied_bytes"]), (&json!(0), bytes));
    assert_eq!(place.ok(&["dump", copy]), place.ok(&["dump", "store"]));
    place.ok(&["verify", copy]);
}

#[test]
fn a_checkpoint_goes_where_nothing_is_and_not_into_the_store() {
    let place = layered();
    place.write("file", "");
    fs::create_dir(place.path("foreign")).unwrap();
    place.write("foreign/letter.txt", "Dear Sir");
    let before = place.contents();
    for (destination, reason) in [
        ("store", "cannot create a store in store: it holds "),
        ("./store/", "it holds "),
        ("foreign", "cannot create a store in foreign: it holds letter.txt"),
        ("file", "cannot create a store in file: not a directory"),
        ("file/copy", "not a directory"),
        ("store/copy", "store/copy is in the directory of the store"),
        ("store/a/new/copy", "store/a/new/copy is in the directory of the store"),
        ("foreign/../store/copy", "is in the directory of the store"),
    ] {
        place.run(&["checkpoint", "store", destination]).fails(2, reason);
        assert!(place.contents() == before, "{destination}");
    }
    // Somebody is about to create one there.
    fs::create_dir(place.path("locked")).unwrap();
    let lock = File::create(place.path("locked/LOCK")).unwrap();
    lock.lock().unwrap();
    place
        .run(&["checkpoint", "store", "locked"])
        .fails(4, "locked/LOCK is locked by another writer");
}

/// What was answered is in it, and the others are not held up by the writer.
#[test]
fn a_checkpoint_is_made_while_another_process_writes() {
    let place = Place::store_of(100);
    let mut command = place.command(&["apply", "store"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for token in 1..4 {
        stdin.write_all((put(token, 5) + COMMIT).as_bytes()).unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), "{\"committed\":1}");
        let copy = format!("copy-{token}");
        place.ok(&["checkpoint", "store", &copy]);
        assert_eq!(stat(&place, &copy)["tokens"], 100 + token);
        place.ok(&["verify", &copy]);
    }
    drop(stdin);
    Run::of(child.wait_with_output().unwrap()).ends(0);
    assert_eq!(place.ok(&["dump", "copy-3"]), place.ok(&["dump", "store"]));
}

#[test]
fn no_space_is_5_and_changes_nothing() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path("disk"), 4) else {
        eprintln!("SKIPPED: no_space_is_5_and_changes_nothing: this user may not mount a tmpfs");
        return;
    };
    place.ok(&["generate", "--tokens", "30000", "--out", "tokens.raw"]);
    place.write("one.csv", "1,2,3\n");
    place.ok(&["load", "disk/store", "tokens.raw"]);
    place.ok(&["load", "disk/store", "one.csv"]);
    place.ok(&["load", "store", "tokens.raw"]);
    let (dump, before) = (place.ok(&["dump", "disk/store"]), files(&place));
    for args in [
        &["compact", "disk/store"][..],
        &["expire", "disk/store", "--before", "18446744073709551615"],
        &["checkpoint", "store", "disk/a/copy"],
    ] {
        place.run(args).fails(5, "no room for");
        assert!(files(&place) == before, "{args:?}");
    }
    disk.remount("size=64m");
    place.ok(&["compact", "disk/store"]);
    assert_eq!(place.ok(&["dump", "disk/store"]), dump);
    place.ok(&["checkpoint", "store", "disk/a/copy"]);
    place.ok(&["expire", "disk/store", "--before", "18446744073709551615"]);
    assert_eq!(place.ok(&["dump", "disk/store"]), "");
    assert_eq!(stat(&place, "disk/a/copy")["tokens"], 30_000);
}
