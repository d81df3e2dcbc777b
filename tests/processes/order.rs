//! In which order a short run really writes, syncs and names its files, as `strace` sees it.
//!
//! That a process is killed shows nothing of what the power takes with it. But the calls do:
//! what is reported was synced before, whatever gets its name was synced before, a manifest
//! names only what has a durable name, and nothing is removed before the manifest that names
//! it no more is durable.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{is_synced, kind};
use crate::program::Heard;
use crate::published::system::directory;
use crate::tools::can_trace;
use crate::traced::{trace, traced};

/// A call that succeeded.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Call<'a> {
    /// Of a line, after the number of the thread.
    fn parse(line: &'a str) -> Option<Self> {
        let (call, result) = line.rsplit_once(" = ")?;
        let (name, arguments) = call.split_once('(')?;
        (!result.starts_with('-')).then_some(Self { name, arguments })
    }

    /// The file that is open as its first argument.
    fn file(&self) -> Option<&'a str> {
        let (_, rest) = self.arguments.split_once('<')?;
        Some(rest.split_once('>')?.0)
    }

    /// All that is quoted: paths, or what is written.
    fn quoted(&self) -> Vec<&'a str> {
        self.arguments.split('"').skip(1).step_by(2).collect()
    }
}

fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

fn ends(path: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| path.ends_with(end))
}

/// What is not durable yet, and what was done in the current step.
#[derive(Default)]
struct Watched {
    /// Files that were written and not synced.
    dirty: BTreeSet<String>,
    /// Names that were given and not synced.
    names: BTreeSet<String>,
    is_log_written: bool,
    is_log_synced: bool,
    is_manifest_replaced: bool,
    /// How much there was to look at.
    counts: BTreeMap<&'static str, usize>,
}

fn is_log(file: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, extension)| extension == "log")
}

impl Watched {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn assert_manifests_are_durable(&self, before: &str) {
        let manifest = self.names.iter().find(|name| name.ends_with("/MANIFEST"));
        assert_eq!(manifest, None, "{before}");
    }

    fn see(&mut self, call: &Call<'_>) {
        match (call.name, call.file(), &call.quoted()[..]) {
            ("write", Some(file), [said]) if file.starts_with("pipe:") => self.hear(said),
            ("write" | "pwrite64" | "fallocate" | "ftruncate", Some(file), _) => {
                self.is_log_written |= is_log(file);
                self.dirty.insert(file.into());
            }
            ("fsync" | "fdatasync", Some(file), _) => {
                self.count("syncs");
                self.is_log_synced |= self.is_log_written && is_log(file);
                self.dirty.remove(file);
                self.names.retain(|name| directory_of(name) != file);
            }
            ("openat", _, [path]) if call.arguments.contains("O_CREAT") => {
                self.names.insert((*path).into());
            }
            ("linkat", _, [_, to]) => _ = self.names.insert((*to).into()),
            ("rename", _, [from, to]) => self.rename(from, to),
            ("unlink", _, [path]) => {
                if ends(path, &[".seg", ".log"]) {
                    self.count("removals");
                    self.assert_manifests_are_durable(path);
                }
                self.dirty.remove(*path);
                self.names.remove(*path);
            }
            _ => {}
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        assert!(!self.dirty.contains(from), "{from} becomes {to}, and is not synced");
        if to.ends_with("/MANIFEST") {
            self.count("manifests");
            let is_its = |name: &&String| {
                directory_of(name) == directory_of(to) && ends(name, &[".seg", ".log"])
            };
            let unsynced: Vec<_> = self.names.iter().filter(is_its).collect();
            assert!(unsynced.is_empty(), "{to} may name {unsynced:?}");
            self.is_manifest_replaced = true;
        }
        self.names.remove(from);
        self.names.insert(to.into());
    }

    /// The program begins something, or says that it has done it.
    fn hear(&mut self, said: &str) {
        let Some((word, number)) = said.trim_end_matches("\\n").split_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        if word == "begin" {
            (self.is_log_written, self.is_log_synced) = (false, false);
            self.is_manifest_replaced = false;
        }
        if word != "done" {
            return;
        }
        self.assert_manifests_are_durable(said);
        let is_right = match kind(number) {
            "load" => self.is_manifest_replaced,
            "commit" if !is_synced(number) => self.is_log_written,
            _ => self.is_log_synced,
        };
        assert!(is_right, "{said}, {}", kind(number));
        self.count(kind(number));
    }
}

/// Leaving out the sync of a commit, of a segment, of a manifest, or of the directory was tried,
/// each by itself, and made this test fail.
#[test]
fn what_is_reported_or_named_is_durable() {
    if !can_trace() {
        return;
    }
    let directory = directory();
    let options = ["-e", "trace=%file,%desc", "-s", "200"];
    let heard = Heard::of(traced(&directory, &BTreeSet::new(), &options), directory.path());
    assert!(heard.status.success() && heard.is_whole, "{heard:?}");
    let (trace, mut watched, mut unfinished) =
        (trace(&directory), Watched::default(), BTreeMap::new());
    for line in trace.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, begun);
            continue;
        }
        // What another thread's line cut in two.
        let joined = rest.strip_prefix("<... ").and_then(|rest| {
            let (_, end) = rest.split_once(" resumed>")?;
            Some(format!("{}{end}", unfinished.remove(thread)?))
        });
        if let Some(call) = Call::parse(joined.as_deref().unwrap_or(rest)) {
            watched.see(&call);
        }
    }
    println!("{:?}", watched.counts);
    let least = |what, least| {
        let count = watched.counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{count} {what}: {:?}", watched.counts);
    };
    for (what, count) in [("commit", 20), ("load", 2), ("expire", 2), ("syncs", 50)] {
        least(what, count);
    }
    least("manifests", 10);
    least("removals", 10);
}
