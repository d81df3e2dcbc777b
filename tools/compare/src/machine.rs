//! The machine that was measured on, as it goes into results.

use std::borrow::Cow;
use std::fs;
use std::hint::black_box;
use std::thread::available_parallelism;
use std::time::Instant;

use ringstore::Residency;
use serde::{Deserialize, Serialize};

/// What is not known is null.
#[derive(Serialize, Deserialize)]
pub(crate) struct Machine {
    cpu: Option<String>,
    cores: Option<usize>,
    memory_bytes: Option<u64>,
    os: Cow<'static, str>,
    kernel: Option<String>,
    /// What it takes to read the clock, which is in every percentile and in no median
    /// over rounds.
    clock_ns: f64,
    /// How ringstore keeps its files in memory. Empty in files of before there was a choice.
    #[serde(default)]
    ringstore_residency: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let kibibytes = line_of("/proc/meminfo", "MemTotal").and_then(|text| {
            let digits = text.strip_suffix("kB")?.trim_end();
            digits.parse::<u64>().ok()
        });
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            cpu: line_of("/proc/cpuinfo", "model name"),
            cores: available_parallelism().ok().map(Into::into),
            memory_bytes: kibibytes.map(|kibibytes| kibibytes * 1024),
            os: std::env::consts::OS.into(),
            kernel: kernel.map(|kernel| kernel.trim().to_string()),
            clock_ns: clock_ns(),
            ringstore_residency: Residency::default().to_string(),
        }
    }

    pub(crate) fn with(self, residency: Residency) -> Self {
        Self { ringstore_residency: residency.to_string(), ..self }
    }
}

/// The value in the first line `name : value` of a file.
fn line_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut values = text.lines().filter_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_string())
    });
    values.next()
}

fn clock_ns() -> f64 {
    const READINGS: u32 = 100_000;
    let started = Instant::now();
    for _ in 0..READINGS {
        black_box(Instant::now());
    }
    started.elapsed().as_nanos() as f64 / f64::from(READINGS)
}
