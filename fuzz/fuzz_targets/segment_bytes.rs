//! Any bytes, read as a segment.
//!
//! Whatever the bytes are, there are answers and errors, never a panic, an endless loop
//! or a position that does not exist. And if `verify` finds nothing wrong, then every
//! answer is the one that a look at all the records gives.

#![no_main]

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringstore::{Damage, Error, Kind, Record, Result, Segment, TokenId};
use ringstore_fuzz::input::Input;
use ringstore_fuzz::{RECORDS_OFFSET, valid_segments};

/// Around so many records or a few more everything is asked for, and around each record
/// of a valid segment.
const ASKED: usize = 40;

static VALID: LazyLock<[Vec<u8>; 5]> = LazyLock::new(valid_segments);

fuzz_target!(
    init: {
        ringstore_fuzz::use_one_thread();
        LazyLock::force(&VALID);
    },
    |data: &[u8]| {
        if let Some(input) = Input::read(data, VALID.as_slice()) {
            run(&input);
        }
    }
);

fn run(input: &Input) {
    let path = Path::new("fuzz");
    let segment = match Segment::open(input.bytes.as_slice(), path, input.verification) {
        Ok(segment) => segment,
        Err(Error::Damaged(_) | Error::UnknownVersion { .. }) if !input.is_valid => return,
        Err(error) => panic!("{error}"),
    };
    // Read first, so that nothing was checked by `verify` before.
    ask(&segment, input, None);
    let damages = verify(&segment, input);
    if input.is_valid {
        assert_eq!(damages, []);
    }
    if damages.is_empty() {
        let tokens = tokens_of(&input.bytes, segment.len());
        assert_eq!((segment.min(), segment.max()), (&tokens[0], &tokens[tokens.len() - 1]));
        check_kinds(&segment);
        ask(&segment, input, Some(&tokens));
    }
}

fn verify(segment: &Segment<&[u8]>, input: &Input) -> Vec<Damage> {
    if input.interrupt {
        let interrupted = segment.verify(&|_| ControlFlow::Break(()));
        assert!(matches!(interrupted, Err(Error::Interrupted)));
    }
    let damages = segment.verify(&|_| ControlFlow::Continue(())).expect("nothing interrupts it");
    assert!(damages.len() <= 1_000 && damages.is_sorted_by_key(|damage| damage.offset));
    assert!(damages.iter().all(|damage| damage.offset < segment.file_len()));
    damages
}

/// The tokens of the records, cut out of the file by hand.
fn tokens_of(file: &[u8], records: usize) -> Vec<TokenId> {
    let records = &file[RECORDS_OFFSET..][..Record::LEN * records];
    records
        .as_chunks::<{ Record::LEN }>()
        .0
        .iter()
        .map(|record| TokenId(std::array::from_fn(|i| record[i])))
        .collect()
}

/// An answer, or `None` where there is damage instead. Where there is none, there must
/// be an answer.
fn answer<T>(result: Result<T>, is_clean: bool) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(Error::Damaged(damage)) if is_clean => panic!("{damage}, unseen by verify"),
        Err(Error::Damaged(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Asks for everything. `tokens` are those of the records if they are known to be
/// undamaged; then all answers must be right.
fn ask(segment: &Segment<&[u8]>, input: &Input, tokens: Option<&[TokenId]>) {
    let len = segment.len();
    let step = if input.is_valid { 1 } else { len.div_ceil(ASKED) };
    for position in (input.range.start % step..len).step_by(step).chain([0, len - 1]) {
        let Some(record) = answer(segment.record(position), tokens.is_some()) else { continue };
        let token = record.token;
        for sought in [Some(token), before(&token), after(&token)].into_iter().flatten() {
            find(segment, &sought, tokens);
        }
        find(segment, &graft(&token, &input.token, position % 32), tokens);
        for suffix in [token.suffix(), input.suffix] {
            matches(segment, position..len, suffix, tokens);
            matches(segment, 0..position, suffix, tokens);
        }
    }
    for sought in [TokenId::MIN, input.token, TokenId::MAX, *segment.min(), *segment.max()] {
        find(segment, &sought, tokens);
    }
    let Range { start, end } = input.range;
    for range in [start..end, end..start, 0..end, start..usize::MAX, start % len..len, 0..end % len]
    {
        matches(segment, range.clone(), input.suffix, tokens);
        matches(segment, range.clone(), input.suffix % 1_024, tokens);
        let cut = range.start.min(len).min(range.end)..range.end.min(len);
        let records = answer(segment.records(range), tokens.is_some());
        if let (Some(records), Some(tokens)) = (records, tokens) {
            assert!(records.iter().map(|record| &record.token).eq(&tokens[cut]));
        }
    }
    for position in [start, end, len, start % len, usize::MAX] {
        let record = segment.record(position);
        assert!(position < len || matches!(record, Err(Error::Damaged(_))));
        answer(segment.kind(position), tokens.is_some() && position < len);
        answer(segment.tokens_before(position), tokens.is_some());
    }
}

fn find(segment: &Segment<&[u8]>, sought: &TokenId, tokens: Option<&[TokenId]>) {
    let Some(found) = answer(segment.find(sought), tokens.is_some()) else { return };
    assert!(found.position <= segment.len());
    if let Some(record) = found.record {
        assert_eq!(record.token, *sought);
        assert_eq!(segment.record(found.position).expect("checked when it was found"), record);
    }
    if let Some(tokens) = tokens {
        assert_eq!(found.position, tokens.partition_point(|token| token < sought), "{sought}");
        assert_eq!(found.record.is_some(), tokens.get(found.position) == Some(sought), "{sought}");
    }
}

fn matches(
    segment: &Segment<&[u8]>,
    positions: Range<usize>,
    suffix: u16,
    tokens: Option<&[TokenId]>,
) {
    let len = segment.len();
    let next = answer(segment.next_match(positions.clone(), suffix), tokens.is_some());
    let previous = answer(segment.previous_match(positions.clone(), suffix), tokens.is_some());
    for found in [next, previous].into_iter().flatten().flatten() {
        assert!(found < len && positions.contains(&found), "{found} in {positions:?}");
    }
    if let Some(tokens) = tokens {
        let mut right = (positions.start..positions.end.min(len))
            .filter(|&position| tokens[position].suffix() == suffix);
        let first = right.next();
        assert_eq!(next, Some(first), "{suffix} in {positions:?}");
        assert_eq!(previous, Some(right.next_back().or(first)), "{suffix} in {positions:?}");
    }
}

/// The counts of kinds are those of the kinds.
fn check_kinds(segment: &Segment<&[u8]>) {
    let mut tokens = 0;
    for position in 0..segment.len() {
        assert_eq!(segment.tokens_before(position).expect("clean"), tokens);
        tokens += match segment.kind(position).expect("clean") {
            Kind::Fresh => 1,
            Kind::Update => 0,
            Kind::Tombstone => -1,
        };
    }
    assert_eq!(segment.tokens_before(usize::MAX).expect("clean"), tokens);
}

/// The first bytes of one token, then those of another.
fn graft(stem: &TokenId, other: &TokenId, bytes: usize) -> TokenId {
    let mut token = *other;
    token.0[..bytes].copy_from_slice(&stem.0[..bytes]);
    token
}

fn before(token: &TokenId) -> Option<TokenId> {
    let mut bytes = token.0;
    let last = bytes.iter().rposition(|&byte| byte > 0)?;
    bytes[last] -= 1;
    bytes[last + 1..].fill(0xff);
    Some(TokenId(bytes))
}

fn after(token: &TokenId) -> Option<TokenId> {
    let mut bytes = token.0;
    let last = bytes.iter().rposition(|&byte| byte < 0xff)?;
    bytes[last] += 1;
    bytes[last + 1..].fill(0);
    Some(TokenId(bytes))
}
