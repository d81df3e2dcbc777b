//! A backend that breaks one rule, whichever is asked for.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use ringstore::{
    BlockId, BlockTime, CHUNKS_UP, Chunks, Error, MemTokens, PeerId, RangeIter, Result, SUFFIXES,
    Signed, TokenId, TokenStorageBackend, Walk, chunks,
};

/// Declares the rules that are broken, and the list of them all.
macro_rules! bugs {
    ($($name:ident,)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Bug {
            /// None: it conforms.
            None,
            $($name,)*
        }

        /// All of them.
        pub(crate) const BUGS: &[Bug] = &[$(Bug::$name,)*];
    };
}

bugs! {
    LookupFails,
    LookupFindsTheNextToken,
    LookupMissesZero,
    LookupMissesOnes,
    LookupGivesAnotherBlock,
    LookupGivesAnotherTime,
    LookupIsCached,
    SetReplacesEqualTime,
    SetReplacesNewer,
    SetReplacesNothing,
    SetRefusesAbsentAtTimeZero,
    SetComparesTimesAsSigned,
    SetKeepsTheBlock,
    SetSaysYesAlways,
    SetSaysNoOverOlder,
    RangeFails,
    RangeItemFails,
    RangeAfterIsInclusive,
    RangeBeforeIsInclusive,
    RangeAfterWraps,
    RangeBeforeWraps,
    RangeAfterDescends,
    RangeBeforeAscends,
    RangeAfterLacksTheLast,
    RangeBeforeLacksTheFirst,
    RangeFromAbsentIsEmpty,
    RangeGivesAnotherBlock,
    RangeRepeatsItsEnd,
    RangeEndsWhenAnotherBegins,
    LenIsCached,
    LenCountsOverwrites,
    IsEmptyIsWrong,
    WalkFails,
    WalkNeedsTheOrigin,
    WalkMeetsTheOrigin,
    WalkCountsTheOrigin,
    WalkStopsAtTheLastToken,
    WalkStopsAtTheFirstToken,
    WalkMissesZeroBeyondTheEnd,
    WalkMissesOnesBeyondTheEnd,
    WalkForgetsWhatWasNotMetGoingUp,
    WalkStartsOverGoingDown,
    WalkGoesDownFromTheLastMatch,
    WalkMeetsNoTokenTwice,
    WalkMeetsRemaindersOfChunks,
    WalkSkipsRepeatedChunks,
    WalkComparesEightBits,
    WalkGivesAnotherBlock,
    WalkDropsIncompleteMatches,
    StepsAreOneMore,
    StepsLeaveOutMatches,
    StepsOfGoingUpOnly,
    WrappedNever,
    WrappedGoingUpOnly,
    WrappedGoingDownOnly,
    WrappedAtTheEndAlready,
    CompleteAlways,
    CompleteNever,
    SignFails,
    SignsNothing,
    SignsNothingBeyondTheEnd,
    SignsForAnotherPeer,
    SignGivesOtherChunks,
    SignGivesOtherBlocks,
    SignGivesAnotherOrigin,
    SignGivesOtherSteps,
    SignSwapsMatches,
}

/// When a bug shows: the later, the fewer parts of the suite can see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    Always,
    /// In sets too large for the answers worked out by hand.
    BeyondVectors,
    /// Once such a set was written to, which only random operations do.
    AfterWrites,
}

/// More tokens than any ring of the answers worked out by hand.
pub(crate) const MANY: u64 = 12;

pub(crate) struct Mutant {
    bug: Bug,
    when: When,
    tokens: MemTokens,
    sets: u64,
    /// How many of them wrote over something.
    overwrites: u64,
    ranges_opened: Cell<u64>,
    lookups: RefCell<HashMap<TokenId, Option<BlockTime>>>,
    first_len: Cell<Option<u64>>,
}

/// Whatever it is, it is not what was asked for.
fn wrong(value: BlockTime) -> BlockTime {
    BlockTime { block: BlockId(value.block.0.map(|byte| byte ^ 1)), time: value.time }
}

impl Mutant {
    pub(crate) fn new(bug: Bug, when: When, records: &[(TokenId, BlockTime)]) -> Self {
        Self {
            bug,
            when,
            tokens: records.iter().copied().collect(),
            sets: 0,
            overwrites: 0,
            ranges_opened: Cell::default(),
            lookups: RefCell::default(),
            first_len: Cell::default(),
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == bug && self.shows()
    }

    /// Whether the bug shows now, whichever it is.
    fn shows(&self) -> bool {
        let many = self.tokens.len().unwrap() > MANY;
        match self.when {
            When::Always => true,
            When::BeyondVectors => many,
            When::AfterWrites => many && self.sets > 0,
        }
    }

    fn unless(&self, bug: Bug) -> Result<()> {
        if self.has(bug) { Err(Error::backend("mutant", "fails")) } else { Ok(()) }
    }

    fn holds(&self, token: &TokenId) -> Option<(TokenId, BlockTime)> {
        self.tokens.lookup(token).unwrap().map(|value| (*token, value))
    }

    fn above(&self, token: &TokenId) -> Vec<(TokenId, BlockTime)> {
        self.tokens.range_after(token).unwrap().map(Result::unwrap).collect()
    }

    /// Descending.
    fn below(&self, token: &TokenId) -> Vec<(TokenId, BlockTime)> {
        self.tokens.range_before(token).unwrap().map(Result::unwrap).collect()
    }

    /// The items, with the bugs that ranges of both directions have.
    fn range(&self, from: &TokenId, mut items: Vec<(TokenId, BlockTime)>) -> Result<RangeIter<'_>> {
        self.unless(Bug::RangeFails)?;
        if self.has(Bug::RangeFromAbsentIsEmpty) && self.holds(from).is_none() {
            items.clear();
        }
        if self.has(Bug::RangeGivesAnotherBlock) {
            for (_, value) in &mut items {
                *value = wrong(*value);
            }
        }
        if self.has(Bug::RangeRepeatsItsEnd) {
            items.extend(items.last().copied());
        }
        let fails = self.has(Bug::RangeItemFails);
        let alone = self.has(Bug::RangeEndsWhenAnotherBegins);
        self.ranges_opened.set(self.ranges_opened.get() + 1);
        let opened = self.ranges_opened.get();
        let items = items
            .into_iter()
            .take_while(move |_| !alone || self.ranges_opened.get() == opened)
            .map(move |item| if fails { Err(Error::backend("mutant", "fails")) } else { Ok(item) });
        Ok(Box::new(items))
    }
}

impl TokenStorageBackend for Mutant {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.unless(Bug::LookupFails)?;
        if self.has(Bug::LookupIsCached) {
            let mut lookups = self.lookups.borrow_mut();
            return Ok(*lookups
                .entry(*token)
                .or_insert_with(|| self.tokens.lookup(token).unwrap()));
        }
        let found = self.tokens.lookup(token)?;
        Ok(match found {
            None if self.has(Bug::LookupFindsTheNextToken) => {
                self.above(token).first().map(|(_, value)| *value)
            }
            Some(_) if self.has(Bug::LookupMissesZero) && *token == TokenId::MIN => None,
            Some(_) if self.has(Bug::LookupMissesOnes) && *token == TokenId::MAX => None,
            Some(value) if self.has(Bug::LookupGivesAnotherBlock) => Some(wrong(value)),
            Some(BlockTime { block, time }) if self.has(Bug::LookupGivesAnotherTime) => {
                Some(BlockTime { block, time: time.wrapping_add(1) })
            }
            found => found,
        })
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        self.sets += 1;
        let found = self.tokens.lookup(token)?;
        let mut value = value;
        let mut writes = found.is_none_or(|found| found.time < value.time);
        if let Some(found) = found {
            writes |= self.has(Bug::SetReplacesEqualTime) && found.time == value.time;
            writes |= self.has(Bug::SetReplacesNewer);
            writes &= !self.has(Bug::SetReplacesNothing);
            if self.has(Bug::SetComparesTimesAsSigned) {
                writes = found.time.cast_signed() < value.time.cast_signed();
            }
            if self.has(Bug::SetKeepsTheBlock) {
                value.block = found.block;
            }
        } else {
            writes &= !(self.has(Bug::SetRefusesAbsentAtTimeZero) && value.time == 0);
        }
        if writes {
            self.overwrites += u64::from(found.is_some());
            if !self.tokens.set(token, value)? {
                let others = self.above(token).into_iter().chain(self.below(token));
                self.tokens = others.chain([(*token, value)]).collect();
            }
        }
        let denied = self.has(Bug::SetSaysNoOverOlder) && found.is_some();
        Ok(writes && !denied || self.has(Bug::SetSaysYesAlways))
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        if !self.shows() {
            return self.tokens.range_after(start);
        }
        let mut items = self.above(start);
        if self.has(Bug::RangeAfterIsInclusive) {
            items.splice(..0, self.holds(start));
        }
        if self.has(Bug::RangeAfterWraps) {
            items.extend(self.below(start).iter().rev());
        }
        if self.has(Bug::RangeAfterDescends) {
            items.reverse();
        }
        if self.has(Bug::RangeAfterLacksTheLast) {
            items.pop();
        }
        self.range(start, items)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        if !self.shows() {
            return self.tokens.range_before(end);
        }
        let mut items = self.below(end);
        if self.has(Bug::RangeBeforeIsInclusive) {
            items.splice(..0, self.holds(end));
        }
        if self.has(Bug::RangeBeforeWraps) {
            items.extend(self.above(end).iter().rev());
        }
        if self.has(Bug::RangeBeforeAscends) {
            items.reverse();
        }
        if self.has(Bug::RangeBeforeLacksTheFirst) {
            items.pop();
        }
        self.range(end, items)
    }

    fn len(&self) -> Result<u64> {
        let len = self.tokens.len()?;
        if self.has(Bug::LenIsCached) {
            let first = self.first_len.get().unwrap_or(len);
            self.first_len.set(Some(first));
            return Ok(first);
        }
        Ok(if self.has(Bug::LenCountsOverwrites) { len + self.overwrites } else { len })
    }

    fn is_empty(&self) -> Result<bool> {
        Ok(self.tokens.is_empty()? ^ self.has(Bug::IsEmptyIsWrong))
    }

    fn search_signature(
        &self,
        origin: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        if !self.shows() {
            return self.tokens.search_signature(origin, chunks);
        }
        self.unless(Bug::WalkFails)?;
        let mut walk = Walk { matches: Vec::new(), steps: 0, wrapped: false, complete: false };
        if self.has(Bug::WalkNeedsTheOrigin) && self.holds(origin).is_none() {
            return Ok(walk);
        }
        let mut chunks = chunks.to_vec();
        if self.has(Bug::WalkMeetsRemaindersOfChunks) {
            for chunk in &mut chunks {
                *chunk %= SUFFIXES as u16;
            }
        }
        if self.has(Bug::WalkSkipsRepeatedChunks) {
            chunks.dedup();
        }
        let (for_up, for_down) = chunks.split_at(CHUNKS_UP.min(chunks.len()));
        let mut sought = VecDeque::new();
        for (up, suffixes) in [(true, for_up), (false, for_down)] {
            if self.has(Bug::WalkForgetsWhatWasNotMetGoingUp) {
                sought.clear();
            }
            if self.has(Bug::WalkStartsOverGoingDown) && !sought.is_empty() {
                sought = for_up.iter().copied().collect();
            }
            sought.extend(suffixes.iter().copied());
            let from = match walk.matches.last() {
                Some((last, _)) if self.has(Bug::WalkGoesDownFromTheLastMatch) => *last,
                _ => *origin,
            };
            let (above, below) = (self.above(&from), self.below(&from));
            let (near, mut far) = if up { (above, below) } else { (below, above) };
            far.reverse();
            let stops =
                if up { Bug::WalkStopsAtTheLastToken } else { Bug::WalkStopsAtTheFirstToken };
            if self.has(stops) {
                far.clear();
            }
            let zero = self.has(Bug::WalkMissesZeroBeyondTheEnd);
            let ones = self.has(Bug::WalkMissesOnesBeyondTheEnd);
            far.retain(|(token, _)| !(zero && *token == TokenId::MIN));
            far.retain(|(token, _)| !(ones && *token == TokenId::MAX));
            if self.has(Bug::WalkMeetsTheOrigin) {
                far.extend(self.holds(origin));
            }
            let ends = self.has(Bug::WrappedAtTheEndAlready);
            let wraps = !(self.has(Bug::WrappedNever)
                || self.has(Bug::WrappedGoingUpOnly) && !up
                || self.has(Bug::WrappedGoingDownOnly) && up);
            let to_end = near.len();
            for (index, (token, value)) in near.into_iter().chain(far).enumerate() {
                let Some(suffix) = sought.front() else { break };
                walk.steps += u64::from(up || !self.has(Bug::StepsOfGoingUpOnly));
                walk.wrapped |= wraps && index >= to_end;
                walk.wrapped |= ends && index + 1 == to_end;
                let again = walk.matches.iter().any(|(met, _)| *met == token);
                let equal = if self.has(Bug::WalkComparesEightBits) {
                    token.suffix() % 256 == suffix % 256
                } else {
                    token.suffix() == *suffix
                };
                if equal && !(again && self.has(Bug::WalkMeetsNoTokenTwice)) {
                    sought.pop_front();
                    let another = self.has(Bug::WalkGivesAnotherBlock);
                    walk.matches.push((token, if another { wrong(value) } else { value }));
                }
            }
        }
        walk.complete = sought.is_empty();
        walk.complete |= self.has(Bug::CompleteAlways);
        walk.complete &= !self.has(Bug::CompleteNever);
        walk.steps += u64::from(self.has(Bug::StepsAreOneMore));
        if self.has(Bug::WalkCountsTheOrigin) && self.holds(origin).is_some() {
            walk.steps += 1;
        }
        if self.has(Bug::StepsLeaveOutMatches) {
            walk.steps = walk.steps.saturating_sub(walk.matches.len() as u64);
        }
        if self.has(Bug::WalkDropsIncompleteMatches) && !walk.complete {
            walk.matches.clear();
        }
        Ok(walk)
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        self.unless(Bug::SignFails)?;
        let other = PeerId(peer.0.map(|byte| !byte));
        let peer = if self.has(Bug::SignsForAnotherPeer) { &other } else { peer };
        let Some(mut signed) = self.tokens.sign(token, peer)? else { return Ok(None) };
        if self.has(Bug::SignsNothing) || self.has(Bug::SignsNothingBeyondTheEnd) && signed.wrapped
        {
            return Ok(None);
        }
        if self.has(Bug::SignGivesOtherChunks) {
            signed.chunks = chunks(&other, token, &signed.signature.origin.block);
        }
        if self.has(Bug::SignGivesOtherBlocks) {
            signed.signature.matches[9].block = signed.signature.origin.block;
        }
        if self.has(Bug::SignGivesAnotherOrigin) {
            signed.signature.origin = signed.signature.matches[0];
        }
        if self.has(Bug::SignGivesOtherSteps) {
            signed.steps -= 10;
        }
        if self.has(Bug::SignSwapsMatches) {
            signed.signature.matches.swap(0, 1);
        }
        Ok(Some(signed))
    }
}
