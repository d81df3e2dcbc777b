//! Which layers become one.

/// There are no more layers on disk than this.
pub(crate) const LAYERS_MAX: usize = 6;

/// A layer is taken into a new one unless it is so many times as large.
const FANOUT: u64 = 4;

/// How many of the newest layers a flush of so many entries takes into its own, if the
/// layers, newest first, have so many.
///
/// None, as long as there is room for one layer more: nothing is written again that need
/// not be. If there is none, as many as are not much larger than what is written anyhow.
pub(crate) fn layers_to_take(entries: u64, layers: &[u64], records_max: u64) -> usize {
    if layers.len() < LAYERS_MAX {
        return 0;
    }
    let mut sum = entries;
    let mut count = 0;
    for layer in layers {
        let with = sum.saturating_add(*layer);
        let is_small = *layer <= sum.saturating_mul(FANOUT);
        if count > 0 && !is_small || with > records_max {
            break;
        }
        sum = with;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = u32::MAX as u64;

    #[test]
    fn nothing_is_taken_while_there_is_room() {
        assert_eq!(layers_to_take(5, &[], MAX), 0);
        assert_eq!(layers_to_take(5, &[1, 1, 1, 1, 1], MAX), 0);
    }

    #[test]
    fn small_layers_are_taken_together() {
        assert_eq!(layers_to_take(10, &[10, 10, 10, 10, 10, 1_000], MAX), 5);
        assert_eq!(layers_to_take(10, &[10, 10, 10, 10, 10, 200], MAX), 6);
        // One at least, or there would be too many.
        assert_eq!(layers_to_take(1, &[100, 500, 3_000, 20_000, 90_000, 400_000], MAX), 1);
    }

    #[test]
    fn no_layer_outgrows_a_segment() {
        assert_eq!(layers_to_take(10, &[10, 10, 10, 10, 10, 200], 240), 5);
        assert_eq!(layers_to_take(10, &[90, 10, 10, 10, 10, 200], 90), 0);
    }

    /// However many deltas are flushed, layers are few, and what is written over is no
    /// large multiple of what came.
    #[test]
    fn layers_are_few_forever() {
        for base in [0, 1_000, 1_000_000] {
            let mut layers = vec![base];
            layers.retain(|layer| *layer > 0);
            let (mut flushed, mut written) = (0u64, 0u64);
            for _ in 0..20_000 {
                let count = layers_to_take(100, &layers, MAX);
                let sum = 100 + layers.drain(..count).sum::<u64>();
                layers.insert(0, sum);
                flushed += 100;
                written += sum;
                assert!(layers.len() <= LAYERS_MAX, "{layers:?}");
            }
            let amplification = written as f64 / flushed as f64;
            println!("over {base}: {amplification:.1} times, {layers:?}");
            assert!(amplification < 20.0, "{amplification}");
        }
    }
}
