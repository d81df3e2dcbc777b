//! What was measured, as it is written to a file: after each workload, so that no more is
//! lost than the one that is under way.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::exit::Failure;
use crate::interrupt::wait_if_interrupted;
use crate::machine::Machine;
use crate::talk::say;
use crate::workload::Workload;

/// Everything that was measured in a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// How many were asked for.
    pub(crate) tokens: u32,
    /// The share of them that is stored.
    pub(crate) density: f64,
    /// Of each family of keys that was signed for.
    pub(crate) walks: Vec<Walks>,
    #[serde(rename = "results")]
    pub(crate) measured: Vec<Measured>,
    /// Engines that were left out from some workload on.
    pub(crate) failed: Vec<Failed>,
    /// Where all of this goes, if anywhere.
    #[serde(skip)]
    pub(crate) path: Option<PathBuf>,
}

/// How far signatures have to walk.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Walks {
    pub(crate) keys: String,
    /// Stored tokens that are passed for each match, in the mean of the walks that were
    /// compared.
    pub(crate) steps_per_match: f64,
}

/// An engine that failed, or answered wrongly.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) keys: String,
    pub(crate) engine: Cow<'static, str>,
    pub(crate) workload: Workload,
    pub(crate) reason: String,
    /// Whether it answered wrongly.
    pub(crate) differs: bool,
}

/// What a report needs of a file that an earlier run wrote. All else in it may be unknown.
#[derive(Deserialize)]
pub(crate) struct Written {
    pub(crate) density: Option<f64>,
    #[serde(rename = "results")]
    pub(crate) measured: Vec<Measured>,
}

/// One engine, one workload, one family of keys. What an engine does not do is null.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) keys: String,
    /// How many are stored.
    pub(crate) tokens: u64,
    /// A file may name engines that are not compiled in.
    pub(crate) engine: Cow<'static, str>,
    pub(crate) workload: Workload,
    /// Threads that ask. Engines may use others.
    #[serde(default = "one")]
    pub(crate) threads: u32,
    /// In all rounds, of all threads.
    pub(crate) ops: Option<u64>,
    /// The median over rounds: how long they took, by how many operations there were.
    pub(crate) ns_per_op: Option<f64>,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
    /// Of the database that was read, or that the load made.
    pub(crate) bytes_per_token: Option<f64>,
}

fn one() -> u32 {
    1
}

impl Measured {
    /// What engines are compared by: time, or for [`Workload::Size`] bytes.
    pub(crate) fn figure(&self) -> Option<f64> {
        if self.workload == Workload::Size { self.bytes_per_token } else { self.ns_per_op }
    }
}

impl Results {
    /// Writes what there is so far.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        // What came of files that vanish is not kept.
        wait_if_interrupted();
        let Some(path) = &self.path else {
            return Ok(());
        };
        write(path, self)
    }

    /// Leaves an engine out from here on, and says so.
    pub(crate) fn leave_out(
        &mut self,
        keys: &str,
        engine: &'static str,
        workload: Workload,
        failure: &Failure,
    ) {
        let differs = matches!(failure, Failure::Differ(_));
        let reason = failure.to_string();
        let name = workload.name();
        say(format_args!("{engine} is left out of {keys} from {name} on: {reason}"));
        let (keys, engine) = (keys.to_string(), engine.into());
        self.failed.push(Failed { keys, engine, workload, reason, differs });
    }

    /// Fails if engines were left out.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let engines: BTreeSet<_> = self.failed.iter().map(|failed| &*failed.engine).collect();
        let engines = engines.into_iter().collect::<Vec<_>>().join(", ");
        let differ = self.failed.iter().any(|failed| failed.differs);
        Err(Failure::LeftOut { engines, differ })
    }
}

/// Reads what [`write`] has written, or an earlier version of it. `measured` tells which part of
/// it the results are.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    measured: impl FnOnce(&T) -> &[Measured],
) -> Result<T, Failure> {
    let text = fs::read(path).map_err(Failure::io("read", path))?;
    let fails = |reason| Failure::NoResults { path: path.to_path_buf(), reason };
    let written = serde_json::from_slice(&text).map_err(|error| fails(error.to_string()))?;
    let rows = measured(&written);
    if rows.is_empty() {
        return Err(fails("its list of results is empty".to_string()));
    }
    let is_strange = |row: &&Measured| ![&*row.keys, &*row.engine].into_iter().all(is_name);
    if let Some(Measured { keys, engine, .. }) = rows.iter().find(is_strange) {
        return Err(fails(format!("{keys:?} or {engine:?} is no name of keys or of an engine")));
    }
    Ok(written)
}

/// Names go to terminals, into Markdown and into SVG.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Writes a file as JSON, as a whole or not at all.
pub(crate) fn write(path: &Path, results: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(results).map_err(io::Error::from);
    let written = text.and_then(|text| replace(path, text + "\n"));
    written.map_err(Failure::io("write", path))
}

/// Replaces a file, as a whole or not at all, whenever the run is interrupted. What is no
/// file, such as a pipe, is written to.
fn replace(path: &Path, text: String) -> io::Result<()> {
    if !path.is_file() {
        return fs::write(path, text);
    }
    // Through a link, if it is one.
    let path = path.canonicalize()?;
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(&path))?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(path.metadata()?.permissions())?;
    file.persist(path)?;
    Ok(())
}
