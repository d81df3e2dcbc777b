//! What was measured, as it is written to a file.

use serde::Serialize;

use crate::machine::Machine;
use crate::workload::Workload;

/// Everything that was measured in a run.
#[derive(Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// How many were asked for.
    pub(crate) tokens: u32,
    #[serde(rename = "results")]
    pub(crate) measured: Vec<Measured>,
}

/// One engine, one workload, one family of keys. What an engine does not do is null.
#[derive(Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) keys: String,
    /// How many there are in this family.
    pub(crate) tokens: u64,
    pub(crate) engine: &'static str,
    pub(crate) workload: Workload,
    /// Threads that ask. Engines may use others.
    pub(crate) threads: u32,
    /// In all rounds.
    pub(crate) ops: u64,
    /// The median over rounds.
    pub(crate) ns_per_op: Option<f64>,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
    /// Of the database that was read, or that the load made.
    pub(crate) bytes_per_token: Option<f64>,
}

impl Measured {
    /// What engines are compared by: time, or for [`Workload::Size`] bytes.
    pub(crate) fn figure(&self) -> Option<f64> {
        if self.workload == Workload::Size { self.bytes_per_token } else { self.ns_per_op }
    }
}
