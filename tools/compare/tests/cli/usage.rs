//! What is asked for in the wrong way, and help.

use ringstore_compare::workload::Workload;

use super::{SMALL, run};

#[test]
fn wrong_usage_ends_with_2() {
    for (args, reason) in [
        (["--engines", "oracle"], "no engine is called so; there are ringstore, "),
        (["--threads", "0"], "0 is not in 1.."),
        (["--density", "2"], "it must be above 0, and 1 at the most"),
        (["--workloads", "get"], "invalid value 'get'"),
        (["--keys", "Uniform"], "[possible values: uniform, shared-prefix31,"),
        (["--tokens", "0"], "0 is not in 1.."),
        (["--rounds", "x"], "invalid value 'x'"),
        (["--frobnicate", "x"], "unexpected argument '--frobnicate'"),
    ] {
        run(&args).fails(2, reason);
    }
}

#[test]
fn what_cannot_be_written_ends_with_5() {
    run(&[&SMALL[..], &["--dir", "file/databases"]].concat()).fails(5, "cannot create file");
    run(&[&SMALL[..], &["--dir", "file"]].concat()).fails(5, "cannot create");
    run(&[&SMALL[..], &["--json", "nowhere/out.json"]].concat())
        .fails(5, "cannot write nowhere/out.json");
    run(&[&SMALL[..], &["--plots", "file/plots"]].concat()).fails(5, "cannot create file/plots");
}

#[test]
fn help_has_examples_and_goes_to_standard_output() {
    let run = run(&["--help"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("ringstore-compare --tokens 1000000\n"), "{}", run.stdout);
    for workload in Workload::all() {
        assert!(run.stdout.contains(&workload.name()), "{}", run.stdout);
    }
    let regressions = self::run(&["regressions", "--help"]);
    assert_eq!(regressions.code, 0, "{regressions:?}");
    assert!(regressions.stdout.contains("compare regressions --keep\n"), "{regressions:?}");
    let report = self::run(&["report", "--help"]);
    assert_eq!(report.code, 0, "{report:?}");
    assert!(report.stdout.contains("ringstore-compare report results.json\n"), "{report:?}");
}
