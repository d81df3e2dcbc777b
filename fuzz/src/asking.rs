//! Everything that a snapshot can be asked, of some tokens, and the answers held against the
//! right ones where these are known.

use std::cell::Cell;
use std::fmt::{Arguments, Debug};
use std::ops::Bound::{self, Excluded, Included, Unbounded};

use ringstore::testing::oracle::Oracle;
use ringstore::{BlockTime, Chunks, Error, Leg, PeerId, Record, Result, Snapshot, TokenId};

/// Tokens that are asked for in a turn, and ranks; others in the next one.
const ASKED: usize = 3;

const PEER: PeerId = PeerId([7; 32]);

type Pair = (TokenId, BlockTime);

/// What to ask.
pub struct Questions<'a> {
    pub tokens: &'a [TokenId],
    /// Which of them; others each time.
    pub seed: Cell<usize>,
    /// What walks seek.
    pub suffixes: [u16; 2],
    /// Records that the files have room for.
    pub records_max: usize,
}

/// What is known of what a snapshot holds.
#[derive(Clone, Default)]
pub struct Known {
    /// All of it.
    pub right: Option<Oracle>,
    /// Nothing that is read is damaged.
    pub is_clean: bool,
}

impl Known {
    /// An answer, or `None` where there is damage instead.
    pub fn answer<T>(&self, result: Result<T>) -> Option<T> {
        match result {
            Ok(answer) => Some(answer),
            Err(Error::Damaged(damage)) if self.is_clean => panic!("{damage}, unseen before"),
            Err(Error::Damaged(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// An answer that is to be the oracle's.
    fn check<T: PartialEq + Debug>(
        &self,
        question: Arguments<'_>,
        answer: Result<T>,
        right: impl FnOnce(&Oracle) -> T,
    ) {
        if let Some(answer) = self.answer(answer)
            && let Some(oracle) = &self.right
        {
            assert_eq!(answer, right(oracle), "{question}");
        }
    }
}

/// Everything, ascending; `None` where there is damage.
///
/// # Panics
///
/// If it does not end, or the other way round is another thing.
pub fn all(snapshot: &Snapshot, known: &Known, records_max: usize) -> Option<Vec<Pair>> {
    let within = |len: usize| assert!(len <= records_max, "more than the files have room for");
    // Makes room for as many as the range says.
    let up: Vec<_> = snapshot.range(..).take(records_max + 1).collect();
    let down: Vec<_> = snapshot.range(..).rev().take(records_max + 1).collect();
    within(up.len());
    within(down.len());
    let up = known.answer(up.into_iter().collect::<Result<Vec<_>>>());
    let down = known.answer(down.into_iter().collect::<Result<Vec<_>>>());
    if known.right.is_some()
        && let (Some(up), Some(down)) = (&up, &down)
    {
        assert!(up.iter().eq(down.iter().rev()), "up and down");
    }
    up
}

/// Asks for everything.
///
/// # Panics
///
/// If an answer is wrong, or not there though nothing is damaged.
pub fn ask(snapshot: &Snapshot, known: &Known, questions: &Questions<'_>) {
    let whole = all(snapshot, known, questions.records_max);
    if let (Some(found), Some(oracle)) = (whole, &known.right) {
        assert!(found.into_iter().eq(oracle.range(..)), "not what there is");
    }
    let len = snapshot.len();
    let right = known.right.as_ref();
    assert!(right.is_none_or(|right| right.len() == len), "{len} tokens");
    let seed = questions.seed.replace(questions.seed.get() + 1);
    let asked = tokens(questions.tokens, seed);
    for token in &asked {
        ask_for(snapshot, known, token);
    }
    let step = seed as u64 % 5 + len / ASKED as u64;
    let ranks = (0..ASKED as u64).map(|number| number.saturating_mul(step));
    for rank in ranks.chain([len.wrapping_sub(1), len, u64::MAX]) {
        known.check(format_args!("select {rank}"), snapshot.select(rank), |it| it.select(rank));
    }
    let [first, .., last] = asked[..] else { unreachable!("there are both ends") };
    for (start, end) in [
        (Included(asked[1]), Excluded(asked[2])),
        (Unbounded, Included(asked[seed % asked.len()])),
        (Excluded(asked[seed % asked.len()]), Excluded(last)),
        (Excluded(last), Included(first)),
    ] {
        ask_range(snapshot, known, (start, end), seed, questions.records_max);
    }
    walk(snapshot, known, &asked, questions.suffixes);
    ask_many(snapshot, known, &asked);
}

/// Some tokens that may be there, and ends.
fn tokens(tokens: &[TokenId], seed: usize) -> Vec<TokenId> {
    let step = tokens.len() / ASKED;
    let mut asked: Vec<_> = tokens.iter().skip(seed * 17 % step).step_by(step).copied().collect();
    let mut beside = asked[ASKED / 2];
    beside.0[31] ^= 1;
    asked.extend([TokenId::MIN, beside, TokenId::MAX]);
    asked.sort_unstable();
    asked.dedup();
    asked
}

fn ask_for(snapshot: &Snapshot, known: &Known, token: &TokenId) {
    known.check(format_args!("get {token}"), snapshot.get(token), |it| it.get(token));
    known.check(format_args!("{token}?"), snapshot.contains(token), |it| it.contains(token));
    known.check(format_args!("rank {token}"), snapshot.rank(token), |it| it.rank(token));
    let signed = snapshot.sign(token, &PEER);
    known.check(format_args!("sign {token}"), signed, |it| it.sign(token, &PEER));
    if let Ok(Some(signed)) = snapshot.sign(token, &PEER) {
        let checked = snapshot.check(&signed.signature, &PEER);
        known.check(format_args!("check {token}"), checked, |_| Ok(()));
    }
}

fn ask_range(
    snapshot: &Snapshot,
    known: &Known,
    bounds: (Bound<TokenId>, Bound<TokenId>),
    seed: usize,
    records_max: usize,
) {
    let question = format_args!("{bounds:?}");
    known.check(question, snapshot.count(bounds), |it| it.count(bounds));
    let slices = snapshot.slices(bounds).take(records_max + 1);
    let slices: Result<Vec<&[Record]>> = slices.collect();
    let records = slices.map(|slices| slices.concat().into_iter().map(Into::into).collect());
    known.check(question, records, |it| it.range(bounds).collect::<Vec<Pair>>());
    // From both ends by turns, with some left out.
    let mut range = snapshot.range(bounds);
    let mut right = known.right.as_ref().map(|it| it.range(bounds).collect::<Vec<_>>());
    let mut right = right.as_mut().map(|it| it.drain(..));
    for turn in 0..6 {
        let skipped = (seed + turn) % 3;
        let (found, right) = if turn % 2 == 0 {
            (range.nth(skipped), right.as_mut().map(|it| it.nth(skipped)))
        } else {
            (range.nth_back(skipped), right.as_mut().map(|it| it.nth_back(skipped)))
        };
        // An error ends the range.
        let Some(found) = known.answer(found.transpose()) else { return };
        assert!(right.is_none_or(|right| right == found), "{question}, turn {turn}");
    }
}

fn walk(snapshot: &Snapshot, known: &Known, asked: &[TokenId], suffixes: [u16; 2]) {
    let [one, other] = suffixes;
    let chunks: Chunks = std::array::from_fn(|chunk| suffixes[chunk % 2] % 1_024);
    let (ups, downs, more) = ([one, one], [other], [one % 1_024]);
    let legs = [Leg::up(&ups), Leg::down(&downs), Leg::up(&more)];
    let origins: Vec<_> = asked.iter().map(|token| (*token, legs.as_slice())).collect();
    for token in asked.iter().step_by(3) {
        let found = snapshot.walk(token, &legs);
        known.check(format_args!("walk from {token}"), found, |it| it.walk(token, &legs));
        let found = snapshot.search_signature(token, &chunks);
        let question = format_args!("search from {token}");
        known.check(question, found, |it| it.search_signature(token, &chunks));
    }
    let mut walks = Vec::new();
    let found = snapshot.walk_many(&origins, &mut walks).map(|()| walks);
    known.check(format_args!("walk many"), found, |it| {
        origins.iter().map(|(token, legs)| it.walk(token, legs)).collect()
    });
}

fn ask_many(snapshot: &Snapshot, known: &Known, asked: &[TokenId]) {
    let mut values = Vec::new();
    let found = snapshot.get_many(asked, &mut values).map(|()| values);
    known.check(format_args!("get many"), found, |it| {
        asked.iter().map(|token| it.get(token)).collect()
    });
    let challenges: Vec<_> = asked.iter().map(|token| (*token, PEER)).collect();
    let mut signatures = Vec::new();
    let found = snapshot.sign_many(&challenges, &mut signatures).map(|()| signatures);
    known.check(format_args!("sign many"), found, |it| {
        asked.iter().map(|token| it.sign(token, &PEER)).collect()
    });
}
