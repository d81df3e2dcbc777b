//! The command as its users meet it: the real binary is run, in a directory of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use ringstore::testing::keys::KeyFamily;
use ringstore_compare::engines;
use ringstore_compare::keys;
use ringstore_compare::workload::Workload;
use serde_json::Value;
use tempfile::TempDir;

/// How a run ended, in a directory that it had for itself.
#[derive(Debug)]
struct Run {
    directory: TempDir,
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringstore-compare"));
    command.args(args).current_dir(directory.path()).env("TMPDIR", directory.path());
    let output = command.output().unwrap();
    Run {
        directory,
        code: output.status.code().expect("ended by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// The names of all that is left, sorted.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn fails(&self, code: i32, reason: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(reason), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert_eq!(self.left(), ["file"], "{self:?}");
    }
}

/// Little of everything.
const SMALL: [&str; 6] = ["--tokens", "2000", "--rounds", "2", "--turn-ms", "1"];

#[test]
fn every_family_workload_and_engine_is_measured() {
    let run = run(&[&SMALL[..], &["--keys", "all", "--json", "out.json"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.left(), ["file", "out.json"]);
    let json = run.json("out.json");
    assert_eq!(json["tokens"], 2_000);
    for field in ["cpu", "cores", "memory_bytes", "os", "kernel", "clock_ns"] {
        assert!(json["machine"].get(field).is_some(), "{field}");
    }
    let mut results = json["results"].as_array().unwrap().iter();
    for family in KeyFamily::ALL {
        let rows: Vec<_> = results
            .by_ref()
            .take(engines::ALL.len() * Workload::all().len() + 2)
            .inspect(|row| check_row(row, family))
            .collect();
        for workload in Workload::all() {
            let of = |engine: &str| {
                let is_it =
                    |row: &&&Value| row["workload"] == *workload.name() && row["engine"] == *engine;
                rows.iter().filter(is_it).count()
            };
            for engine in engines::ALL {
                assert_eq!(of(engine.name()), 1, "{family:?} {workload:?} {}", engine.name());
            }
            assert_eq!(of("raw"), usize::from(workload.name().starts_with("load")));
        }
        let title = format!("{}, {} tokens", keys::name(family), 2_000.min(family.limit()));
        assert!(run.stdout.contains(&title), "{}", run.stdout);
    }
    assert!(results.next().is_none());
    if engines::named("lmdb").is_some() {
        let last = run.stdout.lines().last().unwrap();
        assert!(last.starts_with("ringstore was ") && last.contains("than lmdb"), "{last}");
    }
}

/// What a result consists of, and which parts are null: times of sizes, bytes of what is
/// not on disk, and durable commits to it.
fn check_row(row: &Value, family: KeyFamily) {
    let fields: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "keys",
        "tokens",
        "engine",
        "workload",
        "threads",
        "ops",
        "ns_per_op",
        "p50_ns",
        "p99_ns",
        "p999_ns",
        "bytes_per_token",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!(row["keys"], keys::name(family));
    assert_eq!(row["tokens"], 2_000.min(family.limit()));
    assert_eq!(row["threads"], 1);
    let is_timed =
        row["workload"] != "size" && (row["workload"] != "commit" || row["engine"] != "mem");
    assert_eq!(row["ops"].as_u64().unwrap() >= 2, is_timed, "{row}");
    assert_eq!(row["ns_per_op"].as_f64().is_some_and(|ns| ns > 0.0), is_timed, "{row}");
    assert_eq!(row["ns_per_op"].is_null(), !is_timed, "{row}");
    assert_eq!(row["p50_ns"].as_u64().is_some_and(|ns| ns > 0), is_timed, "{row}");
    assert_eq!(row["p50_ns"].is_null(), !is_timed, "{row}");
    if row["workload"].as_str().unwrap().starts_with("load") {
        assert_eq!(row["ops"], 2, "{row}");
        assert!(row["p99_ns"].is_null() && row["p999_ns"].is_null(), "{row}");
    }
    // Some engines leave out what keys have in common.
    let least = if family == KeyFamily::Uniform { 72.0 } else { 40.0 };
    let on_disk = row["bytes_per_token"].as_f64().is_some_and(|bytes| bytes >= least);
    assert_eq!(on_disk, row["engine"] != "mem", "{row}");
    assert_eq!(row["bytes_per_token"].is_null(), row["engine"] == "mem", "{row}");
}

#[test]
fn only_what_is_named_is_measured() {
    let named = ["--engines", "mem,ringstore", "--workloads", "size,sign", "--dir", "a/b"];
    let run = run(&[&SMALL[..], &named, &["--json", "out.json"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.left(), ["a", "file", "out.json"]);
    assert_eq!(fs::read_dir(run.path("a/b")).unwrap().count(), 0);
    let json = run.json("out.json");
    let rows = json["results"].as_array().unwrap().iter();
    let rows: Vec<_> = rows
        .map(|row| (row["engine"].as_str().unwrap(), row["workload"].as_str().unwrap()))
        .collect();
    assert_eq!(
        rows,
        [("ringstore", "sign"), ("mem", "sign"), ("ringstore", "size"), ("mem", "size")]
    );
    assert!(!run.stdout.contains("lmdb") && !run.stdout.contains("get-hit"), "{}", run.stdout);
}

#[test]
fn random_loads_alone_leave_nothing_to_be_read() {
    let run = run(&[&SMALL[..], &["--workloads", "load-random"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.left(), ["file"]);
    assert!(run.stdout.contains("load-random") && run.stdout.contains("raw"), "{}", run.stdout);
    assert!(!run.stdout.contains("load-sorted"), "{}", run.stdout);
}

#[test]
fn commits_alone_are_measured_of_engines_that_are_durable() {
    let named = ["--engines", "mem,ringstore", "--workloads", "commit", "--json", "out.json"];
    let run = run(&[&SMALL[..], &named].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.left(), ["file", "out.json"]);
    let json = run.json("out.json");
    let rows = json["results"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{json}");
    for row in rows {
        check_row(row, KeyFamily::Uniform);
    }
    assert_eq!((&rows[0]["engine"], &rows[1]["engine"]), (&"ringstore".into(), &"mem".into()));
    let row = run.stdout.lines().find_map(|line| line.split_once("commit")).unwrap().1;
    // A time and its unit, and nothing of `mem`.
    assert_eq!(row.trim_end_matches('│').split_whitespace().count(), 2, "{}", run.stdout);
}

#[test]
fn wrong_usage_ends_with_2() {
    for (args, reason) in [
        (["--engines", "oracle"], "invalid value 'oracle'"),
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
}

#[test]
fn help_has_examples_and_goes_to_standard_output() {
    let run = run(&["--help"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("ringstore-compare --tokens 1000000\n"), "{}", run.stdout);
    for workload in Workload::all() {
        assert!(run.stdout.contains(&workload.name()), "{}", run.stdout);
    }
}
