//! Every way to end has its exit code and says why in one line.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::place::{Place, Run, SmallDisk, id, names, wait_until};

#[test]
fn wrong_usage_is_2() {
    let place = Place::store_of(10);
    for (args, reason) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["get"], "not provided: <STORE> <ID>..."),
        (&["get", "store"], "not provided: <ID>..."),
        (&["get", "store", "xyz"], "invalid value 'xyz' for '<ID>...': an id has 64 hex digits"),
        (&["get", "store", ""], "'<ID>...'"),
        (&["range", "store", "--after", "1", "--before", "2"], "cannot be used with"),
        (&["range", "store", "--limit", "-1"], "'-1'"),
        (&["range", "store", "--limit", "many"], "invalid value 'many'"),
        (&["sign", "store", "1"], "not provided: --peer <ID>"),
        (&["generate", "--tokens", "1"], "not provided: --out <FILE>"),
        (&["generate", "--tokens", "x", "--out", "a.raw"], "invalid value 'x'"),
        (&["demo", "--tokens", "0"], "0 is not in 1.."),
        (&["load", "new"], "not provided: <FILE>..."),
        (&["load", "new", "-"], "the format of standard input is not known; give it with --format"),
        (&["load", "new", "tokens.txt"], "the format of tokens.txt is not known"),
        (&["load", "new", "tokens.raw", "--format", "xml"], "invalid value 'xml'"),
        (&["load", "new", "-", "-", "--format", "csv"], "only once"),
        (&["set", "store", "1", "2"], "not provided: <TIME>"),
        (&["set", "store", "1", "2", "x"], "invalid value 'x' for '<TIME>'"),
        (&["set", "store", "1", "2", "-1"], "invalid value '-1' for '<TIME>'"),
        (&["set", "store", "1", "2", "18446744073709551616"], "for '<TIME>'"),
        (&["set", "store", "1", "12ab", "3"], "invalid value '12ab' for '<BLOCK>'"),
        (&["set", "store", "xyz", "2", "3"], "invalid value 'xyz' for '<ID>'"),
        (&["set", "store", "1", "2", "3", "4"], "unexpected argument '4'"),
        (&["remove", "store"], "not provided: <ID>"),
        (&["remove", "store", "xyz"], "invalid value 'xyz' for '<ID>'"),
        (&["apply"], "not provided: <STORE>"),
        (&["apply", "store", "--durability", "hoped"], "invalid value 'hoped'"),
        (&["compact"], "not provided: <STORE>"),
        (&["compact", "store", "store"], "unexpected argument 'store'"),
        (&["expire", "store"], "not provided: --before <TIME>"),
        (&["expire", "--before", "7"], "not provided: <STORE>"),
        (&["expire", "store", "--before", "-1"], "invalid value '-1' for '--before <TIME>'"),
        (&["expire", "store", "--before", "x"], "invalid value 'x' for '--before <TIME>'"),
        (&["expire", "store", "--before", "18446744073709551616"], "for '--before <TIME>'"),
        (&["checkpoint", "store"], "not provided: <DEST>"),
        (&["checkpoint", "store", ""], "a value is required for '<DEST>'"),
        (&["completions", "cmd.exe"], "invalid value 'cmd.exe'"),
        (&["stat", "store", "--jsonn"], "unexpected argument '--jsonn'"),
    ] {
        place.run(args).fails(2, reason);
    }
    // Bare, it shows how it is used.
    let run = place.run(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("Usage: ringstore"));
    assert_eq!(place.names(), ["store", "tokens.raw"]);
}

#[test]
fn help_is_0_and_has_examples() {
    let place = Place::new();
    for args in [
        &["--help"][..],
        &["-h"],
        &["load", "--help"],
        &["sign", "-h"],
        &["apply", "--help"],
        &["compact", "--help"],
        &["expire", "-h"],
        &["checkpoint", "--help"],
    ] {
        let run = place.run(args).ends(0);
        assert!(run.stdout.contains("Examples:") && run.stderr.is_empty(), "{run:?}");
    }
    assert!(place.ok(&["--version"]).starts_with("ringstore "));
}

#[test]
fn every_shell_gets_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.ok(&["completions", shell]);
        for word in [
            "generate",
            "set",
            "remove",
            "apply",
            "durability",
            "compact",
            "expire",
            "before",
            "checkpoint",
            "salvage",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn a_missing_or_foreign_directory_is_2_and_stays_untouched() {
    let place = Place::new();
    fs::create_dir(place.path("foreign")).unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    place.write("foreign/letter.txt", "Dear Sir");
    place.write("file", "");
    for (store, reason) in [
        ("missing", "missing is not a ringstore: no such directory"),
        ("empty", "empty is not a ringstore: an empty directory"),
        ("foreign", "foreign is not a ringstore: a directory with other things in it"),
        ("file", "ot a directory"),
    ] {
        for args in [
            &["get", store, "1"][..],
            &["range", store],
            &["sign", store, "1", "--peer", "1"],
            &["check", "--store", store],
            &["stat", store],
            &["verify", store],
            &["dump", store],
            &["set", store, "1", "2", "3"],
            &["remove", store, "1"],
            &["apply", store],
            &["compact", store],
            &["expire", store, "--before", "7"],
            &["checkpoint", store, "copy"],
        ] {
            place.run(args).fails(2, reason);
        }
    }
    place.write("tokens.csv", "1,2,3\n");
    for store in ["foreign", "file"] {
        place.run(&["load", store, "tokens.csv"]).fails(2, store);
    }
    assert_eq!(place.names(), ["empty", "file", "foreign", "tokens.csv"]);
    assert_eq!(names(&place.path("foreign")), ["letter.txt"]);
    assert!(names(&place.path("empty")).is_empty());
}

#[test]
fn a_missing_file_is_2_before_anything_is_created() {
    let place = Place::new();
    place.write("good.csv", "1,2,3\n");
    fs::create_dir(place.path("directory.csv")).unwrap();
    place.run(&["load", "store", "good.csv", "missing.csv"]).fails(2, "missing.csv");
    place.run(&["load", "store", "directory.csv"]).fails(2, "directory.csv");
    place.run(&["check", "missing.json"]).fails(2, "missing.json");
    assert_eq!(place.names(), ["directory.csv", "good.csv"]);
}

#[test]
fn what_was_loaded_already_changes_nothing() {
    let place = Place::store_of(10);
    let (dump, names) = (place.ok(&["dump", "store"]), names(&place.path("store")));
    let run = place.run(&["load", "store", "tokens.raw"]).ends(0);
    let said = "0 tokens stored in store, 10 records read, 10 duplicates";
    assert_eq!(run.stderr, format!("ringstore: {said}\n"));
    assert_eq!(place.ok(&["dump", "store"]), dump);
    assert_eq!(crate::place::names(&place.path("store")), names);
    place.ok(&["verify", "store"]);
}

/// Puts other bytes in the place of a file.
fn replace(path: &PathBuf, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_3() {
    let place = Place::store_of(1_000);
    let path = place.file(".seg");
    let good = fs::read(&path).unwrap();

    // A flipped bit of the first record: reading it, or verifying, finds it.
    let mut flipped = good.clone();
    flipped[4096 + 40] ^= 1;
    replace(&path, &flipped);
    place.run(&["dump", "store"]).fails(3, "or rescue the rest with `ringstore salvage`");
    place.run(&["expire", "store", "--before", "7"]).fails(3, "is damaged");
    let run = place.run(&["--json", "verify", "store"]).ends(3);
    let [report] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!(report["ok"], false);
    let damage = &report["damages"][0];
    assert!(path.ends_with(damage["path"].as_str().unwrap()), "{damage}");
    assert!(damage["offset"].as_u64().unwrap() <= 4096 + 40, "{damage}");
    for field in ["part", "expected", "found"] {
        assert!(damage[field].is_string(), "{field}: {damage}");
    }
    let run = place.run(&["verify", "store"]).ends(3);
    assert!(run.stdout.contains("is damaged"), "{run:?}");

    // A cut file is seen by every command.
    replace(&path, &good[..good.len() - 1]);
    place.run(&["stat", "store"]).fails(3, "is damaged");
    place.run(&["compact", "store"]).fails(3, "is damaged");
    place.run(&["checkpoint", "store", "copy"]).fails(3, "is damaged");
    assert!(!place.path("copy").exists());
    place.run(&["verify", "store"]).fails(3, "is damaged");
    let run = place.run(&["--json", "verify", "store"]).fails(3, "is damaged in 1 places");
    let [report] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!(report["ok"], false);
    let damages = report["damages"].as_array().unwrap();
    assert_eq!(damages.len(), 1, "{report}");
    assert!(path.ends_with(damages[0]["path"].as_str().unwrap()), "{report}");
    fs::remove_file(&path).unwrap();
    place.run(&["get", "store", "1"]).fails(3, "no such file");

    fs::write(&path, &good).unwrap();
    place.ok(&["verify", "store"]);
    fs::remove_file(place.path("store/MANIFEST")).unwrap();
    place.run(&["get", "store", "1"]).fails(3, "MANIFEST is damaged");
}

#[test]
fn a_version_of_the_future_is_3() {
    let place = Place::store_of(10);
    let mut manifest = place.read("store/MANIFEST");
    manifest[8..12].copy_from_slice(&77u32.to_le_bytes());
    // Its checksum is right: this is no damage.
    let body = manifest.len() - 4;
    let checksum = crc32fast::hash(&manifest[..body]);
    manifest[body..].copy_from_slice(&checksum.to_le_bytes());
    replace(&place.path("store/MANIFEST"), &manifest);
    place.run(&["get", "store", "1"]).fails(3, "format version 77");
}

#[test]
fn another_writer_is_4() {
    let place = Place::new();
    place.write("tokens.csv", "1,2,3\n");
    let mut command = place.command(&["load", "store", "-", "--format", "csv"]);
    let mut first = command.stdin(Stdio::piped()).spawn().unwrap();
    wait_until(|| place.path("store/MANIFEST").exists());
    place.run(&["load", "store", "tokens.csv"]).fails(4, "locked by another writer");
    // Reading needs no lock, and the first load is none the worse.
    assert_eq!(place.ok(&["dump", "store"]), "");
    // Nor has a checkpoint to wait.
    place.run(&["compact", "store"]).fails(4, "locked by another writer");
    place.run(&["expire", "store", "--before", "7"]).fails(4, "locked by another writer");
    place.ok(&["checkpoint", "store", "copy"]);
    drop(first.stdin.take());
    Run::of(first.wait_with_output().unwrap()).ends(0);
    place.ok(&["load", "store", "tokens.csv"]);
}

#[test]
fn a_closed_pipe_is_0_and_silent() {
    let place = Place::store_of(20_000);
    for args in [
        &["dump", "store"][..],
        &["--json", "dump", "store"],
        &["range", "store"],
        &["range", "store", "--before", &"f".repeat(64)],
    ] {
        let mut child = place.command(args).spawn().unwrap();
        let mut first = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        // Its output, dropped here, is far longer than a pipe holds.
        let run = Run::of(child.wait_with_output().unwrap()).ends(0);
        assert_eq!(run.stderr, "");
    }
}

/// Nobody reads from the first byte on, so that whatever is written fails.
#[test]
fn a_pipe_that_nobody_reads_changes_no_verdict() {
    let place = Place::store_of(1_000);
    let run = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Run::of(place.command(args).stdout(writer).output().unwrap())
    };
    for args in [&["dump", "store"][..], &["stat", "store"], &["verify", "store"]] {
        assert_eq!(run(args).ends(0).stderr, "");
    }
    let token = &place.ok(&["range", "store", "--limit", "1"])[..64];
    run(&["get", "store", token, "1"]).fails(1, "is not in the store");
    let path = place.file(".seg");
    let mut flipped = fs::read(&path).unwrap();
    flipped[4096 + 40] ^= 1;
    replace(&path, &flipped);
    for args in [&["verify", "store"][..], &["--json", "verify", "store"], &["dump", "store"]] {
        run(args).fails(3, "is damaged");
    }
}

/// However long the list is, and though it is in no buffer when the reader goes away.
#[test]
fn that_nobody_reads_a_long_list_changes_no_verdict() {
    let place = Place::store_of(200_000);
    let run = |args: &[&str]| {
        let mut child = place.command(args).spawn().unwrap();
        drop(child.stdout.take());
        Run::of(child.wait_with_output().unwrap())
    };
    let line = place.ok(&["range", "store", "--limit", "1"]);
    let token = &line[..64];
    let good = place.ok(&["--json", "sign", "store", token, "--peer", "7"]);
    let wrong = good.replacen("\"peer\":\"00", "\"peer\":\"01", 1);
    place.write("signatures.jsonl", [good.repeat(10), wrong].concat());
    let checked = run(&["check", "signatures.jsonl"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    let tokens = [token; 1_000];
    run(&[&["get", "store"], &tokens[..], &["1"]].concat()).fails(1, "is not in the store");
    let path = place.file(".seg");
    let mut bytes = fs::read(&path).unwrap();
    for chunk in (1..200_000 * 72 / 4_096).step_by(3) {
        bytes[4_096 * chunk + 100] ^= 1;
    }
    replace(&path, &bytes);
    for args in [
        &["salvage", "store", "one"][..],
        &["--json", "salvage", "store", "other"],
        &["verify", "store"],
        &["--json", "verify", "store"],
    ] {
        run(args).fails(3, "is damaged");
    }
}

#[test]
fn full_output_is_5() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let place = Place::store_of(10);
    for args in [
        &["dump", "store"][..],
        &["stat", "store"],
        &["salvage", "store", "rescued"],
        &["completions", "bash"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = place.command(args).stdout(full).output().unwrap();
        Run::of(output).fails(5, "cannot write standard output");
    }
    // As its help says.
    place.ok(&["verify", "rescued"]);
}

#[test]
fn a_limit_on_file_size_is_5_and_leaves_nothing() {
    let place = Place::new();
    place.ok(&["generate", "--tokens", "50000", "--out", "tokens.raw"]);
    // The signal is ignored so that the write itself fails. The limit is in blocks.
    let script = r#"trap '' XFSZ; ulimit -f 1000; exec "$0" "$@""#;
    let limited = |args: &[&str]| {
        let command = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_ringstore")])
            .args(args)
            .current_dir(place.path(""))
            .output();
        Run::of(command.unwrap())
    };
    limited(&["load", "some/store", "tokens.raw"]).fails(5, "File too large");
    assert_eq!(place.names(), ["tokens.raw"]);
    limited(&["generate", "--tokens", "50000", "--out", "more.raw"]).fails(5, "File too large");
    assert_eq!(place.names(), ["tokens.raw"]);
}

#[test]
fn no_space_is_5_and_leaves_nothing() {
    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(place.path("disk"), 2) else {
        eprintln!("SKIPPED: no_space_is_5_and_leaves_nothing: this user may not mount a tmpfs");
        return;
    };
    place.ok(&["generate", "--tokens", "50000", "--out", "tokens.raw"]);
    place.run(&["load", "disk/store", "tokens.raw"]).fails(5, "No space left on device");
    place
        .run(&["generate", "--tokens", "50000", "--out", "disk/tokens.csv"])
        .fails(5, "No space left on device");
    assert!(names(&place.path("disk")).is_empty());
    // What fits still goes.
    place.write("one.csv", format!("{},{},3\n", id(1), id(2)));
    place.ok(&["load", "disk/store", "one.csv"]);
    assert_eq!(place.ok(&["dump", "disk/store"]), format!("{},{},3\n", id(1), id(2)));
}
