//! Runs and files compared with the figures that are kept.

use std::fs;

use super::{Run, SMALL, run, run_beside, run_in};

/// A file as `--json` writes it, with lookups of ringstore and LMDB, and ringstore's size.
fn results(tokens: u32, own_ns: Option<u32>, other_ns: u32) -> String {
    let row = |engine: &str, workload: &str, ns: Option<u32>| {
        serde_json::json!({
            "keys": "uniform", "tokens": tokens, "engine": engine, "workload": workload,
            "threads": 1, "ops": 1, "ns_per_op": ns, "bytes_per_token": 75.0
        })
    };
    let rows = [
        row("ringstore", "get-hit", own_ns),
        row("lmdb", "get-hit", Some(other_ns)),
        row("ringstore", "size", None),
    ];
    let machine = serde_json::json!({"os": "linux", "clock_ns": 25.0});
    serde_json::json!({
        "machine": machine, "tokens": tokens, "density": 1.0, "walks": [], "results": rows,
        "failed": []
    })
    .to_string()
}

/// Compares files with kept figures.
fn regressions(files: &[(&str, &str)], args: &[&str]) -> Run {
    run_beside(files, &[&["regressions", "--kept", "kept.json"], args].concat())
}

#[test]
fn what_regressed_by_more_than_a_tenth_ends_with_1() {
    let kept = results(7, Some(200), 1_000);
    for (own, other, args, code, told) in [
        (222, 1_000, &[][..], 1, "get-hit 0.200 0.222 +11.0 % regressed"),
        (218, 1_000, &[], 0, "get-hit 0.200 0.218 +9.0 % same"),
        (100, 1_000, &[], 0, "get-hit 0.200 0.100 -50.0 % improved"),
        (222, 1_000, &["--threshold", "12"], 0, "same"),
        (218, 1_000, &["--threshold", "8.5"], 1, "regressed"),
        (400, 2_000, &[], 0, "get-hit 0.200 0.200 +0.0 % same"),
        (400, 2_000, &["--absolute"], 1, "get-hit 200 ns 400 ns +100.0 % regressed"),
    ] {
        let now = results(7, Some(own), other);
        let files = [("kept.json", &*kept), ("now.json", &*now)];
        let args = [&["now.json", "--json", "out.json"], args].concat();
        let run = regressions(&files, &args);
        assert_eq!(run.code, code, "{run:?}");
        let words = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(told) && words.contains("size 75.00 B/token 75.00"), "{run:?}");
        assert_eq!(run.stderr.contains(" %: get-hit\n"), code == 1, "{run:?}");
        let json = run.json("out.json");
        let change = &json["changes"][0];
        assert_eq!((&change["workload"], &change["threads"]), (&"get-hit".into(), &1.into()));
        assert!(told.ends_with(change["verdict"].as_str().unwrap()), "{json}");
        assert_eq!(json["changes"][1]["unit"], "bytes-per-token");
    }
}

#[test]
fn what_is_missing_counts_as_regressed() {
    let kept = results(7, Some(200), 1_000);
    let without = kept.replacen("get-hit", "sign", 2);
    // Wrong answers leave no figures.
    let wrong = results(7, None, 1_000);
    let left_out = r#""failed":[{"keys": "uniform", "engine": "ringstore", "workload": "get-hit",
        "reason": "ANSWERS DIFFER: lookup", "differs": true}]"#;
    let wrong = wrong.replace(r#""failed":[]"#, left_out);
    for now in [&without, &wrong] {
        let files = [("kept.json", &*kept), ("good.json", &kept), ("now.json", now)];
        for args in [&["now.json"][..], &["good.json", "now.json", "good.json"]] {
            for keep in [&[][..], &["--keep"]] {
                let run = regressions(&files, &[args, keep].concat());
                assert_eq!(run.code, 1, "{run:?}");
                assert!(run.stderr.contains("missing: get-hit\n"), "{run:?}");
                assert!(run.stdout.contains("missing"), "{run:?}");
                let told = "now.json: ringstore is left out of uniform from get-hit on: ANSWERS";
                assert_eq!(run.stderr.contains(told), now == &wrong, "{run:?}");
                assert_eq!(fs::read_to_string(run.path("kept.json")).unwrap(), kept);
            }
        }
    }
}

#[test]
fn the_median_run_counts_and_can_be_kept() {
    let [kept, fast, slow, slower] =
        [200, 210, 230, 500].map(|own_ns| results(7, Some(own_ns), 1_000));
    let files = [("kept.json", &*kept), ("a.json", &fast), ("b.json", &slower), ("c.json", &slow)];
    let all = ["a.json", "b.json", "c.json"];
    let run = regressions(&files, &all);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("0.210 – 0.500") && run.stdout.contains("+15.0 %"), "{run:?}");
    assert_eq!(run.json("kept.json")["results"][0]["ns_per_op"], 200.0);

    let run = run_in(
        run.directory,
        &[&["regressions", "--kept", "kept.json", "--keep"], &all[..]].concat(),
    );
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("kept in kept.json\n"), "{run:?}");
    assert_eq!(run.json("kept.json")["results"][0]["ns_per_op"], 230.0);
    let run = run_in(run.directory, &["regressions", "--kept", "kept.json", "c.json"]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let kept = results(7, Some(200), 1_000);
    let alone = kept.replace("lmdb", "raw");
    let of_others = kept.replace("ringstore", "redb");
    let nulls = results(7, None, 1_000).replace("75.0", "null");
    let half = kept.replace(r#""density":1.0"#, r#""density":0.5"#);
    for (now, code, reason) in [
        ("", 2, "now.json has no results: EOF while parsing"),
        ("tokens,engine\n7,mem\n", 2, "now.json has no results: expected ident"),
        (r#"{"results": []}"#, 2, "now.json has no results: missing field `machine`"),
        (&results(8, Some(200), 1_000), 2, "of 8 tokens, and kept.json of 7; measure with --tok"),
        (&half, 2, "of density 0.5, and kept.json of 1; measure with --density 1"),
        (&alone, 2, "cannot compare now.json: there is no lmdb in it; measure with --engines "),
        (&of_others, 2, "cannot compare now.json: there is no ringstore in it; measure with "),
    ] {
        let files = [("file", ""), ("kept.json", &*kept), ("now.json", now)];
        let run = regressions(&files, &["now.json"]);
        assert_eq!((run.code, &*run.stdout), (code, ""), "{run:?}");
        assert!(run.stderr.contains(reason), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    for (kept, reason) in [
        (&alone, "kept.json: there is no engine beside ringstore in it; measure with --engines"),
        (&of_others, "kept.json: there is no ringstore in it; measure with --engines ringstore,"),
        (&nulls, "cannot compare kept.json: no workload has figures in it"),
        (&"7".to_string(), "kept.json has no results: invalid type"),
    ] {
        let run = regressions(&[("kept.json", &**kept)], &["kept.json"]);
        assert_eq!((run.code, &*run.stdout), (2, ""), "{run:?}");
        assert!(run.stderr.contains(reason), "{run:?}");
    }
    // What a run would be made of.
    for (kept, reason) in [
        (kept.replace("lmdb", "oracle"), "no engine is called so; there are ringstore, "),
        (kept.replace("uniform", "random"), "invalid value 'random'"),
        (kept.replace(r#""threads":1"#, r#""threads":70000"#), "70000 is not in 1..=1024"),
        (kept.replace(r#""tokens":7"#, r#""tokens":0"#), "0 is not in 1.."),
        (kept.replace(r#""density":1.0"#, r#""density":1.5"#), "it must be above 0, and 1 at "),
    ] {
        let run = regressions(&[("kept.json", &*kept)], &[]);
        assert_eq!((run.code, &*run.stdout), (2, ""), "{run:?}");
        assert!(run.stderr.contains("cannot compare kept.json: error: "), "{run:?}");
        assert!(run.stderr.contains(reason), "{run:?}");
    }
    run(&["regressions", "file"]).fails(
        5,
        "there is no file benches/figures/1m.json to compare with; name it with --kept, or make \
         it: ringstore-compare --engines ringstore,lmdb --json benches/figures/1m.json",
    );
    let run = regressions(&[("kept.json", &*kept)], &["nowhere.json"]);
    assert!(run.code == 5 && run.stderr.contains("cannot read nowhere.json"), "{run:?}");
    for args in [
        &["--threshold", "0"][..],
        &["--threshold", "nan"],
        &["--threshold", "-1"],
        &["--runs", "0"],
        &["--runs", "2", "file"],
    ] {
        self::run(&[&["regressions"], args].concat()).fails(2, "error: ");
    }
}

#[test]
fn runs_are_made_of_what_is_kept() {
    let few = ["--engines", "ringstore,mem", "--workloads", "sign,size", "--threads", "1,2"];
    let made = run(&[&SMALL[..], &few, &["--density", "0.5", "--json", "kept.json"]].concat());
    assert_eq!(made.code, 0, "{made:?}");
    let args = ["regressions", "--kept", "kept.json", "--runs", "2", "--rounds", "2"];
    let wanted = ["--turn-ms", "1", "--threshold", "1e9", "--json", "out.json"];
    let run = run_in(made.directory, &[&args[..], &wanted].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.left(), ["file", "kept.json", "out.json"]);
    assert!(run.stdout.contains("ringstore / mem, 2000 tokens"), "{run:?}");
    let json = run.json("out.json");
    let rows: Vec<_> = json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert_eq!(row["runs"].as_array().unwrap().len(), 2, "{row}");
            (row["workload"].as_str().unwrap(), row["threads"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(rows, [("sign", 1), ("sign", 2), ("size", 1)]);
}
