//! What is asked of the engines.

use ringstore::{BlockTime, Direction, PeerId, Result, Signed, TokenId};

use super::compare::{Comparison, Each, compare};
use super::engines::{Engine, Found};
use crate::talk::say;

const RANGE_RECORDS: usize = 1_000;

/// Questions that one engine answers before the next has its turn.
const SIGNATURE_BATCH: usize = 100;
const RANGE_BATCH: usize = 20;

/// How much is asked beside the lookups.
pub(super) struct Questions {
    pub(super) signatures: usize,
    /// Each way.
    pub(super) ranges: usize,
    /// Lookups that one engine makes before the next has its turn.
    pub(super) lookup_batch: usize,
}

/// Puts all questions to the engines; also says how many signatures there were.
pub(super) fn ask_all(
    engines: Each<&dyn Engine>,
    questions: &Questions,
    present: &[TokenId],
    absent: &[TokenId],
    peers: impl Iterator<Item = PeerId>,
) -> Result<(u64, Vec<Comparison>)> {
    let get = |engine: &dyn Engine, token: &TokenId, answer: &mut Option<BlockTime>| {
        *answer = engine.get(token)?;
        Ok(())
    };
    let sign =
        |engine: &dyn Engine, (token, peer): &(TokenId, PeerId), answer: &mut Option<Signed>| {
            *answer = engine.sign(token, peer)?;
            Ok(())
        };
    let range = |way| {
        move |engine: &dyn Engine, from: &TokenId, answer: &mut Vec<Found>| {
            answer.clear();
            engine.range(from, way, RANGE_RECORDS, answer)
        }
    };
    let Questions { signatures, ranges, lookup_batch } = *questions;
    say("looking up tokens that are there");
    let hits = compare("get-hit", engines, present, lookup_batch, get, |_, found| found.is_some())?;
    say("looking up others");
    let misses =
        compare("get-miss", engines, absent, lookup_batch, get, |_, found| found.is_none())?;

    say("signing");
    let challenges: Vec<_> = present.iter().copied().cycle().zip(peers).take(signatures).collect();
    let mut signed = 0;
    let signatures =
        compare("sign", engines, &challenges, SIGNATURE_BATCH, sign, |(_, peer), found| {
            let Some(found) = found else { return true };
            signed += 1;
            found.signature.check(peer).is_ok()
        })?;

    say("reading ranges");
    // From tokens that are there and from others, by turns.
    let turns = 0..present.len().max(absent.len());
    let starts = turns.flat_map(|turn| [present.get(turn), absent.get(turn)]).flatten();
    let starts: Vec<_> = starts.copied().cycle().take(2 * ranges).collect();
    let (up, down) = starts.split_at(starts.len() / 2);
    let ordered = |way| move |from: &TokenId, found: &Vec<Found>| is_ordered(way, from, found);
    let up = compare(
        "range-forward",
        engines,
        up,
        RANGE_BATCH,
        range(Direction::Up),
        ordered(Direction::Up),
    )?;
    let down = compare(
        "range-backward",
        engines,
        down,
        RANGE_BATCH,
        range(Direction::Down),
        ordered(Direction::Down),
    )?;
    Ok((signed, vec![hits, misses, signatures, up, down]))
}

/// Whether the tokens lie beyond `from`, each beyond the one before.
fn is_ordered(way: Direction, from: &TokenId, found: &[Found]) -> bool {
    let tokens = found.iter().map(|(token, _)| token);
    std::iter::once(from).chain(tokens).is_sorted_by(|one, next| match way {
        Direction::Up => one < next,
        Direction::Down => one > next,
    })
}

#[cfg(test)]
mod tests {
    use super::super::engines::NaiveArray;
    use super::*;
    use ringstore::{Record, Signature, TokenBlock, chunks};

    /// Answers every question wrongly.
    struct Liar(NaiveArray);

    impl Engine for Liar {
        /// Has what is not there, and has not what is.
        fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
            let found = self.0.get(token)?;
            Ok(if found.is_none() { Some(BlockTime::default()) } else { None })
        }

        /// Meets the token itself, whatever the chunks.
        fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
            let origin = TokenBlock { token: *token, ..TokenBlock::default() };
            let signature = Signature { origin, matches: [origin; 10] };
            let chunks = chunks(peer, token, &origin.block);
            Ok(Some(Signed { signature, chunks, steps: 10, wrapped: false }))
        }

        /// Begins with the token that is to be left out.
        fn range(
            &self,
            from: &TokenId,
            way: Direction,
            count: usize,
            into: &mut Vec<Found>,
        ) -> Result<()> {
            into.push((*from, BlockTime::default()));
            self.0.range(from, way, count, into)
        }
    }

    fn array() -> NaiveArray {
        NaiveArray(
            (10..20).map(|id| Record::new(TokenId::from(id), BlockTime::default())).collect(),
        )
    }

    /// The differences of each operation if all engines are this one.
    fn differences(engine: &dyn Engine) -> Vec<u64> {
        let engines = Each { ringstore: engine, redb: engine, array: engine };
        let [present, absent] = [10..20, 30..40].map(|ids| ids.map(TokenId::from).collect());
        let (present, absent): (Vec<_>, Vec<_>) = (present, absent);
        let questions = Questions { signatures: 10_000, ranges: 1_000, lookup_batch: 3 };
        let peers = (0..).map(PeerId::from);
        let (_, operations) = ask_all(engines, &questions, &present, &absent, peers).unwrap();
        operations.iter().map(|compared| compared.differences).collect()
    }

    #[test]
    fn who_lies_alike_is_noticed_too() {
        assert_eq!(differences(&array()), [0; 5]);
        assert_eq!(differences(&Liar(array())), [10, 10, 10_000, 1_000, 1_000]);
    }

    #[test]
    fn only_what_lies_beyond_in_order_is_ordered() {
        for (way, ids, expected) in [
            (Direction::Up, &[][..], true),
            (Direction::Up, &[6, 7, 9], true),
            (Direction::Up, &[6, 6], false),
            (Direction::Up, &[7, 6], false),
            (Direction::Up, &[5, 6], false),
            (Direction::Up, &[4], false),
            (Direction::Down, &[4, 3, 1], true),
            (Direction::Down, &[4, 4], false),
            (Direction::Down, &[3, 4], false),
            (Direction::Down, &[5, 4], false),
            (Direction::Down, &[6], false),
        ] {
            let found = |id: &u64| (TokenId::from(*id), BlockTime::default());
            let found: Vec<_> = ids.iter().map(found).collect();
            assert_eq!(is_ordered(way, &TokenId::from(5), &found), expected, "{way:?} {ids:?}");
        }
    }
}
