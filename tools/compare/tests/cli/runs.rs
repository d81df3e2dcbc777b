//! Runs that measure, and what they leave behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use ringstore::testing::keys::KeyFamily;
use ringstore_compare::engines;
use ringstore_compare::keys;
use ringstore_compare::workload::Workload;
use serde_json::Value;

use super::{SMALL, run};

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
