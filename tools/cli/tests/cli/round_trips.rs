//! What goes in comes out.

use crate::place::{Place, id, load_counts};
use serde_json::{Value, json};

/// Records of a file, in the order of tokens, as `dump` prints them.
fn sorted(csv: &[u8]) -> String {
    let mut lines: Vec<_> = std::str::from_utf8(csv).unwrap().lines().collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

#[test]
fn all_formats_load_alike() {
    let place = Place::new();
    for ending in ["raw", "bin", "csv", "jsonl", "ndjson"] {
        let file = format!("tokens.{ending}");
        place.ok(&["generate", "--tokens", "3000", "--seed", "5", "--out", &file]);
        place.ok(&["load", ending, &file]);
    }
    let expected = sorted(&place.read("tokens.csv"));
    assert_eq!(expected.lines().count(), 3_000);
    for ending in ["raw", "bin", "csv", "jsonl", "ndjson"] {
        assert!(place.ok(&["dump", ending]) == expected, "{ending}");
    }
    assert!(place.read("tokens.raw") == place.read("tokens.bin"));
    assert_eq!(place.read("tokens.raw").len(), 3_000 * 72);
}

#[test]
fn a_dump_loads_again() {
    let place = Place::store_of(2_000);
    for (format, json) in [("csv", false), ("jsonl", true)] {
        let dump = place.ok(if json { &["--json", "dump", "store"] } else { &["dump", "store"] });
        let report = place
            .run_with_input(&["--json", "load", format, "-", "--format", format], &dump)
            .ends(0)
            .json();
        assert_eq!(load_counts(&report), [2_000, 2_000, 0, 0]);
        assert!(place.ok(&["dump", format]) == place.ok(&["dump", "store"]));
    }
}

#[test]
fn standard_input_takes_every_format() {
    let place = Place::new();
    for (format, ending) in
        [("csv", "csv"), ("jsonl", "jsonl"), ("raw", "raw"), ("ndjson", "jsonl")]
    {
        let file = format!("tokens.{ending}");
        place.ok(&["generate", "--tokens", "100", "--out", &file]);
        let store = format!("store-{format}");
        place.run_with_input(&["load", &store, "-", "--format", format], place.read(&file)).ends(0);
        assert_eq!(place.ok(&["dump", &store]).lines().count(), 100);
    }
}

#[test]
fn several_files_are_one_load_and_the_newest_time_wins() {
    let place = Place::new();
    place.write("a.csv", "token,block,time\r\n1,10,5\r\n2,20,5\r\n3,30,5");
    place.write("b.csv", "\"1\",\"11\",\"4\"\n\n 2 , 21 , 6\n3,31,5\n");
    place.write("c.jsonl", format!("{{\"time\":{},\"block\":\"44\",\"token\":4}}", u64::MAX));
    let run = place.run(&["--json", "load", "store", "a.csv", "b.csv", "c.jsonl"]).ends(0);
    assert_eq!(load_counts(&run.json()), [7, 4, 3, 0]);
    let expected = [(1, 10, 5), (2, 21, 6), (3, 30, 5), (4, 44, u64::MAX)];
    let lines: String = expected
        .map(|(token, block, time)| format!("{},{},{time}\n", id(token), id(block)))
        .concat();
    assert_eq!(place.ok(&["dump", "store"]), lines);
    let run = place.run(&["dump", "store", "--json"]).ends(0);
    let objects = expected
        .map(|(token, block, time)| json!({"token": id(token), "block": id(block), "time": time}));
    assert_eq!(run.json(), objects);
}

#[test]
fn get_prints_what_is_there_and_names_what_is_not() {
    let place = Place::new();
    place.write("a.csv", "1,10,5\n2,20,6\n");
    place.ok(&["load", "store", "a.csv"]);
    let hex = format!("0x{}", id(2).to_uppercase());
    assert_eq!(
        place.ok(&["get", "store", &hex, "1"]),
        format!("{},{},6\n{},{},5\n", id(2), id(20), id(1), id(10))
    );
    let run = place.run(&["--json", "get", "store", "7", "1", "8"]).ends(1);
    assert_eq!(run.json(), [json!({"token": id(1), "block": id(10), "time": 5})]);
    assert_eq!(run.stderr.lines().count(), 2);
    assert!(run.stderr.contains(&id(7)) && run.stderr.contains(&id(8)), "{run:?}");
}

#[test]
fn ranges_are_parts_of_the_dump() {
    let place = Place::store_of(300);
    let dump = place.ok(&["dump", "store"]);
    let lines: Vec<_> = dump.split_inclusive('\n').collect();
    let token = |index: usize| &lines[index][..64];
    let range = |args: &[&str]| place.ok(&[&["range", "store"], args].concat());

    assert_eq!(range(&[]), dump);
    assert_eq!(range(&["--limit", "3"]), lines[..3].concat());
    assert_eq!(range(&["--after", token(100)]), lines[101..].concat());
    assert_eq!(range(&["--after", token(100), "--limit", "10"]), lines[101..111].concat());
    let descending = |lines: &[&str]| lines.iter().rev().copied().collect::<String>();
    assert_eq!(range(&["--before", token(100)]), descending(&lines[..100]));
    assert_eq!(range(&["--before", token(100), "--limit", "10"]), descending(&lines[90..100]));
    assert_eq!(range(&["--after", &"f".repeat(64)]), "");
    assert_eq!(range(&["--before", "0"]), "");
    assert_eq!(range(&["--limit", "0"]), "");
    // Tokens that are not there, one at each end of all others.
    assert_eq!(range(&["--after", "0"]), dump);
    assert_eq!(range(&["--before", &"f".repeat(64)]), descending(&lines));
}

#[test]
fn stat_and_verify_know_what_was_loaded() {
    let place = Place::store_of(5_000);
    let [stat] = &place.run(&["--json", "stat", "store"]).ends(0).json()[..] else { panic!() };
    for field in ["tokens", "layers", "segments", "delta", "segment_bytes", "log_bytes"] {
        assert!(stat[field].is_u64(), "{field}: {stat}");
    }
    assert_eq!(stat["tokens"], 5_000);
    let bytes_per_token = stat["bytes_per_token"].as_f64().unwrap();
    assert!((bytes_per_token * 5_000.0 - stat["segment_bytes"].as_f64().unwrap()).abs() < 1.0);
    assert_eq!(stat["residency"]["mapped_bytes"], stat["segment_bytes"]);
    assert!(place.ok(&["stat", "store"]).contains("5,000"));

    let [report] = &place.run(&["--json", "verify", "store"]).ends(0).json()[..] else { panic!() };
    assert_eq!(report["ok"], true);
    assert_eq!(report["records"], 5_000);
    assert_eq!(report["damages"], json!([]));
    assert_eq!(report["bytes"], stat["segment_bytes"]);
    assert!(place.ok(&["verify", "store"]).contains("no damage"));
}

#[test]
fn an_empty_store_is_a_store() {
    let place = Place::new();
    for (name, contents) in [("a.csv", ""), ("b.csv", "token,block,time\n"), ("c.raw", "")] {
        place.write(name, contents);
        let store = format!("{name}-store");
        place.ok(&["load", &store, name]);
        assert_eq!(place.ok(&["dump", &store]), "");
        let stat = place.run(&["--json", "stat", &store]).ends(0).json();
        assert_eq!((&stat[0]["tokens"], &stat[0]["bytes_per_token"]), (&json!(0), &Value::Null));
        place.ok(&["verify", &store]);
        place.run(&["get", &store, "1"]).fails(1, "is not in the store");
        place.run(&["sign", &store, "1", "--peer", "1"]).fails(1, "is not in the store");
        // It has no tokens, so it can still be loaded.
        place.write("d.csv", "1,2,3\n");
        place.ok(&["load", &store, "d.csv"]);
        assert_eq!(place.ok(&["dump", &store]), format!("{},{},3\n", id(1), id(2)));
    }
}

#[test]
fn stat_keeps_files_in_memory_as_it_is_told() {
    let place = Place::store_of(40_000);
    for mode in ["mapped", "prefault", "locked", "huge-pages"] {
        let run = place.run(&["--json", "stat", "store", "--residency", mode]);
        if run.code == 5 && mode == "locked" {
            assert!(run.stderr.contains("raise that with `ulimit -l`"), "{run:?}");
            continue;
        }
        let stat = run.ends(0).json().remove(0);
        let bytes = |name: &str| stat["residency"][name].as_u64();
        let mapped_and_copied = bytes("mapped_bytes").zip(bytes("copied_bytes"));
        assert_eq!(
            mapped_and_copied.map(|(mapped, copied)| mapped + copied),
            stat["segment_bytes"].as_u64()
        );
        if let Some(resident) = bytes("resident_bytes") {
            assert!(resident <= stat["segment_bytes"].as_u64().unwrap(), "{stat}");
            assert!(mode == "mapped" || Some(resident) == stat["segment_bytes"].as_u64(), "{stat}");
            let locked = if mode == "locked" { resident } else { 0 };
            assert_eq!(bytes("locked_bytes"), Some(locked), "{mode}: {stat}");
        }
    }
    place.run(&["stat", "store", "--residency", "swapped"]).fails(2, "invalid value 'swapped'");
}
