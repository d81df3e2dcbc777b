//! What the entries of a layer did to the layers below, two bits each.
//!
//! A line of 64 bytes holds the kinds of 192 entries as two rows of bits, and two
//! counts of what came in all lines before, so that the number of entries of each
//! kind up to any position takes one line to read.

use super::layout::{KINDS_LINE_LEN, KINDS_PER_LINE};

/// What an entry did to the layers below its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// The token was absent below.
    Fresh,
    /// The token was present below and has a new value.
    Update,
    /// The token was present below and is removed.
    Tombstone,
}

/// What two entries for one token in neighbouring layers come to in one layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Merged {
    /// The newer value, of this kind.
    Entry(Kind),
    /// The older entry put it there, the newer one removed it.
    Nothing,
    /// No two entries follow one another like this.
    Impossible,
}

impl Kind {
    /// What an entry of this kind comes to with one of the layer below it.
    pub(crate) fn over(self, older: Self) -> Merged {
        match (older, self) {
            (Self::Fresh, Self::Update) => Merged::Entry(Self::Fresh),
            (Self::Fresh, Self::Tombstone) => Merged::Nothing,
            (Self::Update, Self::Update) | (Self::Tombstone, Self::Fresh) => {
                Merged::Entry(Self::Update)
            }
            (Self::Update, Self::Tombstone) => Merged::Entry(Self::Tombstone),
            (Self::Fresh | Self::Update, Self::Fresh)
            | (Self::Tombstone, Self::Update | Self::Tombstone) => Merged::Impossible,
        }
    }
}

/// How many entries of a run are no fresh ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct KindCounts {
    /// Updates and tombstones.
    pub(crate) stale: u64,
    /// Tombstones alone.
    pub(crate) tombstones: u64,
}

impl KindCounts {
    pub(crate) fn add(&mut self, kind: Kind) {
        // The counts before may be a file's word only.
        self.stale = self.stale.wrapping_add(u64::from(kind != Kind::Fresh));
        self.tombstones = self.tombstones.wrapping_add(u64::from(kind == Kind::Tombstone));
    }
}

const WORDS: usize = KINDS_PER_LINE / 64;

/// One line: counts of all lines before, then the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct KindsLine {
    pub(crate) before: KindCounts,
    stale: [u64; WORDS],
    tombstones: [u64; WORDS],
}

impl KindsLine {
    /// An empty line after the given counts.
    pub(crate) fn after(before: KindCounts) -> Self {
        Self { before, ..Self::default() }
    }

    /// Sets the kind of the entry at a place in the line; set once.
    pub(crate) fn set(&mut self, place: usize, kind: Kind) {
        let (word, bit) = (place / 64, 1 << (place % 64));
        if kind != Kind::Fresh {
            self.stale[word] |= bit;
        }
        if kind == Kind::Tombstone {
            self.tombstones[word] |= bit;
        }
    }

    /// The kind at a place below 192; `None` for bits that no builder writes.
    pub(crate) fn kind(&self, place: usize) -> Option<Kind> {
        let (word, bit) = (place / 64 % WORDS, place % 64);
        match (self.stale[word] >> bit & 1, self.tombstones[word] >> bit & 1) {
            (0, 0) => Some(Kind::Fresh),
            (1, 0) => Some(Kind::Update),
            (1, 1) => Some(Kind::Tombstone),
            _ => None,
        }
    }

    /// Counts of all entries before a place, those of earlier lines included.
    pub(crate) fn counts_before(&self, place: usize) -> KindCounts {
        // All words each time, as nobody foresees which of them would do.
        let ones = |row: &[u64; WORDS]| -> u64 {
            let counts = row.iter().enumerate().map(|(index, word)| {
                let bits = place.saturating_sub(64 * index) as u32;
                let mask = 1u64.checked_shl(bits).map_or(u64::MAX, |bit| bit - 1);
                (word & mask).count_ones()
            });
            u64::from(counts.sum::<u32>())
        };
        KindCounts {
            stale: self.before.stale.wrapping_add(ones(&self.stale)),
            tombstones: self.before.tombstones.wrapping_add(ones(&self.tombstones)),
        }
    }

    pub(crate) fn encode(&self) -> [u8; KINDS_LINE_LEN] {
        let words = [
            self.before.stale,
            self.before.tombstones,
            self.stale[0],
            self.stale[1],
            self.stale[2],
            self.tombstones[0],
            self.tombstones[1],
            self.tombstones[2],
        ];
        bytemuck::cast(words.map(u64::to_le_bytes))
    }

    pub(crate) fn decode(bytes: &[u8; KINDS_LINE_LEN]) -> Self {
        let words: [[u8; 8]; 8] = bytemuck::cast(*bytes);
        let [stale_before, tombstones_before, s0, s1, s2, t0, t1, t2] =
            words.map(u64::from_le_bytes);
        Self {
            before: KindCounts { stale: stale_before, tombstones: tombstones_before },
            stale: [s0, s1, s2],
            tombstones: [t0, t1, t2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_counts_come_back() {
        let kinds = [Kind::Fresh, Kind::Update, Kind::Tombstone, Kind::Update, Kind::Fresh];
        let before = KindCounts { stale: 7, tombstones: 3 };
        let mut line = KindsLine::after(before);
        let kind_at = |place: usize| kinds[place * place % kinds.len()];
        for place in 0..KINDS_PER_LINE {
            line.set(place, kind_at(place));
        }
        let line = KindsLine::decode(&line.encode());
        let mut counts = before;
        for place in 0..KINDS_PER_LINE {
            assert_eq!(line.counts_before(place), counts);
            assert_eq!(line.kind(place), Some(kind_at(place)));
            counts.add(kind_at(place));
        }
        assert_eq!(line.counts_before(KINDS_PER_LINE), counts);
    }

    /// By what the kinds mean: whether the token is there below, and after each.
    #[test]
    fn merged_kinds_say_what_both_did() {
        let kinds = [Kind::Fresh, Kind::Update, Kind::Tombstone];
        for older in kinds {
            for newer in kinds {
                let is_there_below = older != Kind::Fresh;
                let is_there_between = older != Kind::Tombstone;
                let is_there_after = newer != Kind::Tombstone;
                let is_there_before = newer != Kind::Fresh;
                let expected = if is_there_between ^ is_there_before {
                    Merged::Impossible
                } else {
                    match (is_there_below, is_there_after) {
                        (false, false) => Merged::Nothing,
                        (false, true) => Merged::Entry(Kind::Fresh),
                        (true, true) => Merged::Entry(Kind::Update),
                        (true, false) => Merged::Entry(Kind::Tombstone),
                    }
                };
                assert_eq!(newer.over(older), expected, "{newer:?} over {older:?}");
            }
        }
    }

    #[test]
    fn a_tombstone_that_is_fresh_is_no_kind() {
        let mut bytes = KindsLine::default().encode();
        bytes[40] = 1;
        assert_eq!(KindsLine::decode(&bytes).kind(0), None);
    }
}
