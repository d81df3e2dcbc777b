//! The command as its users meet it: the real binary is run, in a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

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
    run_beside(&[("file", "")], args)
}

/// In a directory with these files.
fn run_beside(files: &[(&str, &str)], args: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    run_in(directory, args)
}

fn run_in(directory: TempDir, args: &[&str]) -> Run {
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
        self.left_in(".")
    }

    fn left_in(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap();
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
const SMALL: [&str; 8] =
    ["--tokens", "2000", "--rounds", "2", "--load-rounds", "2", "--turn-ms", "1"];

#[test]
fn every_workload_and_engine_is_measured() {
    let all: Vec<_> = engines::ALL.iter().map(|engine| engine.name()).collect();
    let last = check_all(&[KeyFamily::Uniform], &all, &[]);
    if engines::named("lmdb").is_some() {
        assert!(last.starts_with("ringstore was ") && last.contains("than lmdb"), "{last}");
    }
}

#[test]
fn every_family_and_workload_is_measured() {
    check_all(&KeyFamily::ALL, &["ringstore", "mem"], &["--keys", "all"]);
}

fn default_workloads() -> impl Iterator<Item = &'static Workload> {
    Workload::all().iter().filter(|workload| workload.is_default())
}

/// Checks the results of a run over these families and engines; the last line of its output.
fn check_all(families: &[KeyFamily], engines: &[&str], args: &[&str]) -> String {
    let named = ["--engines", &engines.join(","), "--json", "out.json"];
    let run = run(&[&SMALL[..], &named, args].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.left(), ["file", "out.json"]);
    let json = run.json("out.json");
    assert_eq!(json["tokens"], 2_000);
    for field in ["cpu", "cores", "memory_bytes", "os", "kernel", "clock_ns"] {
        assert!(json["machine"].get(field).is_some(), "{field}");
    }
    let mut results = json["results"].as_array().unwrap().iter();
    for family in families {
        let rows: Vec<_> = results
            .by_ref()
            .take(engines.len() * default_workloads().count() + 2)
            .inspect(|row| check_row(row, *family))
            .collect();
        for workload in default_workloads() {
            let of = |engine: &str| {
                let is_it =
                    |row: &&&Value| row["workload"] == *workload.name() && row["engine"] == *engine;
                rows.iter().filter(is_it).count()
            };
            for engine in engines {
                assert_eq!(of(engine), 1, "{family:?} {workload:?} {engine}");
            }
            assert_eq!(of("raw"), usize::from(workload.name().starts_with("load")));
        }
        let title = format!("{}, {} tokens", keys::name(*family), 2_000.min(family.limit()));
        assert!(run.stdout.contains(&title), "{}", run.stdout);
    }
    assert!(results.next().is_none());
    run.stdout.lines().last().unwrap().to_string()
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
    let needs_disk = ["load-sorted", "load-random", "commit", "mixed", "open"]
        .contains(&row["workload"].as_str().unwrap());
    let is_timed = row["workload"] != "size" && !(needs_disk && row["engine"] == "mem");
    assert_eq!(row["ops"].as_u64().is_some_and(|ops| ops >= 2), is_timed, "{row}");
    assert_eq!(row["ops"].is_null(), !is_timed, "{row}");
    assert_eq!(row["ns_per_op"].as_f64().is_some_and(|ns| ns > 0.0), is_timed, "{row}");
    assert_eq!(row["ns_per_op"].is_null(), !is_timed, "{row}");
    assert_eq!(row["p50_ns"].as_u64().is_some_and(|ns| ns > 0), is_timed, "{row}");
    assert_eq!(row["p50_ns"].is_null(), !is_timed, "{row}");
    if is_timed && row["workload"].as_str().unwrap().starts_with("load") {
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
fn every_number_of_threads_is_measured_and_told() {
    let named = ["--engines", "ringstore,mem", "--workloads", "sign,get-many,size,commit"];
    let threads = ["--threads", "2,1", "--density", "0.5", "--json", "out.json"];
    let run = run(&[&SMALL[..], &named, &threads].concat());
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json("out.json");
    assert_eq!((&json["tokens"], &json["density"]), (&2_000.into(), &0.5.into()));
    let rows: Vec<_> = json["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["engine"] == "ringstore")
        .map(|row| {
            assert!((900..1_100).contains(&row["tokens"].as_u64().unwrap()), "{row}");
            (row["workload"].as_str().unwrap(), row["threads"].as_u64().unwrap())
        })
        .collect();
    // What is no read is one thread's.
    assert_eq!(
        rows,
        [("get-many", 1), ("get-many", 2), ("sign", 1), ("sign", 2), ("size", 1), ("commit", 1)]
    );
    for title in [" tokens ", " tokens, 2 threads "] {
        assert!(run.stdout.contains(title), "{}", run.stdout);
    }
    // Of a thousand tokens, ten matches need more than there are.
    let walks = json["walks"].as_array().unwrap();
    assert_eq!((walks.len(), &walks[0]["keys"]), (1, &"uniform".into()));
    assert!(walks[0]["steps_per_match"].as_f64().unwrap() > 100.0, "{json}");
    assert_eq!(json["failed"].as_array().unwrap().len(), 0);
}

#[test]
fn results_say_how_files_are_kept_in_memory() {
    for (named, expected) in [(&[][..], "mapped"), (&["--residency", "huge-pages"], "huge-pages")] {
        let args = ["--engines", "ringstore,mem", "--workloads", "get-hit", "--json", "out.json"];
        let run = run(&[&SMALL[..], &args, named].concat());
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(run.json("out.json")["machine"]["ringstore_residency"], expected);
    }
}

#[test]
fn an_interrupted_run_leaves_nothing_but_its_results() {
    check_interrupt("get-hit", "-INT");
    check_interrupt("get-hit", "-HUP");
    // While its files vanish, an engine may fail, and that is not to be told.
    check_interrupt("open", "-TERM");
    check_interrupt("commit", "-INT");
}

/// Interrupts a run once this workload has begun, after loads in random order.
fn check_interrupt(workload: &str, signal: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringstore-compare"));
    command.args(["--tokens", "1000", "--turn-ms", "60000", "--rounds", "1000"]);
    command.args(["--workloads", &format!("load-random,{workload}")]);
    command.args(["--load-rounds", "1", "--json", "out.json", "--dir", "here"]);
    command.current_dir(directory.path()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line == format!("ringstore-compare: {workload}")));
    assert_eq!(fs::read_dir(directory.path().join("here")).unwrap().count(), 1);
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let left: Vec<_> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{workload}: {left:?}");
    // An engine's own threads may say what they miss.
    assert!(left.iter().any(|line| line == "ringstore-compare: interrupted"), "{left:?}");
    assert!(!left.iter().any(|line| line.contains("is left out")), "{left:?}");
    assert_eq!(fs::read_dir(directory.path().join("here")).unwrap().count(), 0, "{workload}");
    let json: Value =
        serde_json::from_slice(&fs::read(directory.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(json["failed"].as_array().unwrap().len(), 0, "{workload}: {json}");
    let rows = json["results"].as_array().unwrap();
    assert_eq!(rows.len(), engines::ALL.len() + 1, "{workload}: {json}");
    assert!(rows.iter().all(|row| row["workload"] == "load-random"), "{workload}: {json}");
}

#[test]
fn what_a_killed_run_left_is_told_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("ringstore-compare-x1");
    fs::create_dir_all(left.join("sled-sorted")).unwrap();
    fs::write(left.join("sled-sorted/db"), [7; 5_000]).unwrap();
    fs::write(left.join("lock"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringstore-compare"));
    command.args(SMALL).args(["--engines", "mem", "--workloads", "get-hit"]);
    let output = command.arg("--dir").arg(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let told = format!("a run that was killed left 8.0 KiB in {}; remove it", left.display());
    assert!(stderr.contains(&told), "{stderr}");
    assert!(left.join("sled-sorted/db").exists());
}

/// `rusty-leveldb` frees what it caches by recursion: with ten million tokens that took more
/// stack than a program has by itself, and ended the run and what all others had to tell.
#[cfg(feature = "leveldb")]
#[test]
fn an_engine_may_go_deep() {
    let directory = tempfile::tempdir().unwrap();
    let command = format!(
        "ulimit -s 128 && exec {} --tokens 300000 --engines leveldb --workloads get-hit \
         --rounds 1 --turn-ms 1",
        env!("CARGO_BIN_EXE_ringstore-compare")
    );
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &command]).env("TMPDIR", directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("get-hit"));
}

#[test]
fn too_little_room_ends_with_5_unless_it_is_ignored() {
    let much = ["--tokens", "4294967295", "--engines", "ringstore", "--workloads", "size"];
    let run = run(&much);
    run.fails(5, " of memory are needed, and ");
    assert!(run.stderr.contains("--ignore-room"), "{run:?}");
    let ignored = ["--engines", "mem", "--workloads", "size", "--ignore-room"];
    assert_eq!(self::run(&[&SMALL[..], &ignored].concat()).code, 0);
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
    // A time and its unit, and that there is none of `mem`.
    let words: Vec<_> = row.trim_end_matches('│').split_whitespace().collect();
    assert!(matches!(words[..], [_, _, "n/a"]), "{}", run.stdout);
}

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

#[test]
fn a_run_without_anything_to_plot_says_so() {
    let named = ["--engines", "mem", "--workloads", "get-miss", "--plots", "plots"];
    let run = run(&[&SMALL[..], &named].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("there is nothing to plot"), "{run:?}");
    assert!(run.left_in("plots").is_empty());
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
