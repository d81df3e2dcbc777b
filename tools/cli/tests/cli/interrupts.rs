//! Ctrl-C ends every command with 130 and leaves nothing of it behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use crate::place::{Place, Run, interrupt, names, other_file_system, signal, wait_until};

/// A load that has read some records and waits for more.
fn waiting_load(place: &Place) -> Child {
    let mut command = place.command(&["load", "a/new/store", "-", "--format", "csv"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"1,2,3\n4,5,6\n").unwrap();
    wait_until(|| place.path("a/new/store/MANIFEST").exists());
    child
}

#[test]
fn a_load_that_waits_for_input_leaves_nothing() {
    let place = Place::new();
    for name in ["INT", "TERM"] {
        let mut child = waiting_load(&place);
        let still_open = child.stdin.take();
        signal(&child, name);
        Run::of(child.wait_with_output().unwrap()).fails(130, "interrupted");
        drop(still_open);
        assert!(place.names().is_empty());
    }
}

/// The signal comes while records are brought in order or written, or just before or
/// after that: there is nothing, or all.
#[test]
fn a_load_that_has_read_everything_leaves_nothing_or_all() {
    let place = Place::new();
    place.ok(&["generate", "--tokens", "200000", "--out", "tokens.raw"]);
    let records = place.read("tokens.raw");
    for (name, is_writing) in [("INT", false), ("TERM", false), ("INT", true), ("TERM", true)] {
        let mut command = place.command(&["load", "store", "-", "--format", "raw"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&records).unwrap();
        drop(stdin);
        let segment = || names(&place.path("store")).iter().any(|name| name.contains("seg"));
        if is_writing {
            wait_until(segment);
        }
        signal(&child, name);
        let run = Run::of(child.wait_with_output().unwrap());
        if run.code == 0 {
            assert!(place.ok(&["verify", "store"]).starts_with("200,000 records"));
            std::fs::remove_dir_all(place.path("store")).unwrap();
        } else {
            run.fails(130, "interrupted");
        }
        assert_eq!(place.names(), ["tokens.raw"]);
    }
}

/// Whoever waits for the lock has it only when nothing is left to be removed, however
/// much that was.
#[test]
fn a_load_that_fails_keeps_its_lock_until_nothing_is_left() {
    let place = Place::new();
    let mut child = waiting_load(&place);
    for number in 0..2_000 {
        place.write(&format!("a/new/store/{number:016x}.seg.tmp"), "");
    }
    let lock = File::open(place.path("a/new/store/LOCK")).unwrap();
    assert!(lock.try_lock().is_err());
    child.stdin.take().unwrap().write_all(b"bad\n").unwrap();
    lock.lock().unwrap();
    assert!(place.names().is_empty());
    Run::of(child.wait_with_output().unwrap()).fails(2, "line 3");
}

#[test]
fn a_load_leaves_a_directory_that_was_there() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("a/new/store")).unwrap();
    let mut child = waiting_load(&place);
    let still_open = child.stdin.take();
    interrupt(&child);
    Run::of(child.wait_with_output().unwrap()).fails(130, "interrupted");
    drop(still_open);
    assert!(names(&place.path("a/new/store")).is_empty());
}

#[test]
fn a_load_into_a_store_leaves_it_as_it_was() {
    let place = Place::store_of(100);
    place.ok(&["set", "store", "1", "2", "1"]);
    let (dump, before) = (place.ok(&["dump", "store"]), names(&place.path("store")));
    let mut command = place.command(&["load", "store", "-", "--format", "csv"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"1,2,3\n4,5,6\n").unwrap();
    // It has the store open once what was in a log is in another one.
    wait_until(|| names(&place.path("store")) != before);
    let still_open = child.stdin.take();
    interrupt(&child);
    Run::of(child.wait_with_output().unwrap()).fails(130, "interrupted");
    drop(still_open);
    assert_eq!(place.ok(&["dump", "store"]), dump);
    place.ok(&["verify", "store"]);
}

/// Two layers of many tokens.
fn layered_store() -> Place {
    let place = Place::store_of(400_000);
    place.ok(&["generate", "--tokens", "1000", "--seed", "1", "--out", "more.raw"]);
    place.ok(&["load", "store", "more.raw"]);
    place
}

/// The signal comes once the new layer has a file. It is written and gone again, or, if that
/// was faster, the only one.
#[test]
fn a_compaction_leaves_what_there_was_or_one_layer() {
    let place = layered_store();
    let before = names(&place.path("store"));
    let dump = place.ok(&["dump", "store"]);
    for name in ["INT", "TERM"] {
        let child = place.command(&["compact", "store"]).spawn().unwrap();
        wait_until(|| names(&place.path("store")) != before);
        signal(&child, name);
        let run = Run::of(child.wait_with_output().unwrap());
        let layers = &place.run(&["--json", "stat", "store"]).ends(0).json()[0]["layers"];
        assert!(place.ok(&["dump", "store"]) == dump);
        if run.code == 0 {
            assert_eq!(layers, 1);
            break;
        }
        run.fails(130, "interrupted");
        assert_eq!(layers, 2);
        assert_eq!(names(&place.path("store")), before);
    }
    place.ok(&["verify", "store"]);
}

/// The signal comes once something was removed, and is in a log; what is said to have been
/// removed was, and nothing else.
#[test]
fn an_expiry_keeps_what_it_has_removed() {
    let place = Place::store_of(400_000);
    let expire = ["--json", "expire", "store", "--before", "18446744073709551615"];
    let child = place.command(&expire).spawn().unwrap();
    wait_until(|| names(&place.path("store")).iter().any(|name| name.contains(".log")));
    interrupt(&child);
    let run = Run::of(child.wait_with_output().unwrap());
    let report = run.json().remove(0);
    let removed = report["removed"].as_u64().unwrap();
    if run.code == 0 {
        assert_eq!((removed, &report["is_complete"]), (400_000, &true.into()));
    } else {
        run.fails(130, "tokens looked at");
        assert_eq!((&report["examined"], &report["is_complete"]), (&removed.into(), &false.into()));
        assert!((1..400_000).contains(&removed), "{report}");
    }
    let stat = place.run(&["--json", "stat", "store"]).ends(0).json().remove(0);
    assert_eq!(stat["tokens"], 400_000 - removed);
    assert_eq!(place.ok(&["dump", "store"]).lines().count() as u64, 400_000 - removed);
    place.ok(&["verify", "store"]);
}

/// The signal comes while files are copied to another file system, or just after that.
#[test]
fn a_checkpoint_leaves_nothing_or_all() {
    let place = Place::store_of(400_000);
    let Some(elsewhere) = other_file_system(&place) else {
        eprintln!("SKIPPED: a_checkpoint_leaves_nothing_or_all: there is no other file system");
        return;
    };
    let copy = elsewhere.path().join("a/new/copy");
    let child = place.command(&["checkpoint", "store", copy.to_str().unwrap()]).spawn().unwrap();
    wait_until(|| copy.exists() && names(&copy).iter().any(|name| name.contains("seg")));
    interrupt(&child);
    let run = Run::of(child.wait_with_output().unwrap());
    if run.code == 0 {
        assert!(place.ok(&["verify", copy.to_str().unwrap()]).starts_with("400,000 records"));
    } else {
        run.fails(130, "interrupted");
        assert!(names(elsewhere.path()).is_empty());
    }
}

#[test]
fn a_load_of_many_tokens_leaves_nothing() {
    let place = Place::new();
    // A pipe that never ends: records for as long as they are read.
    let mut command = place.command(&["load", "store", "-", "--format", "raw"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let block = vec![7; 72 * 1024];
        while stdin.write_all(&block).is_ok() {}
    });
    wait_until(|| place.path("store/MANIFEST").exists());
    interrupt(&child);
    Run::of(child.wait_with_output().unwrap()).fails(130, "interrupted");
    feeder.join().unwrap();
    assert!(place.names().is_empty());
}

#[test]
fn a_demo_leaves_nothing() {
    let place = Place::new();
    let child = place.command(&["demo", "--tokens", "1000000"]).spawn().unwrap();
    wait_until(|| place.names().iter().any(|name| name.starts_with("ringstore-demo-")));
    interrupt(&child);
    let run = Run::of(child.wait_with_output().unwrap()).ends(130);
    assert!(run.stderr.contains("interrupted"), "{run:?}");
    assert!(place.names().is_empty());
}

#[test]
fn a_check_that_waits_for_input_ends() {
    let place = Place::store_of(40_000);
    let token = &place.ok(&["range", "store", "--limit", "1"])[..64];
    let signature = place.ok(&["--json", "sign", "store", token, "--peer", "7"]);
    let mut child = place.command(&["check"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(signature.as_bytes()).unwrap();
    // Each signature is answered at once, so it is known to wait for the next.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut verdict = String::new();
    stdout.read_line(&mut verdict).unwrap();
    assert_eq!(verdict, format!("ok {token}\n"));
    interrupt(&child);
    Run::of(child.wait_with_output().unwrap()).fails(130, "interrupted");
    drop(stdin);
}
