//! The scenarios.

use super::{Flushes, Scenario, Step};
use crate::batch::Batch;
use crate::options::Durability::{self, Buffered, Synced};
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::token::{BlockTime, Record, TokenId};

/// So many that they do not fit one log.
const TOKENS: usize = 160;

/// The name of a scenario, and what writes it down.
pub(super) type Named = (&'static str, fn() -> Scenario);

/// All of them.
pub(super) const ALL: [Named; 16] = [
    ("commits of all sizes", commits),
    ("logs that run full before they are synced", full_logs),
    ("what comes to nothing", nothing),
    ("logs that come and go", come_and_go),
    ("a batch larger than a log", large_batch),
    ("flushes in the background", in_the_background),
    ("flushes that merge layers", flushes),
    ("flushes and compactions", compactions),
    ("compactions that are asked for", asked_for),
    ("expiries", expiries),
    ("loads into an empty store", first_loads),
    ("loads into a store in use", loads),
    ("checkpoints of a store in use", checkpoints),
    ("processes that are killed", kills),
    ("crowded tokens", crowded),
    ("anything in any order", anything),
];

/// Writes a scenario down, step by step.
struct Script {
    tokens: Vec<TokenId>,
    random: Random,
    time: u64,
    steps: Vec<Step>,
}

impl Script {
    fn new(name: &str) -> Self {
        Self::of(name, KeyFamily::Uniform.generate(TOKENS, 1))
    }

    fn of(name: &str, tokens: Vec<TokenId>) -> Self {
        Self { tokens, random: Random::new(name, 1), time: 0, steps: Vec::new() }
    }

    fn token(&mut self) -> TokenId {
        *self.random.pick(&self.tokens)
    }

    fn value(&mut self) -> BlockTime {
        self.time += 1;
        BlockTime::new(self.time.into(), self.time)
    }

    fn step(&mut self, step: Step) -> &mut Self {
        self.steps.push(step);
        self
    }

    /// Commits so many tokens that are put and so many that are removed.
    fn commit(&mut self, puts: usize, removals: usize, durability: Durability) -> &mut Self {
        let mut batch = Batch::new();
        for _ in 0..puts {
            batch.put(self.token(), self.value());
        }
        for _ in 0..removals {
            batch.remove(self.token());
        }
        self.step(Step::Commit(batch, durability))
    }

    /// Removes all tokens.
    fn remove_all(&mut self, durability: Durability) -> &mut Self {
        let mut all = Batch::new();
        self.tokens.iter().for_each(|token| _ = all.remove(*token));
        self.step(Step::Commit(all, durability))
    }

    /// Loads so many records, of which some are older than what is there.
    fn load(&mut self, records: usize) -> &mut Self {
        self.time += records as u64 / 2;
        let record = |_| {
            let time = self.time.saturating_sub(self.random.below(records as u64));
            Record::new(self.token(), BlockTime::new((time + 1_000).into(), time))
        };
        let records = (0..records).map(record).collect();
        self.time += 1;
        self.step(Step::Load(records))
    }

    fn end(&mut self, flushes: Flushes) -> Scenario {
        let (tokens, steps) = (self.tokens.clone(), std::mem::take(&mut self.steps));
        Scenario { tokens, flushes, steps }
    }
}

fn commits() -> Scenario {
    let mut script = Script::new("commits");
    for (puts, removals, durability) in [
        (1, 0, Synced),
        (6, 0, Synced),
        (3, 0, Buffered),
        (2, 2, Buffered),
        (6, 3, Synced),
        (40, 0, Synced),
        (1, 1, Buffered),
        (20, 9, Buffered),
    ] {
        script.commit(puts, removals, durability);
    }
    script.step(Step::Sync).commit(2, 1, Buffered).step(Step::Reopen).commit(3, 3, Synced);
    script.end(Flushes::Inline)
}

/// So much that a log is full, and another one begun, before anything of it is synced.
fn full_logs() -> Scenario {
    let mut script = Script::new("full logs");
    for _ in 0..4 {
        script.commit(60, 0, Buffered);
    }
    script.commit(5, 1, Synced).commit(5, 1, Buffered).step(Step::Reopen).commit(9, 1, Buffered);
    script.end(Flushes::Inline)
}

/// One token several times, what changes nothing, and nothing.
fn nothing() -> Scenario {
    let mut script = Script::new("nothing");
    let (one, other) = (script.tokens[3], script.tokens[4]);
    let value = |time: u64| BlockTime::new(time.into(), time);
    let mut several = Batch::new();
    several.put(one, value(900)).remove(one).put(one, value(901)).set(one, value(5));
    let mut nothing = Batch::new();
    nothing.put(other, value(902)).remove(other).set(one, value(1));
    for durability in [Synced, Buffered] {
        script
            .step(Step::Commit(several.clone(), durability))
            .step(Step::Commit(nothing.clone(), durability))
            .step(Step::Commit(Batch::new(), durability))
            .step(Step::Reopen)
            .step(Step::Flush)
            .step(Step::Flush)
            .step(Step::Compact)
            .remove_all(durability)
            .step(Step::Flush);
    }
    script.end(Flushes::Inline)
}

/// Tokens are put and removed again and again, and in the end nothing is left.
fn come_and_go() -> Scenario {
    let mut script = Script::new("come and go");
    for round in 0..10 {
        script.commit(2, 0, if round % 3 == 0 { Buffered } else { Synced }).commit(0, 4, Buffered);
    }
    script.step(Step::Sync).remove_all(Synced).step(Step::Reopen).commit(3, 0, Synced);
    script.end(Flushes::Inline)
}

fn large_batch() -> Scenario {
    let mut script = Script::new("large batch");
    script.commit(3, 0, Buffered).commit(150, 9, Synced).commit(2, 2, Buffered);
    script.commit(130, 30, Buffered).step(Step::Reopen).commit(1, 0, Synced);
    script.end(Flushes::Inline)
}

fn in_the_background() -> Scenario {
    let mut script = Script::new("in the background");
    for part in [commits(), full_logs(), come_and_go()] {
        script.steps.extend(part.steps);
    }
    script.end(Flushes::Background)
}

/// Flushes with little between them: so many that layers are merged, and the base with
/// them, and what was flushed is changed and removed.
fn many_flushes() -> Script {
    let mut script = Script::of("flushes", KeyFamily::Uniform.generate(20, 1));
    for round in 0..9 {
        script.commit(3, 1, if round % 2 == 0 { Buffered } else { Synced });
        if round != 4 {
            script.step(Step::Flush);
        }
        if round == 5 {
            script.step(Step::Reopen);
        }
    }
    // What is left comes to nothing.
    script.remove_all(Buffered).step(Step::Flush);
    script
}

fn flushes() -> Scenario {
    many_flushes().end(Flushes::Uncompacted)
}

fn compactions() -> Scenario {
    many_flushes().end(Flushes::Inline)
}

fn asked_for() -> Scenario {
    let mut script = Script::of("asked for", KeyFamily::Uniform.generate(40, 1));
    for _ in 0..2 {
        script.commit(20, 0, Synced).step(Step::Flush).commit(4, 4, Buffered).step(Step::Flush);
        script.commit(3, 1, Buffered).step(Step::Compact).commit(2, 0, Synced).step(Step::Compact);
    }
    script.step(Step::Reopen).remove_all(Synced).step(Step::Compact);
    script.end(Flushes::Uncompacted)
}

fn expiries() -> Scenario {
    let mut script = Script::new("expiries");
    script.commit(60, 0, Synced).step(Step::Expire(30)).commit(20, 0, Buffered);
    script.step(Step::Flush).step(Step::Expire(70)).commit(9, 3, Buffered).step(Step::Expire(70));
    script.step(Step::Reopen).step(Step::Expire(u64::MAX)).step(Step::Flush).commit(3, 0, Synced);
    script.end(Flushes::Inline)
}

fn first_loads() -> Scenario {
    let mut script = Script::new("first loads");
    script.load(90).step(Step::Reopen).load(40).commit(3, 3, Buffered).load(5).step(Step::Reopen);
    script.end(Flushes::Inline)
}

fn loads() -> Scenario {
    let mut script = Script::new("loads");
    script.commit(50, 0, Synced).step(Step::Flush).commit(12, 8, Buffered).load(60);
    script.commit(9, 9, Buffered).load(1).commit(3, 3, Synced).load(30).step(Step::Reopen);
    script.load(20).remove_all(Buffered).load(30).step(Step::Flush);
    script.end(Flushes::Uncompacted)
}

fn checkpoints() -> Scenario {
    let mut script = Script::new("checkpoints");
    script.step(Step::Checkpoint).commit(20, 0, Buffered).step(Step::Checkpoint);
    script.step(Step::Flush).commit(9, 4, Synced).step(Step::Checkpoint).step(Step::Flush);
    script.commit(3, 1, Buffered).step(Step::Compact).step(Step::Checkpoint).step(Step::Expire(9));
    script.step(Step::Reopen).step(Step::Checkpoint).load(20).step(Step::Checkpoint);
    script.end(Flushes::Uncompacted)
}

fn kills() -> Scenario {
    let mut script = Script::new("kills");
    script.step(Step::Kill).commit(5, 0, Buffered).step(Step::Kill).commit(9, 3, Synced);
    script.commit(60, 0, Buffered).step(Step::Kill).step(Step::Kill).commit(2, 2, Buffered);
    script.step(Step::Flush).step(Step::Kill).commit(1, 1, Buffered).load(20).step(Step::Kill);
    script.step(Step::Expire(30)).step(Step::Kill).step(Step::Compact).step(Step::Kill);
    script.end(Flushes::Inline)
}

/// Tokens for which segments have fence keys.
fn crowded() -> Scenario {
    let tokens = KeyFamily::OutlierOverDense64.generate(120, 1);
    let mut script = Script::of("crowded", tokens);
    script.load(100).commit(30, 10, Buffered).step(Step::Flush).commit(9, 9, Synced);
    script.step(Step::Flush).step(Step::Compact).step(Step::Reopen).load(10);
    script.end(Flushes::Uncompacted)
}

fn anything() -> Scenario {
    let mut script = Script::new("anything");
    for _ in 0..40 {
        let (puts, removals) = (script.random.below(30), script.random.below(9));
        match script.random.below(16) {
            0 => script.step(Step::Sync),
            1..4 => script.step(Step::Flush),
            4 => script.step(Step::Compact),
            5 => script.step(Step::Expire(script.time / 2)),
            6 => script.load(puts as usize + 1),
            7 => script.step(Step::Checkpoint),
            8 => script.step(Step::Reopen),
            9 => script.step(Step::Kill),
            10..13 => script.commit(puts as usize, removals as usize, Synced),
            _ => script.commit(puts as usize, removals as usize, Buffered),
        };
    }
    script.end(Flushes::Inline)
}

/// A store of several layers and a delta, of which a checkpoint is made.
pub(super) fn checkpointed() -> Scenario {
    let mut script = Script::new("checkpointed");
    script.load(60).commit(30, 9, Synced).step(Step::Flush).commit(9, 9, Buffered);
    script.step(Step::Flush).commit(9, 3, Buffered).step(Step::Sync);
    script.end(Flushes::Uncompacted)
}
