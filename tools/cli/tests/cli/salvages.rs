//! What is left of a damaged store is rescued, and what is not is listed.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::place::{Place, Run, id, interrupt, names, wait_until};

/// Puts other bytes in the place of a file.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn of_a_store_that_is_all_right_everything_is_rescued() {
    let place = Place::store_of(1_000);
    place.ok(&["set", "store", "5", "6", "7"]);
    let dump = place.ok(&["dump", "store"]);
    let said = place.ok(&["salvage", "store", "rescued"]);
    assert_eq!(said, "1,001 tokens of 1,001 entries rescued, nothing lost\n");
    assert_eq!(place.ok(&["dump", "rescued"]), dump);
    place.ok(&["verify", "rescued"]);
    let run = place.run(&["--json", "salvage", "store", "again"]).ends(0);
    let [report] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!((&report["ok"], &report["tokens"]), (&true.into(), &1_001.into()));
    assert_eq!(report["losses"].as_array().unwrap().len(), 0);
}

#[test]
fn what_is_lost_is_listed_and_the_exit_code_is_3() {
    let place = Place::store_of(1_000);
    let path = place.file(".seg");
    let mut bytes = fs::read(&path).unwrap();
    // Records 56 to 113 have to do with the second chunk.
    bytes[2 * 4_096 + 40] ^= 1;
    replace(&path, &bytes);
    let name = path.file_name().unwrap().to_str().unwrap();
    let run =
        place.run(&["salvage", "store", "rescued"]).fails(3, "what is left of it is in rescued");
    for part in [name, "records", "8192–12288", "58", "after ", "wrong checksum"] {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
    assert!(
        run.stdout.ends_with("942 tokens of 942 entries rescued, 58 entries lost\n"),
        "{run:?}"
    );
    place.ok(&["verify", "rescued"]);
    assert_eq!(place.ok(&["dump", "rescued"]).lines().count(), 942);

    let run = place.run(&["--json", "salvage", "store", "again"]).ends(3);
    let [report] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!((&report["ok"], &report["rescued"]), (&false.into(), &942.into()));
    let [loss] = &report["losses"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&loss["file"], &loss["records"]), (&name.into(), &58.into()));
    assert_eq!((&loss["is_exact"], &loss["may_revert"]), (&true.into(), &false.into()));
    assert_eq!((&loss["reason"], &loss["bytes"]["start"]), (&"checksum".into(), &8_192.into()));
    let dump = place.ok(&["dump", "rescued"]);
    let neighbours = [55, 56].map(|line| &dump.lines().nth(line).unwrap()[..64]);
    let keys = loss["keys"].as_array().unwrap();
    assert_eq!([&keys[0]["Excluded"], &keys[1]["Excluded"]], neighbours);
}

#[test]
fn a_lost_manifest_is_a_loss() {
    let place = Place::store_of(100);
    let dump = place.ok(&["dump", "store"]);
    fs::remove_file(place.path("store/MANIFEST")).unwrap();
    let run = place.run(&["salvage", "store", "rescued"]).fails(3, "is damaged");
    assert!(run.stdout.starts_with("no manifest, so all files were taken"), "{run:?}");
    assert_eq!(place.ok(&["dump", "rescued"]), dump);
}

#[test]
fn wrong_places_are_2_and_nothing_is_left() {
    let place = Place::store_of(100);
    fs::create_dir(place.path("occupied")).unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    place.write("occupied/letter.txt", "Dear Sir");
    place.write("file", "");
    let before = place.contents();
    for (args, reason) in [
        (&["salvage", "store"][..], "not provided: <DEST>"),
        (&["salvage", "store", "occupied"], "it holds letter.txt"),
        (&["salvage", "store", "file"], "not a directory"),
        (&["salvage", "store", "file/new"], "ot a directory"),
        (&["salvage", "store", "store"], "it lies in the damaged store"),
        (&["salvage", "store", "store/new"], "it lies in the damaged store"),
        (&["salvage", "store", "empty/../store/new"], "it lies in the damaged store"),
        (&["salvage", "missing", "new"], "no such directory"),
        (&["salvage", "empty", "new"], "an empty directory"),
        (&["salvage", "occupied", "new"], "a directory with other things in it"),
        (&["salvage", "file", "new"], "not a directory"),
    ] {
        place.run(args).fails(2, reason);
    }
    assert!(place.contents() == before);
    place.ok(&["salvage", "store", "empty"]);
}

#[test]
fn a_version_of_the_future_is_3_and_a_store_in_use_is_4() {
    let place = Place::new();
    let mut command = place.command(&["load", "store", "-", "--format", "csv"]);
    let mut load = command.stdin(Stdio::piped()).spawn().unwrap();
    wait_until(|| place.path("store/MANIFEST").exists());
    place.run(&["salvage", "store", "rescued"]).fails(4, "locked by another writer");
    drop(load.stdin.take());
    Run::of(load.wait_with_output().unwrap()).ends(0);
    let mut manifest = place.read("store/MANIFEST");
    manifest[8..12].copy_from_slice(&77u32.to_le_bytes());
    let body = manifest.len() - 4;
    let checksum = crc32fast::hash(&manifest[..body]);
    manifest[body..].copy_from_slice(&checksum.to_le_bytes());
    replace(&place.path("store/MANIFEST"), &manifest);
    place.run(&["salvage", "store", "rescued"]).fails(3, "format version 77");
    assert_eq!(place.names(), ["store"]);
}

/// The signal comes while records are read or written, or just before or after that: there is
/// nothing, or all.
#[test]
fn after_ctrl_c_there_is_nothing_or_all() {
    let place = Place::store_of(200_000);
    let child = place.command(&["salvage", "store", "a/new/store"]).spawn().unwrap();
    wait_until(|| {
        let is_there = place.path("a/new/store/MANIFEST").exists();
        is_there && names(&place.path("a/new/store")).iter().any(|name| name.contains("seg"))
    });
    interrupt(&child);
    let run = Run::of(child.wait_with_output().unwrap());
    if run.code == 0 {
        assert!(place.ok(&["verify", "a/new/store"]).starts_with("200,000 records"));
    } else {
        run.fails(130, "interrupted");
        assert!(!place.path("a").exists());
    }
}

/// A token that was removed comes back where that was lost, and the list says so.
#[test]
fn what_may_have_come_back_is_said() {
    let place = Place::store_of(100);
    place.ok(&["set", "store", "5", "6", "7"]);
    place.ok(&["set", "store", "5", "6", "8"]);
    place.ok(&["set", "store", "4", "6", "8"]);
    let log = place.file(".log");
    let mut bytes = fs::read(&log).unwrap();
    let value = [0; 7].into_iter().chain([8]).collect::<Vec<u8>>();
    let at = bytes.windows(8).position(|window| window == value).unwrap();
    bytes[at + 7] = 9;
    replace(&log, &bytes);
    let run = place.run(&["salvage", "store", "rescued"]).ends(3);
    assert!(run.stdout.contains("maybe") && run.stdout.contains("any"), "{run:?}");
    let dump = place.ok(&["dump", "rescued"]);
    assert!(dump.contains(&id(4)), "{run:?} {dump}");
}

/// 64-bit ids have nothing but zeros in their first digits.
#[test]
fn tokens_that_begin_alike_are_told_apart() {
    let place = Place::new();
    let lines: Vec<_> = (0..1_000).map(|id| format!("{id},7,{id}\n")).collect();
    place.write("tokens.csv", lines.concat());
    place.ok(&["load", "store", "tokens.csv"]);
    let path = place.file(".seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * 4_096 + 40] ^= 1;
    replace(&path, &bytes);
    let run = place.run(&["salvage", "store", "rescued"]).ends(3);
    assert!(run.stdout.contains("after …000000000037 before …000000000072"), "{run:?}");
}
