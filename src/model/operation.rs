//! What is done to a store, and what it is asked.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::plan::Plan;
use super::source::Source;
use super::state::{Change, When};
use crate::challenge::{CHUNKS, Chunks, Direction};
use crate::options::Durability;
use crate::testing::reads::{above, below};
use crate::token::{BlockId, BlockTime, PeerId, SUFFIXES, TokenId};

/// Something to do.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Commit {
        changes: Vec<Change>,
        /// That of the store, if none is said.
        durability: Option<Durability>,
    },
    /// By `put`, `set` or `remove`.
    Single(Change),
    Sync,
    Flush,
    Compact,
    /// By `bulk_load`: each token once, where it is not there, or older.
    Load(Vec<Change>),
    /// Of all tokens with a time below this one.
    Expire(u64),
    Checkpoint,
    Ask(Question),
    /// Everything, in more than one way.
    AskAll,
    /// Keeps a snapshot.
    Keep,
    /// Asks one that was kept.
    AskKept(usize, Question),
    AskAllOfKept(usize),
    /// Drops one that was kept.
    Drop(usize),
    /// Closes the store and opens it again.
    Reopen,
    /// Opens the store for reading while it is open for writing, and keeps it open.
    Look(Question),
    /// Has one that was opened for reading look for what is new.
    Refresh(usize, Question),
    /// Asks one as it is.
    AskReader(usize, Question),
    /// Kills the process, so many operations of the disk ago, or fewer.
    Kill {
        ago: usize,
    },
    /// Cuts the power, so many operations of the disk ago, or fewer, and perhaps again
    /// after some operations of what comes then.
    PowerFailure {
        ago: usize,
        seed: u64,
        again: Option<usize>,
    },
    /// Makes an operation of the disk fail, or a read, after so many.
    Fault {
        of_read: bool,
        after: usize,
        lasts: bool,
        no_space: bool,
        effect: FaultEffect,
    },
    /// Compares everything with redb, and some more at a token.
    Compare(TokenId, PeerId),
}

/// What a call does that fails.
#[derive(Clone, Copy, Debug)]
pub(super) enum FaultEffect {
    Nothing,
    Part(u8),
    Everything,
}

/// Something to ask.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Get(TokenId),
    Rank(TokenId),
    /// The token at this rank, or so far behind the last one.
    Select(u64),
    Count(Bounds),
    /// What of it is taken from which end is said by bits, two for each turn.
    Range(Bounds, u32),
    Slices(Bounds),
    Walk(TokenId, Vec<(Direction, Vec<u16>)>),
    Challenge(TokenId, Chunks),
    Sign(TokenId, PeerId),
    Stat,
}

pub(super) type Bounds = (Bound<TokenId>, Bound<TokenId>);

/// Draws operations on the tokens of a pool.
pub(super) struct Drawer {
    pub(super) pool: Vec<TokenId>,
    /// Changes of a batch at the most.
    pub(super) batch_max: u64,
    pub(super) has_faults: bool,
    /// Of so many tokens in a row one is ever changed.
    pub(super) spared: usize,
    pub(super) is_calm: bool,
    pub(super) is_troubled: bool,
    /// Number of values so far: no two are the same.
    values: u64,
}

/// Tokens of which half of all changes are made: so they meet again soon.
const HOT: u64 = 24;

/// Where it is calm, only one opening or flush in so many takes place.
const CALM: u64 = 32;

/// Where much goes wrong, a quarter of what is drawn is among these: flushes, compactions, syncs,
/// what readers do, loads, expiries, checkpoints, ends, and, of four, one fault.
const TROUBLES: [u64; 16] =
    [520, 523, 524, 528, 534, 538, 539, 540, 982, 985, 988, 990, 993, 993, 993, 993];

impl Drawer {
    pub(super) fn new(pool: Vec<TokenId>, plan: &Plan) -> Self {
        let Plan { batch_max, has_faults, spared, is_calm, is_troubled, .. } = *plan;
        Self { pool, batch_max, has_faults, spared, is_calm, is_troubled, values: 0 }
    }

    pub(super) fn draw(&mut self, source: &mut dyn Source) -> Operation {
        let what = match source.below(1_000) {
            what if self.is_troubled && what % 4 == 0 => {
                TROUBLES[source.below(TROUBLES.len() as u64) as usize]
            }
            what => what,
        };
        match what {
            0..410 => self.commit(source),
            410..520 => Operation::Single(self.plain_change(source)),
            524..528 => Operation::Sync,
            528..534 => Operation::Refresh(source.below(256) as usize, self.question(source)),
            534..538 => Operation::AskReader(source.below(256) as usize, self.question(source)),
            993..998 if self.has_faults => fault(source),
            538..541 | 520..524 | 982..985 | 988..993
                if self.is_calm && source.below(CALM) != 0 =>
            {
                Operation::Ask(self.question(source))
            }
            538 => self.load(source),
            // Mostly few of them.
            539 => Operation::Expire(source.below(TIMES) * source.below(TIMES) / TIMES),
            540 => Operation::Checkpoint,
            541..930 | 993..999 => Operation::Ask(self.question(source)),
            930..932 => Operation::AskAll,
            932..942 => Operation::Keep,
            942..975 => Operation::AskKept(source.below(256) as usize, self.question(source)),
            975..977 => Operation::AskAllOfKept(source.below(256) as usize),
            977..982 => Operation::Drop(source.below(256) as usize),
            520..523 => Operation::Flush,
            523 => Operation::Compact,
            982..985 => Operation::Reopen,
            985..988 => Operation::Look(self.question(source)),
            988..990 => Operation::Kill { ago: ago(source) },
            990..993 => Operation::PowerFailure {
                ago: ago(source),
                seed: source.below(1 << 16),
                again: (source.below(2) == 0).then(|| source.below(64) as usize),
            },
            _ => Operation::Compare(self.place(source), peer(source)),
        }
    }

    fn commit(&mut self, source: &mut dyn Source) -> Operation {
        let count = match source.below(32) {
            0 => 0,
            1..24 => 1 + source.below(6),
            24..31 => 1 + source.below(40),
            _ if source.below(4) == 0 => 1 + source.below(self.batch_max),
            _ => 41 + source.below(100),
        };
        // One token several times.
        let same = (source.below(8) == 0).then(|| self.changed_token(source));
        let changes = (0..count).map(|_| {
            let mut change = self.change(source);
            if let Some(same) = same
                && source.below(2) == 0
            {
                change.token = same;
            }
            change
        });
        let changes = changes.collect();
        let durability = match source.below(8) {
            0 | 1 => Some(Durability::Synced),
            2 => None,
            _ => Some(Durability::Buffered),
        };
        Operation::Commit { changes, durability }
    }

    fn load(&mut self, source: &mut dyn Source) -> Operation {
        let count_max = self.batch_max.min(200 << source.below(4));
        let count = source.below(1 + count_max);
        let changes = (0..count).map(|_| {
            let (token, value) = (self.changed_token(source), self.value(source));
            Change { token, value: Some(value), when: When::AbsentOrOlder(value.time) }
        });
        let mut changes: Vec<_> = changes.collect();
        let mut tokens = BTreeSet::new();
        changes.retain(|change| tokens.insert(change.token));
        Operation::Load(changes)
    }

    fn change(&mut self, source: &mut dyn Source) -> Change {
        let mut change = self.plain_change(source);
        if source.below(6) == 0 {
            change.when = match source.below(5) {
                0 => When::Absent,
                1 => When::Present,
                2 => When::Older(source.below(TIMES)),
                3 => When::AbsentOrOlder(source.below(TIMES)),
                _ => When::Unchanged,
            };
        }
        change
    }

    /// A put, a set or a removal.
    fn plain_change(&mut self, source: &mut dyn Source) -> Change {
        let token = self.changed_token(source);
        let (value, when) = match self.value(source) {
            value if value.time % 3 == 0 => (None, When::Always),
            value if value.time % 3 == 1 => (Some(value), When::AbsentOrOlder(value.time)),
            value => (Some(value), When::Always),
        };
        Change { token, value, when }
    }

    fn value(&mut self, source: &mut dyn Source) -> BlockTime {
        self.values += 1;
        BlockTime::new(BlockId::from(self.values), source.below(TIMES))
    }

    /// A token of the pool.
    fn token(&self, source: &mut dyn Source) -> TokenId {
        self.pool[self.index(source)]
    }

    /// One that may be changed.
    fn changed_token(&self, source: &mut dyn Source) -> TokenId {
        let index = self.index(source);
        self.pool[index - index % self.spared]
    }

    fn index(&self, source: &mut dyn Source) -> usize {
        let len = self.pool.len() as u64;
        let index = match source.below(2) {
            0 => source.below(HOT) * len / HOT,
            _ => source.below(len),
        };
        index as usize
    }

    /// A token of the pool, or one beside one.
    fn place(&self, source: &mut dyn Source) -> TokenId {
        let token = self.token(source);
        match source.below(8) {
            0 => above(token),
            1 => below(token),
            2 if source.below(4) == 0 => TokenId::MIN,
            2 if source.below(4) == 0 => TokenId::MAX,
            _ => token,
        }
    }

    fn question(&self, source: &mut dyn Source) -> Question {
        match source.below(64) {
            0..18 => Question::Get(self.place(source)),
            18..25 => Question::Rank(self.place(source)),
            25..32 => Question::Select(source.below(1 << 16)),
            32..37 => Question::Count(self.bounds(source)),
            37..46 => Question::Range(self.bounds(source), source.below(1 << 32) as u32),
            46..49 => Question::Slices(self.bounds(source)),
            49..55 => {
                let legs = (0..source.below(4)).map(|_| self.leg(source)).collect();
                Question::Walk(self.place(source), legs)
            }
            55..58 => {
                let mut suffixes = [0; CHUNKS];
                suffixes.fill_with(|| self.suffix(source));
                Question::Challenge(self.place(source), suffixes)
            }
            58..61 => Question::Sign(self.token(source), peer(source)),
            _ => Question::Stat,
        }
    }

    fn bounds(&self, source: &mut dyn Source) -> Bounds {
        let mut bound = || match source.below(5) {
            0 => Bound::Unbounded,
            1 | 2 => Bound::Included(self.place(source)),
            _ => Bound::Excluded(self.place(source)),
        };
        (bound(), bound())
    }

    fn leg(&self, source: &mut dyn Source) -> (Direction, Vec<u16>) {
        let direction = if source.below(2) == 0 { Direction::Up } else { Direction::Down };
        let count = source.below(5);
        (direction, (0..count).map(|_| self.suffix(source)).collect())
    }

    /// A suffix that a token has, and rarely any number.
    fn suffix(&self, source: &mut dyn Source) -> u16 {
        match source.below(32) {
            0 => source.below(2 * SUFFIXES as u64) as u16,
            _ => self.token(source).suffix(),
        }
    }
}

/// Times are few, so that they are often the same.
const TIMES: u64 = 9;

fn peer(source: &mut dyn Source) -> PeerId {
    PeerId([source.below(256) as u8; 32])
}

/// Mostly few, and sometimes many.
fn ago(source: &mut dyn Source) -> usize {
    let bits = source.below(12);
    source.below(1 << bits) as usize
}

fn fault(source: &mut dyn Source) -> Operation {
    let of_read = source.below(8) == 0;
    Operation::Fault {
        of_read,
        after: source.below(32) as usize,
        lasts: source.below(4) == 0,
        no_space: source.below(3) == 0,
        effect: match source.below(4) {
            0 => FaultEffect::Part(source.below(256) as u8),
            1 => FaultEffect::Everything,
            _ => FaultEffect::Nothing,
        },
    }
}
