//! What the policy comes to, over years of writing, from a small store to a large one.
//!
//! Tokens that are there are written anew, at random, twice as many times as there are tokens.
//! How many different ones a layer has is reckoned, not drawn. Run with `--nocapture` to see
//! the table.

use super::policy::{LAYERS_MAX, is_to_compact, layers_to_take};
use super::{BYTES_PER_RECORD, RECORDS_MAX};
use crate::options::Options;
use crate::token::Record;

/// Of `tokens`, so many are in one of two random sets.
fn union(one: u64, other: u64, tokens: u64) -> u64 {
    one + other - (u128::from(one) * u128::from(other) / u128::from(tokens)) as u64
}

/// What writing came to.
#[derive(Default)]
struct Sums {
    entries: u64,
    logged: u64,
    flushed: u64,
    compacted: u64,
    compactions: u64,
    layers_max: usize,
    /// After each flush, the sum of the layers above the base in parts of it.
    upper: f64,
}

/// Bytes of a log for each entry, in batches of a thousand.
const LOG_BYTES: u64 = Record::LEN as u64 + 1;

impl Sums {
    fn simulate(tokens: u64, delta: u64, rounds: u64) -> Self {
        let mut sums = Self::default();
        // Newest first.
        let mut layers = vec![tokens];
        for round in 0..rounds {
            sums.entries += delta;
            sums.logged += delta * LOG_BYTES;
            let upper = &layers[..layers.len() - 1];
            let count = layers_to_take(delta, upper, 1, RECORDS_MAX);
            let made = layers.drain(..count).fold(delta, |made, layer| union(made, layer, tokens));
            layers.insert(0, made);
            sums.flushed += made * BYTES_PER_RECORD;
            sums.layers_max = sums.layers_max.max(layers.len());
            sums.upper += layers[..layers.len() - 1].iter().sum::<u64>() as f64
                / layers[layers.len() - 1] as f64
                / rounds as f64;
            if is_to_compact(&layers) {
                sums.compactions += 1;
                sums.compacted += tokens * BYTES_PER_RECORD;
                layers = vec![tokens];
                // Those that came meanwhile: as if the disk wrote twenty times as fast as they
                // are committed.
                let meanwhile = (tokens / 20 / delta).min(rounds - round);
                for _ in 0..meanwhile {
                    let count = layers_to_take(
                        delta,
                        &layers[..layers.len() - 1],
                        LAYERS_MAX - 1,
                        RECORDS_MAX,
                    );
                    let made = layers.drain(..count).fold(delta, |a, b| union(a, b, tokens));
                    layers.insert(0, made);
                    sums.entries += delta;
                    sums.logged += delta * LOG_BYTES;
                    sums.flushed += made * BYTES_PER_RECORD;
                }
            }
        }
        sums
    }

    /// Bytes written for each byte of an entry.
    fn amplification(&self) -> [f64; 3] {
        let bytes = (self.entries * Record::LEN as u64) as f64;
        [self.logged, self.flushed, self.compacted].map(|written| written as f64 / bytes)
    }
}

#[test]
fn layers_are_few_and_little_is_written_again() {
    println!(
        "{:>13} {:>9} | {:>6} {:>11} {:>7} | log  flush compact  all",
        "tokens", "delta", "layers", "compactions", "upper"
    );
    for tokens in [10_000u64, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000] {
        for delta in [Options::DELTA_ENTRIES as u64, 2_000_000] {
            let delta = delta.min(tokens / 10);
            let rounds = 2 * tokens / delta;
            let sums = Sums::simulate(tokens, delta, rounds);
            let [log, flush, compact] = sums.amplification();
            let all = log + flush + compact;
            println!(
                "{tokens:>13} {delta:>9} | {:>6} {:>11} {:>6.1}% | {log:.1}  {flush:.1}   {compact:.1}     {all:.1}",
                sums.layers_max,
                sums.compactions,
                100.0 * sums.upper
            );
            assert!(sums.layers_max <= LAYERS_MAX);
            assert!(sums.compactions > 0);
            // Years of small deltas over a large store: better to make them larger.
            let most = if tokens / delta < 500 { 6.0 } else { 25.0 };
            assert!(all < most, "{all}");
        }
    }
}
