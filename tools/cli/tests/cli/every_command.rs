//! What holds for every command, as the command line itself lists them: one that is new is asked
//! for here, and cannot be forgotten.
//!
//! A help without its example, an id that any option could stand for, `--json` that one command
//! did not heed, a path that was taken for text and a command that panicked where nobody read its
//! output were tried; each made a test fail.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;

use serde_json::Value;

use crate::place::{Place, Run};

/// The commands that the help lists, but for the one for help itself.
fn commands() -> Vec<String> {
    let help = Place::new().ok(&["--help"]);
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    // What goes on is farther to the right.
    let named = list.filter_map(|line| line.strip_prefix("  ").filter(|it| !it.starts_with(' ')));
    let names = named.filter_map(|line| line.split_whitespace().next()).map(String::from);
    let names: Vec<_> = names.filter(|name| name != "help").collect();
    assert!(names.len() >= 18 && names.iter().any(|name| name == "load"), "{names:?}");
    names
}

/// Arguments with which a command does what it is for, in a [`place`], where `STORE` stands for
/// the store.
fn good_call(command: &str) -> &'static [&'static str] {
    match command {
        "demo" => &["--tokens", "100"],
        "generate" => &["--tokens", "10", "--out", "new.csv"],
        "load" => &["STORE", "more.csv"],
        "get" => &["STORE", "1", "2"],
        "set" => &["STORE", "1", "2", "9"],
        "remove" => &["STORE", "1"],
        "sign" => &["STORE", "1", "--peer", "7"],
        "check" => &["signature.json", "--store", "STORE"],
        "expire" => &["STORE", "--before", "3"],
        "checkpoint" | "salvage" => &["STORE", "copy"],
        "range" => &["STORE", "--limit", "3"],
        "completions" => &["bash"],
        "apply" | "stat" | "verify" | "compact" | "dump" => &["STORE"],
        other => panic!("say here how {other} is called, so that it is tried"),
    }
}

/// What commands that read standard input are given.
const INPUT: &str = r#"{"op":"put","token":1,"block":2,"time":3}
{"op":"commit"}
"#;

/// A place with all that good calls need: a store of this name that has a signature, too.
fn place(store: &OsString) -> Place {
    let place = Place::new();
    let lines = (0..30_000).map(|id| format!("{id},{},{}\n", id / 6, 2 + id % 5));
    place.write("tokens.csv", lines.collect::<String>());
    place.write("more.csv", "100000,2,3\n");
    Run::of(place.command(&["load"]).arg(store).arg("tokens.csv").output().unwrap()).ends(0);
    let sign = place.command(&["--json", "sign"]).arg(store).args(["1", "--peer", "7"]).output();
    place.write("signature.json", Run::of(sign.unwrap()).ends(0).stdout);
    place
}

/// Makes a good call, with options before it; `is_read` says whether anybody reads the output.
fn call(command: &str, options: &[&str], store: &OsString, is_read: bool) -> Run {
    let place = place(store);
    let mut run = place.command(options);
    run.arg(command);
    run.args(good_call(command).iter().map(|arg| match *arg {
        "STORE" => store.as_os_str(),
        arg => OsStr::new(arg),
    }));
    if !is_read {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        run.stdout(writer);
    }
    place.write("input", INPUT);
    let input = fs::File::open(place.path("input")).unwrap();
    Run::of(run.stdin(Stdio::from(input)).output().unwrap())
}

#[test]
fn each_explains_itself_with_examples() {
    let place = Place::new();
    for command in commands() {
        for args in [[command.as_str(), "--help"], [&command, "-h"], ["help", &command]] {
            let run = place.run(&args).ends(0);
            assert_eq!(run.stderr, "", "{args:?}");
            assert!(run.stdout.contains(&format!("Usage: ringstore {command}")), "{run:?}");
            let examples = run.stdout.split_once("\nExamples:\n").expect(&command).1;
            let calls = examples.lines().filter(|line| line.starts_with("  "));
            let own = calls.filter(|line| {
                let mut words = line.split_whitespace().skip_while(|word| *word != "ringstore");
                words.any(|word| word == command)
            });
            assert!(own.count() > 0, "{run:?}");
        }
    }
}

#[test]
fn each_says_what_is_wrong_with_its_arguments_and_prints_nothing() {
    let place = Place::new();
    for command in commands() {
        let usage = format!("Usage: ringstore {command}");
        let says = |args: &[&str], reason| {
            let run = place.run(args).fails(2, reason);
            assert!(run.stdout.is_empty() && run.stderr.contains(&usage), "{run:?}");
        };
        let good = [&[command.as_str()], good_call(&command)].concat();
        says(&[&good[..], &["--frobnicate"]].concat(), "unexpected argument '--frobnicate'");
        // These two need none.
        if !["check", "demo"].contains(&command.as_str()) {
            says(&[&command], "required arguments were not provided");
        }
    }
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn each_prints_json_that_a_parser_reads() {
    let mut objects = 0;
    for command in commands() {
        let run = call(&command, &["--json"], &"store".into(), true);
        if command == "completions" {
            assert_eq!(run.fails(2, "leave out --json").stdout, "");
            continue;
        }
        let run = run.ends(0);
        let lines = run.json();
        assert!(!lines.is_empty() && lines.iter().all(Value::is_object), "{command}: {run:?}");
        assert!(run.stdout.ends_with('\n'), "{command}: {run:?}");
        objects += lines.len();
    }
    // Those of `dump`, and one at least of each other.
    assert!(objects > 30_016, "{objects}");
}

/// Also what is said to people says the same without anybody listening.
#[test]
fn each_ends_alike_when_nobody_reads_its_output() {
    for command in commands() {
        for options in [&[][..], &["--json"]] {
            let read = call(&command, options, &"store".into(), true);
            let unread = call(&command, options, &"store".into(), false);
            assert_eq!((unread.code, unread.stdout.as_str()), (read.code, ""), "{unread:?}");
            unread.ends(read.code);
        }
    }
}

/// As a name may be of any bytes but two.
#[test]
fn each_takes_a_store_of_any_name() {
    let store = OsString::from_vec(b"st\xffre\n".to_vec());
    let mut calls = 0;
    for command in commands() {
        if !good_call(&command).contains(&"STORE") {
            continue;
        }
        for options in [&[][..], &["--json"]] {
            let run = call(&command, options, &store, true).ends(0);
            if !options.is_empty() {
                run.json();
            }
            calls += 1;
        }
    }
    assert!(calls >= 30, "{calls}");
}
