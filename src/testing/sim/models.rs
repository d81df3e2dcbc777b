//! What a crash may leave of the changes that were not synced.
//!
//! There are far too many possibilities to try them all. Each *model* here is a way of
//! losing changes that file systems and disks are known for, and has so many cases that
//! all can be tried; two of them are random, for what nobody thought of.

use std::collections::BTreeSet;

use super::files::Target;

/// A change that is not synced, as far as it matters here.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) target: Target,
    /// How many sectors it writes to; none if it changes names or a length.
    pub(super) sectors: usize,
}

/// What becomes of a change.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// Of a write: whether each of its sectors is kept, and whether the file becomes as
    /// long as all of them would make it.
    Torn {
        kept: Vec<bool>,
        extends: bool,
    },
}

impl Fate {
    /// Some sectors of a write, or in other words all or nothing of it.
    fn torn(kept: Vec<bool>, extends: bool) -> Self {
        if kept.iter().all(|is_kept| *is_kept) {
            Self::Kept
        } else if extends || kept.contains(&true) {
            Self::Torn { kept, extends }
        } else {
            Self::Lost
        }
    }
}

/// Gives a number below another one at random.
pub(super) type Chance<'a> = &'a mut dyn FnMut(u64) -> u64;

/// A way of losing changes.
pub(super) struct Model {
    /// How many cases there are with these changes, of which there is at least one.
    pub(super) cases: fn(&[Shape]) -> usize,
    /// What becomes of each change in one of the cases.
    pub(super) fates: fn(&[Shape], usize, Chance<'_>) -> Vec<Fate>,
}

/// All of them.
pub(super) const MODELS: [Model; 11] = [
    Model { cases: |_| 1, fates: |changes, _, _| nothing(changes) },
    Model { cases: |_| 1, fates: |changes, _, _| everything(changes) },
    Model { cases: |changes| changes.len() - 1, fates: |changes, case, _| prefix(changes, case) },
    Model { cases: <[_]>::len, fates: |changes, case, _| alone(changes, case) },
    Model { cases: <[_]>::len, fates: |changes, case, _| missing(changes, case) },
    Model { cases: |_| 2, fates: |changes, case, _| metadata_first(changes, case == 1) },
    Model { cases: |_| 1, fates: |changes, _, _| data_first(changes) },
    Model {
        cases: |changes| 2 * targets(changes).len(),
        fates: |changes, case, _| file(changes, case),
    },
    Model { cases: subsets, fates: subset },
    Model { cases: |_| MIXTURES, fates: |changes, _, chance| mixture(changes, chance) },
    Model { cases: |changes| 2 * TEARS * writes(changes).count(), fates: torn },
];

/// Up to so many changes, all subsets of them are tried, and as many of more.
const SUBSETS_BITS: usize = 4;

const MIXTURES: usize = 8;

/// Ways to tear a write.
const TEARS: usize = 3;

/// What becomes of each change, from whether it is kept.
fn keep(changes: &[Shape], mut is_kept: impl FnMut(usize, &Shape) -> bool) -> Vec<Fate> {
    let fate = |(index, change)| if is_kept(index, change) { Fate::Kept } else { Fate::Lost };
    changes.iter().enumerate().map(fate).collect()
}

/// A disk that had not begun to write.
fn nothing(changes: &[Shape]) -> Vec<Fate> {
    keep(changes, |_, _| false)
}

/// A disk that was just done.
fn everything(changes: &[Shape]) -> Vec<Fate> {
    keep(changes, |_, _| true)
}

/// A disk that writes in order was stopped.
fn prefix(changes: &[Shape], last: usize) -> Vec<Fate> {
    keep(changes, |index, _| index <= last)
}

/// One change came before all others.
fn alone(changes: &[Shape], only: usize) -> Vec<Fate> {
    keep(changes, |index, _| index == only)
}

/// One change was put off.
fn missing(changes: &[Shape], left_out: usize) -> Vec<Fate> {
    keep(changes, |index, _| index != left_out)
}

/// A file system with a journal for names and lengths, and none for data: all files have
/// their names and are as long as they should be, and what was written is zeros. Or, where
/// a file becomes longer only when data comes, not even that.
fn metadata_first(changes: &[Shape], extends: bool) -> Vec<Fate> {
    let fate = |change: &Shape| match change.sectors {
        0 => Fate::Kept,
        sectors => Fate::torn(vec![false; sectors], extends),
    };
    changes.iter().map(fate).collect()
}

/// A file system that writes data at once and names and lengths when it has time.
fn data_first(changes: &[Shape]) -> Vec<Fate> {
    keep(changes, |_, change| change.sectors > 0)
}

/// One file, or all names, came before all others, or was put off.
fn file(changes: &[Shape], case: usize) -> Vec<Fate> {
    let target = targets(changes).into_iter().nth(case / 2);
    keep(changes, |_, change| (Some(change.target) == target) == case.is_multiple_of(2))
}

fn targets(changes: &[Shape]) -> BTreeSet<Target> {
    changes.iter().map(|change| change.target).collect()
}

/// How many subsets are tried.
fn subsets(changes: &[Shape]) -> usize {
    1 << changes.len().min(SUBSETS_BITS)
}

/// A disk that writes whole changes in any order: any subset, of few changes each.
fn subset(changes: &[Shape], case: usize, chance: Chance<'_>) -> Vec<Fate> {
    let all = changes.len() <= SUBSETS_BITS;
    keep(changes, |index, _| if all { case >> index & 1 == 1 } else { chance(2) == 0 })
}

/// A disk that writes sectors in any order: of each change all, nothing or something.
fn mixture(changes: &[Shape], chance: Chance<'_>) -> Vec<Fate> {
    let fate = |change: &Shape| match chance(3) {
        0 => Fate::Lost,
        1 if change.sectors > 0 => some_sectors(change.sectors, chance),
        _ => Fate::Kept,
    };
    changes.iter().map(fate).collect()
}

fn some_sectors(count: usize, chance: Chance<'_>) -> Fate {
    Fate::torn((0..count).map(|_| chance(2) == 0).collect(), chance(2) == 0)
}

/// The indexes of changes that can be torn.
fn writes(changes: &[Shape]) -> impl Iterator<Item = usize> {
    (0..changes.len()).filter(|index| changes[*index].sectors > 0)
}

/// One write is torn: its first half is there, its last, or some of its sectors. What came
/// after it is there as well, or is not.
fn torn(changes: &[Shape], case: usize, chance: Chance<'_>) -> Vec<Fate> {
    let (is_last, tear) = (case.is_multiple_of(2), case / 2 % TEARS);
    let torn = writes(changes).nth(case / 2 / TEARS).expect("as many writes as `cases` counts");
    let mut fates = keep(changes, |index, _| index < torn || !is_last);
    let count = changes[torn].sectors;
    fates[torn] = match tear {
        0 => Fate::torn((0..count).map(|at| at < count / 2).collect(), false),
        1 => Fate::torn((0..count).map(|at| at >= count / 2).collect(), false),
        _ => some_sectors(count, chance),
    };
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, a write of three sectors and one of two to a file, the length of another.
    const CHANGES: [Shape; 4] = [
        Shape { target: Target::Directory, sectors: 0 },
        Shape { target: Target::File(7), sectors: 3 },
        Shape { target: Target::File(7), sectors: 2 },
        Shape { target: Target::File(9), sectors: 0 },
    ];

    /// All cases of a model, in letters: what is kept and what is lost of each change, of
    /// a torn one of each sector, and `+` where it extends the file. Chance says 0 always.
    fn cases(model: usize, changes: &[Shape]) -> Vec<String> {
        let Model { cases, fates } = &MODELS[model];
        let letter = |is_kept: &bool| if *is_kept { 'k' } else { 'l' };
        let word = |fate: &Fate| match fate {
            Fate::Kept => "K".to_string(),
            Fate::Lost => "L".to_string(),
            Fate::Torn { kept, extends } => {
                kept.iter().map(letter).chain(extends.then_some('+')).collect()
            }
        };
        let case = |case| fates(changes, case, &mut |_| 0).iter().map(word).collect::<Vec<_>>();
        (0..cases(changes)).map(|number| case(number).join(" ")).collect()
    }

    #[test]
    fn each_model_loses_what_it_should() {
        let expected: [&[&str]; 8] = [
            &["L L L L"],
            &["K K K K"],
            &["K L L L", "K K L L", "K K K L"],
            &["K L L L", "L K L L", "L L K L", "L L L K"],
            &["L K K K", "K L K K", "K K L K", "K K K L"],
            &["K L L K", "K lll+ ll+ K"],
            &["L K K L"],
            &["L K K L", "K L L K", "L L L K", "K K K L", "K L L L", "L K K K"],
        ];
        for (model, expected) in expected.iter().enumerate() {
            assert_eq!(cases(model, &CHANGES), *expected, "model {model}");
        }
        let torn = [
            "K kll L L",
            "K kll K K",
            "K lkk L L",
            "K lkk K K",
            "K K L L",
            "K K K K",
            "K K kl L",
            "K K kl K",
            "K K lk L",
            "K K lk K",
            "K K K L",
            "K K K K",
        ];
        assert_eq!(cases(10, &CHANGES), torn);
    }

    #[test]
    fn of_few_changes_every_subset_is_tried() {
        let found: BTreeSet<_> = cases(8, &CHANGES).into_iter().collect();
        assert_eq!(found.len(), 16);
        let many = [CHANGES, CHANGES].concat();
        assert_eq!(cases(8, &many).len(), 16);
        let mut turn = 0;
        let subset = subset(&many, 3, &mut |end| {
            turn += 1;
            turn % end
        });
        assert_eq!(subset[..3], [Fate::Lost, Fate::Kept, Fate::Lost]);
    }

    #[test]
    fn of_a_mixture_any_change_is_lost_kept_or_torn() {
        let mut found = vec![BTreeSet::new(); CHANGES.len()];
        let mut number = 0_u64;
        let mut chance = |end| {
            number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (number >> 33) % end
        };
        for _ in 0..200 {
            for (found, fate) in found.iter_mut().zip(mixture(&CHANGES, &mut chance)) {
                found.insert(format!("{fate:?}"));
            }
        }
        // Lost, kept, and all other subsets of the sectors, with and without the length.
        assert_eq!(found.iter().map(BTreeSet::len).collect::<Vec<_>>(), [2, 15, 7, 2]);
    }

    #[test]
    fn one_change_is_enough_for_every_model() {
        for changes in &CHANGES {
            for (number, model) in MODELS.iter().enumerate() {
                let changes = [*changes];
                for case in 0..(model.cases)(&changes) {
                    let fates = (model.fates)(&changes, case, &mut |_| 0);
                    assert_eq!(fates.len(), 1, "model {number}");
                }
            }
        }
    }
}
