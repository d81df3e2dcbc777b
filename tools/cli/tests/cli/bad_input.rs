//! Input that is no record is refused with its place and its reason, and nothing of
//! the load is left.

use std::io::Write;
use std::process::Stdio;

use crate::place::{Place, Run, id, names, wait_until};

/// File ending, contents, line or record that is wrong, and why.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let good = format!("{},{},7\n", id(1), id(2));
    let good_json = format!("{{\"token\":\"{}\",\"block\":\"{}\",\"time\":7}}\n", id(1), id(2));
    let csv = |line: &str| ("csv", format!("{good}{line}\n{good}").into_bytes());
    let json = |line: &str| ("jsonl", format!("{good_json}{line}\n{good_json}").into_bytes());
    let (short, wrong) = (&id(1)[1..], id(1).replace("01", "0x"));
    let long_line = "a".repeat(5_000);
    let text = |(ending, contents), reason| (ending, contents, "line 2", reason);
    let mut cases = vec![
        text(csv(&format!("{short},{},7", id(2))), "token: an id has 64 hex digits"),
        text(csv(&format!("{},{short},7", id(1))), "block: an id has 64 hex digits"),
        text(csv(&format!("{wrong},{},7", id(2))), "token: 'x' at position 63"),
        text(csv("1,2"), "expected the 3 fields token,block,time; found 2"),
        text(csv("1,2,3,4"), "expected the 3 fields token,block,time; found 4"),
        text(csv("1,2,"), "time: '' is no decimal number"),
        text(csv("1,2,-1"), "time: '-1' is no decimal number"),
        text(csv("1,2,18446744073709551616"), "time: '18446744073709551616' is no decimal number"),
        text(csv("18446744073709551616,2,3"), "token: a decimal id must be below 2^64"),
        text(csv("-1,2,3"), "token: an id has 64 hex digits"),
        text(csv("token,block,time"), "token: an id has 64 hex digits"),
        text(csv("1,2,3\0"), "a NUL byte at byte 5 of the line"),
        text(csv(&long_line), "longer than 4096 bytes"),
        text(csv("\u{1b}[2J,\"\u{7},3"), "token: an id has 64 hex digits"),
        text(json("{\"token\":1,\"block\":2}"), "column 21: missing field `time`"),
        text(json("{\"token\":1,\"block\":2,\"time\":3,\"x\":4}"), "unknown field `x`"),
        text(json("{\"token\":1,\"block\":2,\"time\":-3}"), "integer `-3`, expected u64"),
        text(json("{\"token\":1,\"block\":2,\"time\":1e30}"), "expected u64"),
        text(
            json(&format!("{{\"token\":\"{wrong}\",\"block\":2,\"time\":3}}")),
            "'x' at position 63",
        ),
        text(json("{\"token\":1,\"block\":2,\"time\":3"), "column 29: EOF"),
        text(json("{\"a\\nb\":1}"), "unknown field `a\\nb`"),
        text(json("1,2,3"), "column 1: invalid type"),
        text(json(&"[".repeat(4_000)), "invalid type: sequence"),
        ("raw", vec![7; 72 + 71], "record 2", "cut after 71 of 72 bytes"),
        (
            "raw",
            vec![7; 1],
            "record 1",
            "cut after 1 of 72 bytes; the input's length, 1, is not a multiple of 72",
        ),
    ];
    let mut not_utf8 = good.clone().into_bytes();
    not_utf8.extend(b"1,2,\xff\n");
    cases.push(("csv", not_utf8, "line 2", "not UTF-8 at byte 4 of the line"));
    let mut no_end = good.into_bytes();
    no_end.extend(b"1,2");
    cases.push(("csv", no_end, "line 2", "found 2"));
    cases
}

#[test]
fn it_is_refused_from_a_file_and_leaves_nothing() {
    for (ending, contents, place_of_fault, reason) in cases() {
        let place = Place::new();
        let file = format!("bad.{ending}");
        place.write("good.csv", "8,9,10\n");
        place.write(&file, &contents);
        let place_of_fault = format!("{file}, {place_of_fault}: ");
        place.run(&["load", "store", "good.csv", &file]).fails(2, &place_of_fault).fails(2, reason);
        assert_eq!(place.names(), [&file, "good.csv"]);
        place
            .run(&["load", "some/where/else/store", "good.csv", &file])
            .fails(2, &place_of_fault)
            .fails(2, reason);
        assert_eq!(place.names(), [&file, "good.csv"]);
    }
}

#[test]
fn it_is_refused_from_standard_input() {
    for (ending, contents, place_of_fault, _) in cases() {
        let place = Place::new();
        place
            .run_with_input(&["load", "store", "-", "--format", ending], contents)
            .fails(2, &format!("standard input, {place_of_fault}: "));
        assert!(place.names().is_empty());
    }
}

#[test]
fn a_directory_that_was_there_stays_and_stays_empty() {
    let place = Place::new();
    std::fs::create_dir(place.path("store")).unwrap();
    place.write("bad.csv", "1,2,3\nbad\n");
    place.run(&["load", "store", "bad.csv"]).fails(2, "line 2");
    assert!(names(&place.path("store")).is_empty());
}

#[test]
fn a_store_that_was_there_stays_as_it_was() {
    let place = Place::new();
    place.write("empty.csv", "");
    place.write("bad.csv", "1,2,3\nbad\n");
    place.ok(&["load", "store", "empty.csv"]);
    let before = names(&place.path("store"));
    place.run(&["load", "store", "bad.csv"]).fails(2, "line 2");
    assert_eq!(names(&place.path("store")), before);
    assert_eq!(place.ok(&["dump", "store"]), "");
}

#[test]
fn a_store_with_tokens_stays_as_it_was() {
    let place = Place::store_of(100);
    place.ok(&["set", "store", "1", "2", "3"]);
    place.write("bad.csv", "1,2,4\n5,6,7\nbad\n");
    let dump = place.ok(&["dump", "store"]);
    place.run(&["load", "store", "tokens.raw", "bad.csv"]).fails(2, "bad.csv, line 3: ");
    place.run(&["load", "store", "tokens.raw", "missing.csv"]).fails(2, "missing.csv");
    assert_eq!(place.ok(&["dump", "store"]), dump);
    place.ok(&["verify", "store"]);
}

/// A gigabyte without the end of a line is refused after its first few thousand bytes.
#[test]
fn an_endless_line_is_not_read_to_its_end() {
    for format in ["csv", "jsonl"] {
        let place = Place::new();
        let mut command = place.command(&["load", "store", "-", "--format", format]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let block = vec![b'1'; 1 << 20];
        let written = (0..1_000).take_while(|_| stdin.write_all(&block).is_ok()).count();
        assert!(written < 100, "{written} MiB were read");
        drop(stdin);
        Run::of(child.wait_with_output().unwrap()).fails(2, "line 1: longer than 4096 bytes");
    }
}

/// What somebody else has put there meanwhile stays there.
#[test]
fn a_load_that_fails_removes_its_own_files_only() {
    let place = Place::new();
    let mut command = place.command(&["load", "store", "-", "--format", "csv"]);
    let mut load = command.stdin(Stdio::piped()).spawn().unwrap();
    wait_until(|| place.path("store/MANIFEST").exists());
    place.write("store/letter.txt", "Dear Sir");
    load.stdin.take().unwrap().write_all(b"1,2\n").unwrap();
    Run::of(load.wait_with_output().unwrap()).fails(2, "found 2");
    assert_eq!(names(&place.path("store")), ["letter.txt"]);
}
