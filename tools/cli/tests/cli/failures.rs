//! Each command where the disk is full, and where calls of the system fail: it ends with 5,
//! says why in one line, changes nothing by halves, and does it when it is run again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::place::{Place, Run, SmallDisk, names};
use crate::tools::can_trace;

/// Commands in a directory with stores of a thousand tokens, and the store that each leaves.
const COMMANDS: [(&[&str], &str); 7] = [
    (&["load", "disk/new", "tokens.raw"], "disk/new"),
    (&["load", "disk/store", "tokens.raw"], "disk/store"),
    (&["set", "disk/store", "1", "2", "3"], "disk/store"),
    (&["expire", "disk/store", "--before", "9223372036854775807"], "disk/store"),
    (&["compact", "disk/store"], "disk/store"),
    (&["checkpoint", "other", "disk/copy"], "disk/copy"),
    (&["salvage", "other", "disk/copy"], "disk/copy"),
];

/// So often in a row there was enough, and there will be.
const ENOUGH: usize = 3;

const PAGE: u64 = 4_096;

/// More than all files of a store of a thousand tokens have, but for a log of the usual size.
const FILES_PAGES: u64 = 64;

/// So slowly does room for such a log grow.
const LOG_STEP_PAGES: u64 = 512;

/// Makes what the commands work with.
fn prepare(place: &Place) {
    place.ok(&["generate", "--tokens", "500", "--out", "tokens.raw", "--seed", "1"]);
    place.ok(&["generate", "--tokens", "1000", "--out", "first.raw", "--seed", "2"]);
    for store in ["other", "model"] {
        place.ok(&["load", store, "first.raw"]);
        place.ok(&["set", store, "4", "5", "6"]);
    }
}

/// Puts a store where commands find it, and nothing else.
fn begin(place: &Place) {
    for name in names(&place.path("disk")) {
        fs::remove_dir_all(place.path("disk").join(name)).unwrap();
    }
    fs::create_dir(place.path("disk/store")).unwrap();
    for name in names(&place.path("model")) {
        fs::copy(place.path("model").join(&name), place.path("disk/store").join(name)).unwrap();
    }
}

/// What is in a store; nothing if there is none.
fn dump(place: &Place, store: &str) -> Option<String> {
    place.path(store).join("MANIFEST").exists().then(|| place.ok(&["dump", store]))
}

/// What a command leaves in its store, and what there was before.
fn before_and_after(place: &Place, args: &[&str], store: &str) -> [Option<String>; 2] {
    begin(place);
    let before = dump(place, store);
    place.ok(args);
    [before, dump(place, store)]
}

/// Takes all of a file system but so many pages.
fn fill(directory: &Path, pages: u64) {
    let mut file = File::create(directory.join("filler")).unwrap();
    while file.write_all(&[7; PAGE as usize]).is_ok() {}
    let taken = file.metadata().unwrap().len() / PAGE;
    file.set_len(taken.checked_sub(pages).expect("the file system is too small") * PAGE).unwrap();
}

/// Gives back what was taken, also if another test has just forked a process that has the file
/// open until it becomes another program.
fn empty(directory: &Path) {
    File::create(directory.join("filler")).unwrap();
    fs::remove_file(directory.join("filler")).unwrap();
}

#[test]
fn a_full_disk_is_5_at_each_point_of_each_command() {
    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(place.path("disk"), 64) else {
        return;
    };
    prepare(&place);
    for (args, store) in COMMANDS {
        let [before, after] = before_and_after(&place, args, store);
        let (mut refused, mut enough, mut pages) = (0, 0, 0);
        while enough < ENOUGH {
            begin(&place);
            fill(&place.path("disk"), pages);
            let run = place.run(args);
            enough += 1;
            if run.code != 0 {
                run.ends(5);
                assert_eq!(dump(&place, store), before, "{args:?} with {pages} pages");
                (refused, enough) = (refused + 1, 0);
            }
            empty(&place.path("disk"));
            if enough == 0 {
                place.ok(args);
            }
            assert_eq!(dump(&place, store), after, "{args:?} with {pages} pages");
            place.ok(&["verify", store]);
            // Past all other files it is only a log that has no room.
            pages += if pages < FILES_PAGES { 1 } else { LOG_STEP_PAGES };
        }
        println!("{args:?}: refused {refused} times");
        assert!(refused > 0, "{args:?}");
    }
}

/// Runs a command under `strace`.
fn traced(place: &Place, args: &[&str], options: &[&str]) -> Run {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-o"]).arg(place.path("trace")).args(options);
    strace.arg(env!("CARGO_BIN_EXE_ringstore")).args(args).current_dir(place.path(""));
    Run::of(strace.output().unwrap())
}

/// Which calls of a kind a command makes for files of stores: their numbers among all that the
/// same thread makes, where no thread makes one of that number for anything else.
fn numbers(place: &Place, args: &[&str], call: &str) -> BTreeSet<usize> {
    begin(place);
    traced(place, args, &["-e", &format!("trace={call}")]).ends(0);
    let trace = String::from_utf8(place.read("trace")).unwrap();
    let (mut counts, mut numbers, mut others) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for line in trace.lines().filter(|line| line.contains(&format!(" {call}("))) {
        let number = counts.entry(line.split(' ').next()).or_insert(0);
        *number += 1;
        let is_ours = ["disk/", "other"].iter().any(|name| line.contains(name));
        if is_ours { &mut numbers } else { &mut others }.insert(*number);
    }
    &numbers - &others
}

/// Every other call that is made for files fails with what it may fail with.
#[test]
fn a_call_that_fails_is_5_or_is_not_noticed() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("disk")).unwrap();
    prepare(&place);
    let (mut failed, mut unnoticed) = (0, 0);
    for (args, store) in COMMANDS {
        let both = before_and_after(&place, args, store);
        for (call, error) in [
            ("openat", "EMFILE"),
            ("openat", "EIO"),
            ("pwrite64", "EIO"),
            ("fallocate", "ENOSPC"),
            ("fsync", "EIO"),
            ("fdatasync", "EIO"),
            ("rename", "EIO"),
            ("linkat", "EIO"),
            ("mmap", "ENOMEM"),
        ] {
            for number in numbers(&place, args, call).iter().step_by(2) {
                begin(&place);
                let trace = format!("trace={call}");
                let inject = format!("inject={call}:error={error}:when={number}");
                let run = traced(&place, args, &["-e", &trace, "-e", &inject]);
                let found = dump(&place, store);
                // What cannot be read is lost to a rescue, which goes on with the rest.
                let is_rescue = args[0] == "salvage" && run.code == 3;
                assert!(is_rescue || both.contains(&found), "{args:?} {inject}");
                if is_rescue {
                    failed += 1;
                } else if run.code == 0 {
                    assert_eq!(found, both[1], "{args:?} {inject}");
                    unnoticed += 1;
                } else {
                    run.ends(5);
                    failed += 1;
                }
                if found.is_some() {
                    place.ok(&["verify", store]);
                }
            }
        }
    }
    println!("{failed} commands failed, {unnoticed} did not notice");
    assert!(failed >= 50, "{failed}");
}
