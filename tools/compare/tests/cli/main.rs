//! The command as its users meet it: the real binary is run, in a directory of its own.

mod regressions;
mod reports;
mod runs;
mod usage;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

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
