//! Times of operations, and what is told of them.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Fewer operations say nothing about the slowest in a hundred or in a thousand.
const OPERATIONS_FOR_P99: u64 = 100;
const OPERATIONS_FOR_P999: u64 = 1_000;

/// Three digits of each time are kept, up to an hour.
const DIGITS: u8 = 3;
const NANOS_MAX: u64 = 3_600_000_000_000;

/// How long an engine took for one workload.
pub(crate) struct Times {
    /// Of each round, for one operation.
    rounds_ns: Vec<f64>,
    operations: u64,
    /// Of single operations.
    histogram: Histogram<u64>,
}

impl Times {
    /// # Panics
    ///
    /// Never: there are histograms of these bounds.
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, NANOS_MAX, DIGITS);
        let histogram = histogram.expect("a histogram of sound bounds");
        Self { rounds_ns: Vec::new(), operations: 0, histogram }
    }

    /// Adds a round of so many operations.
    pub(crate) fn add_round(&mut self, operations: u64, elapsed: Duration) {
        self.rounds_ns.push(elapsed.as_nanos() as f64 / operations as f64);
        self.operations += operations;
    }

    /// Adds a single operation, which counts for percentiles alone.
    pub(crate) fn add_single(&mut self, elapsed: Duration) {
        self.histogram.saturating_record(elapsed.as_nanos() as u64);
    }

    pub(crate) fn add_singles(&mut self, singles: impl IntoIterator<Item = Duration>) {
        for single in singles {
            self.add_single(single);
        }
    }

    /// The operations in all rounds.
    pub(crate) fn operations(&self) -> u64 {
        self.operations
    }

    /// The median over the rounds.
    pub(crate) fn median_ns(&self) -> Option<f64> {
        let mut sorted = self.rounds_ns.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            count if count % 2 == 1 => Some(sorted[middle]),
            _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        }
    }

    /// The time that this share of single operations did not exceed; `None` if there
    /// were too few of them.
    fn quantile(&self, share: f64, operations_min: u64) -> Option<u64> {
        let enough = self.histogram.len() >= operations_min;
        enough.then(|| self.histogram.value_at_quantile(share))
    }

    /// The time that half of them did not exceed.
    pub(crate) fn p50_ns(&self) -> Option<u64> {
        self.quantile(0.5, 1)
    }

    /// The time that 99 of 100 did not exceed.
    pub(crate) fn p99_ns(&self) -> Option<u64> {
        self.quantile(0.99, OPERATIONS_FOR_P99)
    }

    /// The time that 999 of 1,000 did not exceed.
    pub(crate) fn p999_ns(&self) -> Option<u64> {
        self.quantile(0.999, OPERATIONS_FOR_P999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_rounds() {
        let mut times = Times::new();
        assert_eq!(times.median_ns(), None);
        for (nanos, median) in [(500, 50.0), (100, 30.0), (300, 30.0), (400, 35.0)] {
            times.add_round(10, Duration::from_nanos(nanos));
            assert_eq!(times.median_ns(), Some(median));
        }
        assert_eq!(times.operations(), 40);
    }

    #[test]
    fn percentiles_need_operations() {
        let mut times = Times::new();
        assert_eq!((times.p50_ns(), times.p99_ns(), times.p999_ns()), (None, None, None));
        for nanos in 1..=99 {
            times.add_single(Duration::from_nanos(nanos));
        }
        assert_eq!((times.p50_ns(), times.p99_ns()), (Some(50), None));
        times.add_single(Duration::from_nanos(100));
        assert_eq!((times.p50_ns(), times.p99_ns(), times.p999_ns()), (Some(50), Some(99), None));
        for nanos in 101..=1_000 {
            times.add_single(Duration::from_nanos(nanos));
        }
        assert_eq!(
            (times.p50_ns(), times.p99_ns(), times.p999_ns()),
            (Some(500), Some(990), Some(999))
        );
    }

    #[test]
    fn long_times_are_told_to_three_digits() {
        for (elapsed, expected) in [
            (Duration::from_millis(240), 240_000_000.0),
            (Duration::from_secs(47), 47e9),
            (Duration::from_secs(7_200), NANOS_MAX as f64),
        ] {
            let mut times = Times::new();
            times.add_single(elapsed);
            let told = times.p50_ns().unwrap() as f64;
            assert!((told / expected - 1.0).abs() < 0.001, "{elapsed:?}: {told}");
        }
    }
}
