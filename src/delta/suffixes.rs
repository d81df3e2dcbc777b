//! Looking for a suffix among those of entries side by side.

use std::ops::Range;

use crate::challenge::Direction;

/// Suffixes that are compared together, without asking in between.
const CHUNK: usize = 32;

/// The first position in a range, seen in a direction, that has this suffix; positions
/// beyond the end have none.
pub(super) fn nearest(
    suffixes: &[u16],
    positions: &Range<usize>,
    direction: Direction,
    suffix: u16,
) -> Option<usize> {
    let end = positions.end.min(suffixes.len());
    let start = positions.start.min(end);
    let within = &suffixes[start..end];
    let place = match direction {
        Direction::Up => first_of(within, suffix),
        Direction::Down => last_of(within, suffix),
    };
    place.map(|place| start + place)
}

fn is_in(chunk: &[u16; CHUNK], suffix: u16) -> bool {
    chunk.iter().map(|other| u32::from(*other == suffix)).sum::<u32>() > 0
}

fn first_of(suffixes: &[u16], suffix: u16) -> Option<usize> {
    let passed = suffixes.as_chunks().0.iter().take_while(|chunk| !is_in(chunk, suffix)).count();
    let start = CHUNK * passed;
    suffixes[start..].iter().position(|other| *other == suffix).map(|place| start + place)
}

fn last_of(suffixes: &[u16], suffix: u16) -> Option<usize> {
    let chunks = suffixes.as_rchunks().1.iter().rev();
    let passed = chunks.take_while(|chunk| !is_in(chunk, suffix)).count();
    suffixes[..suffixes.len() - CHUNK * passed].iter().rposition(|other| *other == suffix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random::Random;

    #[test]
    fn the_nearest_one_is_found_by_looking_at_each() {
        let mut random = Random::new("suffixes", 1);
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 200] {
            let suffixes: Vec<_> = (0..len).map(|_| random.below(40) as u16).collect();
            for _ in 0..500 {
                let mut position = || random.below(len as u64 + 3) as usize;
                let (start, end) = (position(), position());
                let suffix = random.below(42) as u16;
                let mut is_it =
                    (0..len).filter(|at| (start..end).contains(at) && suffixes[*at] == suffix);
                let found = |direction| nearest(&suffixes, &(start..end), direction, suffix);
                assert_eq!(found(Direction::Up), is_it.clone().next());
                assert_eq!(found(Direction::Down), is_it.next_back());
            }
        }
    }
}
