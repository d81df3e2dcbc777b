//! The demo, at sizes where no signatures and where some can be made.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};

use serde_json::Value;

use crate::place::{Place, names};

#[test]
fn all_answers_are_the_same() {
    for (tokens, signed) in [(1, 0..=0), (100, 0..=0), (4_000, 1..=9_999)] {
        let place = Place::new();
        let run = place.run(&["--json", "demo", "--tokens", &tokens.to_string()]).ends(0);
        let [report] = &run.json()[..] else { panic!("{run:?}") };
        assert_eq!(report["tokens"], tokens);
        assert_eq!(report["differences"], 0);
        let found = report["signed"].as_u64().unwrap();
        assert!(signed.contains(&found), "{found} of {tokens}");
        let [operations, after] = ["operations", "operations_after_commits"]
            .map(|operations| report[operations].as_array().unwrap());
        let compared = |operations: &[Value]| -> Vec<_> {
            operations.iter().map(|operation| operation["compared"].as_u64().unwrap()).collect()
        };
        assert_eq!(compared(operations), [tokens, tokens, 10_000, 1_000, 1_000]);
        // As many of either kind were asked about, but some came and some went.
        let after_compared = compared(after);
        assert_eq!(after_compared[0] + after_compared[1], 2 * tokens);
        assert_ne!(after_compared[0], tokens, "{report}");
        assert_eq!(after_compared[2..], [1_000, 200, 200]);
        assert_eq!(report["commits"]["compared"], 200 * 6);
        for engine in ["ringstore", "redb", "array"] {
            assert!(report["bytes_per_token"][engine].as_f64().unwrap() >= 72.0);
            for operation in operations.iter().chain(after) {
                assert!(operation["ns"][engine].is_f64(), "{operation}");
            }
        }
        for engine in ["ringstore", "redb"] {
            assert!(report["commits"]["ns_per_commit"][engine].is_f64(), "{report}");
        }
        assert!(place.names().is_empty());
    }
}

#[test]
fn the_table_has_every_operation() {
    let place = Place::new();
    let run = place.run(&["demo", "--tokens", "100"]).ends(0);
    for operation in ["get-hit", "get-miss", "sign", "range-forward", "range-backward"] {
        assert!(run.stdout.contains(operation), "{run:?}");
        assert!(run.stdout.contains(&format!("{operation} after")), "{run:?}");
    }
    assert!(run.stdout.contains("commit ") && run.stdout.contains("load-sorted"), "{run:?}");
    assert!(run.stdout.contains("15,000 answers of each compared"), "{run:?}");
    assert!(run.stdout.trim_end().ends_with("0 differences"), "{run:?}");
    assert!(place.names().is_empty());
}

/// Once every token was looked up, and so every checksum compared, blocks in the store's
/// file are changed. A demo that ended before that is made anew.
#[test]
fn a_store_that_answers_wrongly_decides_the_exit_code() {
    loop {
        let place = Place::new();
        let mut demo = place.command(&["--json", "demo", "--tokens", "4000"]).spawn().unwrap();
        let mut stderr = BufReader::new(demo.stderr.take().unwrap());
        let mut line = String::new();
        while line != "ringstore: signing\n" {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0);
        }
        let directory = place.path(&place.names()[0]).join("ringstore");
        let mut segments = names(&directory).into_iter().filter(|name| name.contains("seg"));
        let path = directory.join(segments.next().unwrap());
        let mut segment = OpenOptions::new().write(true).open(path).unwrap();
        for record in 0..50 {
            segment.seek(SeekFrom::Start(4096 + 72 * record + 40)).unwrap();
            segment.write_all(&[1, 2, 3]).unwrap();
        }
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        let output = demo.wait_with_output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let differs = report["differences"] != 0;
        assert_eq!(output.status.code(), Some(i32::from(differs)), "{report} {said}");
        assert_eq!(said.contains("ANSWERS DIFFER"), differs, "{said}");
        assert!(fs::read_dir(place.path("")).unwrap().next().is_none());
        if differs {
            break;
        }
    }
}
