//! The demo, at sizes where no signatures and where some can be made.

use crate::place::Place;

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
        let compared: Vec<_> = report["operations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|operation| operation["compared"].as_u64().unwrap())
            .collect();
        assert_eq!(compared, [tokens, tokens, 10_000, 1_000, 1_000]);
        for engine in ["ringstore", "redb", "array"] {
            assert!(report["bytes_per_token"][engine].as_f64().unwrap() >= 72.0);
            for operation in report["operations"].as_array().unwrap() {
                assert!(operation["ns"][engine].is_f64(), "{operation}");
            }
        }
        assert!(place.names().is_empty());
    }
}

#[test]
fn the_table_has_every_operation() {
    let place = Place::new();
    let run = place.run(&["demo", "--tokens", "100"]).ends(0);
    for operation in
        ["get-hit", "get-miss", "sign", "range-forward", "range-backward", "load-sorted"]
    {
        assert!(run.stdout.contains(operation), "{run:?}");
    }
    assert!(run.stdout.contains("12,200 answers of each compared"), "{run:?}");
    assert!(run.stdout.trim_end().ends_with("0 differences"), "{run:?}");
    assert!(place.names().is_empty());
}
