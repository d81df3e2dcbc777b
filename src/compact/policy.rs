//! Which layers become one.

/// There are no more layers on disk than this.
pub(crate) const LAYERS_MAX: usize = 6;

/// A flush leaves room for one more, to write what comes while all others are compacted.
const LAYERS_FLUSHED_MAX: usize = LAYERS_MAX - 1;

/// A layer is taken into a new one unless it is more than so many times as large. Less is
/// written with a smaller number as long as few deltas come before all is compacted, with a
/// larger one if there are thousands; `simulation.rs` shows it.
const FANOUT: u64 = 3;

/// All layers are made one when those above the base have this part of its records.
const BASE_PARTS: u64 = 2;

/// How many of the newest layers a flush of so many entries takes into its own, if those
/// that it may take, newest first, have so many, and there are so many others: the base,
/// and those that are being compacted.
///
/// None, as long as there is room for one layer more: nothing is written again that need
/// not be. If there is none, as many as are not much larger than what is written anyhow.
pub(crate) fn layers_to_take(
    entries: u64,
    layers: &[u64],
    others: usize,
    records_max: u64,
) -> usize {
    if layers.len() + others < LAYERS_FLUSHED_MAX {
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

/// Whether all layers, newest first, are to be made one: their entries are written once more
/// for each time that they grow by a good part.
pub(crate) fn is_to_compact(layers: &[u64]) -> bool {
    match layers.split_last() {
        Some((base, upper)) if !upper.is_empty() => {
            upper.iter().sum::<u64>().saturating_mul(BASE_PARTS) >= *base
        }
        _ => false,
    }
}

/// How many of the newest of so many layers are left as they are when others are made one, which
/// takes a while: what is flushed meanwhile finds room for a layer, or one to be taken with.
pub(crate) fn layers_to_leave(layers: usize) -> usize {
    (layers + 1).saturating_sub(LAYERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = u32::MAX as u64;

    #[test]
    fn nothing_is_taken_while_there_is_room() {
        assert_eq!(layers_to_take(5, &[], 0, MAX), 0);
        assert_eq!(layers_to_take(5, &[1, 1, 1, 1], 0, MAX), 0);
        assert_eq!(layers_to_take(5, &[1], 3, MAX), 0);
    }

    #[test]
    fn small_layers_are_taken_together() {
        assert_eq!(layers_to_take(10, &[10, 10, 10, 10, 1_000], 0, MAX), 4);
        assert_eq!(layers_to_take(10, &[10, 60, 240, 960, 3_841], 0, MAX), 4);
        // One at least, or there would be too many.
        assert_eq!(layers_to_take(1, &[100, 500, 3_000, 20_000, 90_000], 0, MAX), 1);
        // What is being compacted counts, but is not taken.
        assert_eq!(layers_to_take(1, &[10], 5, MAX), 1);
        assert_eq!(layers_to_take(1, &[], 5, MAX), 0);
    }

    #[test]
    fn what_is_flushed_finds_room() {
        for layers in 1..=LAYERS_MAX {
            let left = layers_to_leave(layers);
            // The free ones are small, and the others being made one for ever.
            let mut free = vec![1; left];
            for _ in 0..20 {
                let taken = layers_to_take(1, &free, layers - left, MAX);
                free.splice(..taken, [1]);
                assert!(free.len() + layers - left <= LAYERS_MAX, "{layers}");
            }
        }
    }

    #[test]
    fn no_layer_outgrows_a_segment() {
        assert_eq!(layers_to_take(10, &[10, 10, 10, 10, 20], 0, 50), 4);
        assert_eq!(layers_to_take(10, &[90, 10, 10, 10, 10], 0, 90), 0);
    }

    #[test]
    fn all_are_compacted_when_the_others_are_half_as_large() {
        assert!(!is_to_compact(&[]) && !is_to_compact(&[7]));
        assert!(!is_to_compact(&[10, 39, 100]));
        assert!(is_to_compact(&[10, 40, 100]));
        assert!(is_to_compact(&[1, 1, 1, 1, 1]));
    }
}
