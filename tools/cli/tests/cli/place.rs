//! Running the real command in a directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::tools::can_use;

/// A directory to run in, removed at the end.
pub(crate) struct Place {
    directory: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names of all there is, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.directory.path())
    }

    /// The command, to be run here.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringstore"));
        command.args(args).current_dir(self.directory.path()).env("TMPDIR", self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: impl AsRef<[u8]>) -> Run {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        let writer = std::thread::spawn(move || {
            // The command may refuse the input before it has read all.
            let _ = stdin.write_all(&input);
        });
        let run = Run::of(child.wait_with_output().unwrap());
        writer.join().unwrap();
        run
    }

    /// Runs what has to succeed; its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.run(args).ends(0).stdout
    }

    /// An empty store named `store`.
    pub(crate) fn empty_store() -> Self {
        let place = Self::new();
        place.ok(&["load", "store", "/dev/null", "--format", "csv"]);
        place
    }

    /// The one file of the store whose name ends so.
    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        let store = self.path("store");
        let mut names = names(&store);
        names.retain(|name| name.ends_with(ending));
        assert_eq!(names.len(), 1, "{names:?}");
        store.join(&names[0])
    }

    /// All there is, with all its bytes and when it was changed.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let mut contents = BTreeMap::new();
        let mut directories = vec![self.directory.path().to_path_buf()];
        while let Some(directory) = directories.pop() {
            for name in names(&directory) {
                let path = directory.join(name);
                let metadata = fs::metadata(&path).unwrap();
                let bytes = if metadata.is_dir() {
                    directories.push(path.clone());
                    Vec::new()
                } else {
                    fs::read(&path).unwrap()
                };
                contents.insert(path, (bytes, metadata.modified().unwrap()));
            }
        }
        contents
    }

    /// A store named `store` of this many random tokens.
    pub(crate) fn store_of(tokens: u64) -> Self {
        let place = Self::new();
        place.ok(&["generate", "--tokens", &tokens.to_string(), "--out", "tokens.raw"]);
        place.ok(&["load", "store", "tokens.raw"]);
        place
    }
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit code, and that whatever was said was said properly.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        for line in self.stderr.lines() {
            assert!(line.starts_with("ringstore: "), "{self:?}");
        }
        if code != 0 {
            assert!(!self.stderr.is_empty(), "{self:?}");
        }
        self
    }

    /// Asserts the exit code, and that one line was said that contains this.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, reason: &str) -> Self {
        let run = self.ends(code);
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(run.stderr.contains(reason), "{reason:?} in {run:?}");
        run
    }

    /// The lines of standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Sends a signal as a terminal would.
pub(crate) fn interrupt(child: &Child) {
    signal(child, "INT");
}

pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// Waits until something is so.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// An id as it is printed.
pub(crate) fn id(number: u64) -> String {
    format!("{number:064x}")
}

/// The counts in the report of a load: read, stored, duplicates, spilled.
pub(crate) fn load_counts(report: &[Value]) -> [u64; 4] {
    let [report] = report else { panic!("{report:?}") };
    ["read", "stored", "duplicates", "spilled"].map(|name| report[name].as_u64().unwrap())
}

/// A directory on another file system than a place, removed at the end; `None` where there is
/// none.
pub(crate) fn other_file_system(place: &Place) -> Option<TempDir> {
    let directory = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    (device(directory.path()) != device(&place.path(""))).then_some(directory)
}

/// A file system in memory of some megabytes, unmounted at the end.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount one, if that is not required.
    pub(crate) fn mount(path: PathBuf, megabytes: u64) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        let is_mounted = mount.is_ok_and(|output| output.status.success());
        can_use(is_mounted, "this user may not mount a tmpfs", "CI_MOUNT").then_some(Self(path))
    }

    /// Changes an option, such as `ro` or `size=4m`.
    pub(crate) fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
