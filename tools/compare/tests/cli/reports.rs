//! Results of earlier runs, and plots.

use std::fs;

use super::{SMALL, run, run_beside, run_in};

/// Few results of few engines.
const FEW: [&str; 4] = ["--engines", "mem,ringstore", "--workloads", "get-hit,sign,size"];

#[test]
fn a_report_tells_what_a_run_told() {
    let wanted = ["--json", "out.json", "--plots", "a/plots", "--keys", "uniform,dense64"];
    let told = run(&[&SMALL[..], &FEW, &wanted].concat());
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(told.left_in("a/plots"), ["latency.svg", "signature.svg", "size.svg"]);
    let signature = fs::read_to_string(told.path("a/plots/signature.svg")).unwrap();
    assert!(signature.contains("2,000 tokens, uniform keys"), "{signature}");
    assert!(signature.contains("\nringstore\n") && signature.contains("\nmem\n"), "{signature}");

    let report = run_in(told.directory, &["report", "out.json", "--plots", "b/plots"]);
    assert_eq!(report.code, 0, "{report:?}");
    let lines: Vec<_> = report.stdout.lines().collect();
    assert_eq!(lines.iter().filter(|line| **line == "out.json:").count(), 2);
    for line in told.stdout.lines().filter(|line| line.starts_with('│')) {
        assert!(lines.contains(&line), "{line}: {}", report.stdout);
    }
    assert_eq!(report.left_in("a/plots"), report.left_in("b/plots"));
    for name in report.left_in("a/plots") {
        let [one, other] = ["a", "b"].map(|parent| {
            fs::read_to_string(report.path(&format!("{parent}/plots/{name}"))).unwrap()
        });
        assert_eq!(one, other, "{name}");
    }

    let markdown = run_in(report.directory, &["report", "--markdown", "out.json"]);
    assert_eq!(markdown.code, 0, "{markdown:?}");
    let lines: Vec<_> = markdown.stdout.lines().collect();
    assert_eq!(lines[..2], ["out.json:", ""]);
    assert!(lines[2].starts_with("| uniform, 2000 tokens |"), "{}", markdown.stdout);
    assert!(lines[3].starts_with("|---"), "{}", markdown.stdout);
    assert!(!markdown.stdout.contains('│'), "{}", markdown.stdout);
}

#[test]
fn plots_of_several_files_show_growth() {
    let mut directory = tempfile::tempdir().unwrap();
    for (tokens, name) in [("500", "few.json"), ("2000", "many.json")] {
        let args = ["--tokens", tokens, "--rounds", "2", "--turn-ms", "1", "--json", name];
        let run = run_in(directory, &[&args[..], &FEW].concat());
        assert_eq!(run.code, 0, "{run:?}");
        directory = run.directory;
    }
    let report = run_in(directory, &["report", "few.json", "many.json", "--plots", "."]);
    assert_eq!(report.code, 0, "{report:?}");
    let [few, many] = ["few.json:\n", "many.json:\n"];
    assert!(report.stdout.find(few).unwrap() < report.stdout.find(many).unwrap(), "{report:?}");
    assert_eq!(
        report.left(),
        [
            "few.json",
            "growth-get-hit.svg",
            "growth.svg",
            "latency-2000.svg",
            "latency-500.svg",
            "many.json",
            "signature-2000.svg",
            "signature-500.svg",
            "size-2000.svg",
            "size-500.svg",
        ]
    );
}

#[test]
fn files_of_other_builds_are_read() {
    let json = r#"{"tokens": 7, "density": 0.5, "failed": [], "results": [
        {"keys": "uniform", "tokens": 7, "engine": "oracle", "workload": "sign", "ns_per_op": 1.5},
        {"keys": "uniform", "tokens": 7, "engine": "oracle", "workload": "sign", "threads": 2,
         "ns_per_op": 1, "p50_ns": null, "colour": "blue"}]}"#;
    let args = ["report", "x.json", "y.json", "--plots", "plots"];
    let other = json.replace("0.5", "0.25");
    let run = run_beside(&[("x.json", json), ("y.json", &other)], &args);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.left_in("plots"), ["signature.svg"]);
    assert!(run.stdout.contains("x.json, density 0.5:"), "{run:?}");
    assert!(run.stdout.contains("y.json, density 0.25:"), "{run:?}");
    assert!(run.stdout.contains("uniform, 7 tokens, 2 threads "), "{run:?}");
    assert!(run.stdout.contains("oracle") && run.stdout.contains("sign"), "{run:?}");
    assert!(run.stderr.contains("different densities"), "{run:?}");
}

#[test]
fn what_has_no_results_is_refused() {
    let row = r#"{"keys": "uniform", "tokens": 7, "engine": "mem", "workload": "sign"}"#;
    let good = format!(r#"{{"results": [{row}]}}"#);
    for (bad, reason) in [
        ("", "EOF while parsing"),
        ("tokens,engine\n7,mem\n", "expected ident"),
        ("{}", "missing field `results`"),
        ("7", "invalid type"),
        (r#"{"results": []}"#, "its list of results is empty"),
        (&good.replace("sign", "levitate"), "unknown variant `levitate`"),
        (&good.replace("mem", "m|m"), r#""m|m" is no name"#),
        (&good.replace("uniform", ""), r#""" or "mem" is no name"#),
        (&good.replace('7', "-7"), "invalid value"),
    ] {
        let files = [("good.json", good.as_str()), ("bad.json", bad)];
        let run = run_beside(&files, &["report", "good.json", "bad.json", "--plots", "plots"]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains("bad.json has no results: "), "{run:?}");
        assert!(run.stderr.contains(reason), "{run:?}");
        assert!(run.stderr.contains("; name a file that --json has written\n"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert_eq!(run.left(), ["bad.json", "good.json"], "{run:?}");
    }
    run(&["report", "nowhere.json"]).fails(5, "cannot read nowhere.json");
    run(&["report", "."]).fails(5, "cannot read .");
    run(&["report"]).fails(2, "<FILE>");
    run(&["--tokens", "7", "report", "file"]).fails(2, "cannot be used with");
    let good = [("good.json", good.as_str())];
    for directory in ["good.json", "good.json/plots"] {
        let run = run_beside(&good, &["report", "good.json", "--plots", directory]);
        assert_eq!((run.code, run.stdout.as_str()), (5, ""), "{run:?}");
        assert!(run.stderr.contains(&format!("cannot create {directory}")), "{run:?}");
    }
}

#[test]
fn a_run_without_anything_to_plot_says_so() {
    let named = ["--engines", "mem", "--workloads", "get-miss", "--plots", "plots"];
    let run = run(&[&SMALL[..], &named].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("there is nothing to plot"), "{run:?}");
    assert!(run.left_in("plots").is_empty());
}
