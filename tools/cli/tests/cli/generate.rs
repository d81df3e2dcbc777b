//! Random records: the same for ever, and whole or not there at all.

use std::process::Stdio;

use crate::place::{Place, Run, interrupt, wait_until};
use serde_json::json;

#[test]
fn a_seed_gives_the_same_bytes_for_ever() {
    let place = Place::new();
    let generate = |tokens: &str, seed: &str, file: &str| {
        place.ok(&["generate", "--tokens", tokens, "--seed", seed, "--out", file]);
        place.read(file)
    };
    let bytes = generate("1000", "7", "a.raw");
    assert_eq!(
        blake3::hash(&bytes).to_string(),
        "e9c546567dac4c6ccbf66ac1122d99901979a6ae72a44175d31e6aa87a58b054"
    );
    assert!(generate("1000", "7", "b.raw") == bytes);
    assert!(generate("10", "7", "c.raw")[..] == bytes[..720]);
    assert!(generate("1000", "8", "d.raw") != bytes);
    place.ok(&["generate", "--tokens", "10", "--out", "default.raw"]);
    assert!(generate("10", "0", "zero.raw") == place.read("default.raw"));
}

#[test]
fn every_byte_takes_every_value() {
    let place = Place::new();
    place.ok(&["generate", "--tokens", "20000", "--out", "a.raw"]);
    let bytes = place.read("a.raw");
    let mut seen = vec![[false; 256]; 72];
    for record in bytes.chunks_exact(72) {
        for (seen, &byte) in seen.iter_mut().zip(record) {
            seen[usize::from(byte)] = true;
        }
    }
    assert!(seen.iter().flatten().all(|&seen| seen));
}

#[test]
fn the_report_says_what_was_written() {
    let place = Place::new();
    let run = place.run(&["--json", "generate", "--tokens", "3", "--seed", "9", "--out", "a.bin"]);
    let expected = json!({"tokens": 3, "seed": 9, "file": "a.bin", "bytes": 216});
    assert_eq!(run.ends(0).json(), [expected]);
    let run = place.run(&["generate", "--tokens", "0", "--out", "empty.csv"]).ends(0);
    assert_eq!(run.stdout, "");
    assert_eq!(place.read("empty.csv"), b"");
}

#[test]
fn files_that_cannot_be_written_are_refused() {
    let place = Place::new();
    std::fs::create_dir(place.path("directory.raw")).unwrap();
    let generate = |out: &str| place.run(&["generate", "--tokens", "1", "--out", out]);
    generate("tokens").fails(2, "names no format");
    generate("tokens.txt").fails(2, "names no format");
    generate("missing/tokens.raw").fails(2, "missing");
    generate("directory.raw").fails(2, "is not a file");
    assert_eq!(place.names(), ["directory.raw"]);
}

#[test]
fn an_interrupted_one_leaves_nothing() {
    let place = Place::new();
    place.write("a.raw", "what was there before");
    let mut command = place.command(&["generate", "--tokens", "1000000000000", "--out", "a.raw"]);
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    wait_until(|| place.names().len() > 1);
    interrupt(&child);
    Run::of(child.wait_with_output().unwrap()).fails(130, "interrupted");
    assert_eq!(place.names(), ["a.raw"]);
    assert_eq!(place.read("a.raw"), b"what was there before");
}
