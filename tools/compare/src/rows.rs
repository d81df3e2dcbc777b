//! What comes of measuring one family of keys: rows of results, and who is left out.

use crate::engines::Engine;
use crate::exit::Failure;
use crate::load::{Closed, Loaded, RAW, RAW_BYTES_PER_TOKEN};
use crate::results::{Failed, Measured, Results};
use crate::timing::Times;
use crate::turns::guarded;
use crate::workload::Workload;
use crate::writes::Written;

/// What an engine has in the run.
pub(crate) trait Named {
    fn name(&self) -> &'static str;
}

impl Named for Loaded {
    fn name(&self) -> &'static str {
        self.engine.name()
    }
}

impl Named for Closed {
    fn name(&self) -> &'static str {
        self.engine.name()
    }
}

impl Named for Written {
    fn name(&self) -> &'static str {
        self.engine.name()
    }
}

/// What was measured of the family so far.
pub(crate) struct Rows<'a> {
    pub(crate) keys: String,
    pub(crate) tokens: u64,
    /// The place of its first row in the results.
    pub(crate) first: usize,
    pub(crate) results: &'a mut Results,
}

impl Rows<'_> {
    /// What came of something an engine did; `None` if that failed, so that it is left out.
    /// If it answered wrongly, nothing counts of what it did before.
    pub(crate) fn sort_out<T>(
        &mut self,
        engine: &'static str,
        workload: Workload,
        outcome: Result<T, Failure>,
    ) -> Option<T> {
        if let Err(failure) = &outcome {
            self.results.leave_out(&self.keys, engine, workload, failure);
            if matches!(failure, Failure::Differ(_)) {
                self.forget(engine);
            }
        }
        outcome.ok()
    }

    pub(crate) fn is_left_out(&self, engine: &str) -> bool {
        let is_it = |failed: &Failed| (&*failed.keys, &*failed.engine) == (&*self.keys, engine);
        self.results.failed.iter().any(is_it)
    }

    /// Those that did not fail.
    pub(crate) fn sort_out_all<T: Named>(
        &mut self,
        all: Vec<T>,
        workload: Workload,
        outcomes: Vec<Result<(), Failure>>,
    ) -> Vec<T> {
        let mut kept = Vec::new();
        for (one, outcome) in all.into_iter().zip(outcomes) {
            if self.sort_out(one.name(), workload, outcome).is_some() {
                kept.push(one);
            } else {
                // What failed may fail here again, and was told.
                let _ = guarded(|| {
                    drop(one);
                    Ok(())
                });
            }
        }
        kept
    }

    pub(crate) fn add(
        &mut self,
        engine: &'static str,
        workload: Workload,
        threads: usize,
        times: &Times,
        bytes: Option<u64>,
    ) {
        self.results.measured.push(Measured {
            keys: self.keys.clone(),
            tokens: self.tokens,
            engine: engine.into(),
            workload,
            threads: threads as u32,
            ops: Some(times.operations()).filter(|operations| *operations > 0),
            ns_per_op: times.median_ns(),
            p50_ns: times.p50_ns(),
            p99_ns: times.p99_ns(),
            p999_ns: times.p999_ns(),
            bytes_per_token: bytes.and_then(|bytes| self.per_token(bytes)),
        });
    }

    /// A load that leaves nothing on disk is no load as the others are.
    pub(crate) fn add_load(
        &mut self,
        engine: &dyn Engine,
        workload: Workload,
        times: &Times,
        bytes: Option<u64>,
    ) {
        let none = Times::new();
        let times = if engine.is_durable() { times } else { &none };
        self.add(engine.name(), workload, 1, times, bytes);
    }

    pub(crate) fn add_raw(&mut self, workload: Workload, times: Result<Times, Failure>) {
        if let Some(times) = self.sort_out(RAW, workload, times) {
            self.add(RAW, workload, 1, &times, Some(self.tokens * RAW_BYTES_PER_TOKEN));
        }
    }

    /// Tells the size where it was left open.
    pub(crate) fn complete(&mut self, engine: &str, bytes: u64) {
        let bytes_per_token = self.per_token(bytes);
        let of_engine =
            self.results.measured[self.first..].iter_mut().filter(|row| row.engine == engine);
        for row in of_engine.filter(|row| row.workload != Workload::LoadRandom) {
            row.bytes_per_token = bytes_per_token;
        }
    }

    /// Takes back all figures of an engine.
    fn forget(&mut self, engine: &str) {
        for row in &mut self.results.measured[self.first..] {
            if row.engine == engine {
                row.ops = None;
                row.ns_per_op = None;
                row.bytes_per_token = None;
                (row.p50_ns, row.p99_ns, row.p999_ns) = (None, None, None);
            }
        }
    }

    /// `None` for what is not on disk.
    fn per_token(&self, bytes: u64) -> Option<f64> {
        (bytes > 0).then(|| bytes as f64 / self.tokens as f64)
    }
}
