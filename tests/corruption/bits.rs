//! Every bit of every file, flipped one at a time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ringstore::testing::sim::SimDisk;
use ringstore::{BlockTime, Damage, Error, Options, Record, Store, TokenId, Verification};

use crate::parts::{Class, Kind, Parts, section, sections, u32_at};
use crate::questions::{Judge, Questions};
use crate::sample::{Files, Sample, layered, options, two_logs};
use crate::threads::for_each;

/// A bit that is flipped.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "for messages")]
struct Case<'a> {
    name: &'a str,
    at: usize,
    bit: usize,
    how: &'static str,
}

/// What became of flips.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Outcomes {
    bits: u64,
    /// Nobody could open the store.
    refused: u64,
    /// It was opened, and `verify` named the place.
    found: u64,
    /// Nothing is wrong with the store.
    unused: u64,
    /// Of those that were opened and asked everything, so many gave errors.
    noticed: u64,
    asked: u64,
    right: u64,
    errors: u64,
}

impl Outcomes {
    fn add(&mut self, other: &Self) {
        self.bits += other.bits;
        self.refused += other.refused;
        self.found += other.found;
        self.unused += other.unused;
        self.noticed += other.noticed;
        self.asked += other.asked;
        self.right += other.right;
        self.errors += other.errors;
    }
}

/// By what the file is, and the part that the bit is in.
type Table = BTreeMap<(Kind, &'static str, Class), Outcomes>;

fn options_with(verification: Verification) -> Options {
    options().verification(verification)
}

/// A store, all about it, and how much is asked of each bit.
struct Flips<'a> {
    sample: &'a Sample,
    questions: Questions,
    parts: BTreeMap<&'a str, Parts>,
    /// Each question, in each way to open the store, for each bit; otherwise for one bit of
    /// each byte.
    asks_all: bool,
}

impl<'a> Flips<'a> {
    fn new(sample: &'a Sample, asks_all: bool) -> Self {
        let segments = sample.names(Kind::Segment).into_iter();
        let records = segments.flat_map(|name| records(&sample.files[name]));
        let questions = Questions::new(&sample.oracle, records.map(|record| record.token));
        Self { sample, questions, parts: sample.parts(), asks_all }
    }

    /// Flips all bits of some of the files.
    fn run(&self, is_tried: impl Fn(&str) -> bool) -> Table {
        let files = self.sample.files.iter().filter(|(name, _)| is_tried(name));
        let bytes: Vec<_> = files
            .flat_map(|(name, bytes)| (0..bytes.len()).map(move |at| (name.as_str(), at)))
            .collect();
        let tables = for_each(bytes.len(), |table: &mut Table, number| {
            let (name, at) = bytes[number];
            self.flip_byte(table, name, at);
        });
        let mut table = Table::new();
        for (key, outcomes) in tables.iter().flatten() {
            table.entry(*key).or_default().add(outcomes);
        }
        table
    }

    fn flip_byte(&self, table: &mut Table, name: &str, at: usize) {
        let disk = SimDisk::with_files(self.sample.files.clone());
        let (_, part, class) = self.parts[name].of(at);
        let outcomes = table.entry((Kind::of(name), part, *class)).or_default();
        let turns = match class {
            Class::Opening | Class::Checked => 8,
            Class::Between | Class::Unused => 64,
        };
        for bit in 0..8 {
            disk.corrupt(name, at, 1 << bit);
            let operations = disk.operations();
            let turn = (9 * at + bit) % turns;
            let is_turn = |number| self.asks_all || turn == number;
            let case = |how| Case { name, at, bit, how };
            self.read(&disk, case("first touch"), Verification::FirstTouch, is_turn(0), outcomes);
            for (number, how, verification) in
                [(1, "all checked", Verification::OnOpen), (2, "unchecked", Verification::Never)]
            {
                if is_turn(number) {
                    self.read(&disk, case(how), verification, self.asks_all, outcomes);
                }
            }
            assert_eq!(disk.operations(), operations, "who only reads leaves no trace");
            if is_turn(3) {
                self.write(&disk.files(), case("written"));
            }
            disk.corrupt(name, at, 1 << bit);
        }
    }

    /// Whether an error says what it should of a flip.
    fn is_named(&self, case: Case<'_>, error: &Error) -> bool {
        matches!(error, Error::Damaged(damage) if self.is_place(case, damage))
    }

    fn is_place(&self, case: Case<'_>, damage: &Damage) -> bool {
        self.parts[case.name].is_named(case.name, case.at, damage)
    }

    /// Opens the store for reading, asks, and verifies.
    fn read(
        &self,
        disk: &SimDisk,
        case: Case<'_>,
        verification: Verification,
        asks_all: bool,
        outcomes: &mut Outcomes,
    ) {
        let is_counted = verification == Verification::FirstTouch;
        let class = self.parts[case.name].of(case.at).2;
        let is_checked = verification != Verification::Never;
        outcomes.bits += u64::from(is_counted);
        let store = match disk.open_read_only(&options_with(verification)) {
            Ok(store) => store,
            // Layers above each other are read to be opened, and then contradict each other.
            Err(Error::Damaged(_)) if !is_checked && class == Class::Checked => return,
            Err(error) => {
                assert!(self.is_named(case, &error), "{case:?}: {error}");
                assert!(class != Class::Between || verification == Verification::OnOpen);
                outcomes.refused += u64::from(is_counted);
                return;
            }
        };
        assert_ne!(class, Class::Opening, "{case:?} was opened");
        let is_seen = class != Class::Unused && verification == Verification::OnOpen;
        assert!(!is_seen, "{case:?} was opened");
        let may_be =
            |error: &Error| class == Class::Checked && is_checked && self.is_named(case, error);
        let any = |error: &Error| class == Class::Checked && matches!(error, Error::Damaged(_));
        let mut judge = if is_checked || class != Class::Checked {
            Judge::new(&case, &may_be)
        } else {
            Judge::new(&case, &any).lenient()
        };
        let snapshot = store.snapshot();
        self.questions.ask_near(&snapshot, &self.token_near(case), &mut judge);
        if asks_all {
            self.questions.ask_all(&snapshot, &mut judge);
        }
        if is_counted {
            outcomes.right += judge.right;
            outcomes.errors += judge.errors;
            outcomes.asked += u64::from(asks_all);
            outcomes.noticed += u64::from(asks_all && judge.errors > 0);
        }
        let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
        let mut named = report.damages.iter().filter(|damage| self.is_place(case, damage));
        assert_eq!(named.next().is_none(), class == Class::Unused, "{case:?}: {report:?}");
        // Of what is not checked, verifying compares what is wrong with all else.
        let (bytes, part, _) = self.parts[case.name].of(case.at);
        let is_of = |damage: &Damage| {
            let is_there = damage.part == *part && bytes.contains(&(damage.offset as usize));
            damage.path.ends_with(case.name) && (is_there || !is_checked)
        };
        assert!(report.damages.iter().all(is_of), "{case:?}: {report:?}");
        if class == Class::Unused {
            self.assert_cut(&store, case);
        }
        if is_counted {
            let is_unused = class == Class::Unused;
            outcomes.unused += u64::from(is_unused);
            outcomes.found += u64::from(!is_unused);
        }
    }

    /// Opens the store for writing, asks, writes, and opens it again. What was acknowledged
    /// is there, or nobody can open it.
    fn write(&self, files: &Files, case: Case<'_>) {
        let class = self.parts[case.name].of(case.at).2;
        let disk = SimDisk::with_files(files.clone());
        let token = self.token_near(case);
        let may_be = |error: &Error| class == Class::Checked && self.is_named(case, error);
        let store = match disk.open_store(&options()) {
            Ok(store) => store,
            Err(error) => {
                assert!(self.is_named(case, &error), "{case:?}: {error}");
                assert_ne!(class, Class::Between);
                assert!(disk.files() == *files, "{case:?}: changed, though refused");
                return;
            }
        };
        assert_ne!(class, Class::Opening, "{case:?} was opened");
        let mut judge = Judge::new(&case, &may_be);
        self.questions.ask_near(&store.snapshot(), &token, &mut judge);
        self.questions.ask_contents(&store.snapshot(), &mut judge);
        if class == Class::Unused {
            self.assert_cut(&store, case);
        }
        let value = BlockTime::new(9.into(), 99);
        let before = self.sample.oracle.get(&token);
        let put = store.put(&token, value);
        let written = if put.is_ok() { Some(value) } else { before };
        judge.answer(put.map(drop), &());
        judge.answer(store.snapshot().get(&token), &written);
        judge.answer(store.close(), &());
        match disk.open_store(&options()) {
            Ok(store) => {
                assert_eq!(store.stat().recovery.cut_bytes, 0, "{case:?}");
                judge.answer(store.snapshot().get(&token), &written);
                let others = u64::from(before.is_none() && written.is_some());
                assert_eq!(store.snapshot().len(), self.sample.oracle.len() + others, "{case:?}");
            }
            Err(error) => assert!(may_be(&error), "{case:?}: {error}"),
        }
    }

    /// Says exactly how much lies behind the last frame that cannot be a frame.
    fn assert_cut(&self, store: &Store, case: Case<'_>) {
        let mut log = self.sample.files[case.name].clone();
        log[case.at] ^= 1 << case.bit;
        let frames: Vec<_> = self.parts[case.name].iter().collect();
        let last = frames.iter().rposition(|it| it.1 == "log frame").unwrap();
        let mark = frames.iter().find(|it| it.1 == "mark");
        let is_newest = self.sample.names(Kind::Log).last() == Some(&case.name);
        let end = match mark {
            Some(mark) if !mark.0.contains(&case.at) => mark.0.end,
            _ => frames[last].0.end,
        };
        let rest = &log[end.next_multiple_of(512)..];
        let cut = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let expected = if is_newest { cut as u64 } else { 0 };
        assert_eq!(store.stat().recovery.cut_bytes, expected, "{case:?}");
    }

    /// A token that reading leads past the place of a flip, as far as there is one.
    fn token_near(&self, case: Case<'_>) -> TokenId {
        let bytes = &self.sample.files[case.name];
        let (_, part, class) = self.parts[case.name].of(case.at);
        let is_of_records = Kind::of(case.name) == Kind::Segment && *class == Class::Checked;
        if !is_of_records {
            return *self.questions.token(case.at);
        }
        let records = records(bytes);
        let start = section(bytes, part).start;
        let at = case.at - start;
        let index = match *part {
            "records" => at / Record::LEN,
            "suffix postings" => posting(&bytes[start..], at),
            "prefix directory" => u32_at(bytes, start + at / 64 * 64) as usize + at % 64,
            "kinds" => at / 64 * 192 + (at % 64).saturating_sub(16) % 24 * 8 + case.bit,
            "fence keys" => at / 32 * 128,
            _ => records.len() * (at / 4) / sections(bytes).count(),
        };
        records[index.min(records.len() - 1)].token
    }
}

/// The record that a byte of postings has to do with.
fn posting(postings: &[u8], at: usize) -> usize {
    const TABLE_LEN: usize = 2048;
    let number = |at: usize| usize::from(u16::from_le_bytes([postings[at], postings[at + 1]]));
    match at.checked_sub(TABLE_LEN) {
        Some(at) => number(TABLE_LEN + at / 2 * 2),
        None => number(TABLE_LEN + 2 * number(at / 2 * 2)),
    }
}

fn records(segment: &[u8]) -> Vec<Record> {
    bytemuck::cast_slice(&segment[section(segment, "records")]).to_vec()
}

/// Prints what became of flips, and asserts what is the same in each run.
fn judge(table: &Table, sample: &Sample, is_tried: impl Fn(&str) -> bool) -> Outcomes {
    println!("bits, refused, found, unused; noticed of asked; answers, errors");
    let mut sum = Outcomes::default();
    for ((kind, part, class), it) in table {
        let Outcomes { bits, refused, found, unused, noticed, asked, right, errors } = it;
        println!(
            "{kind:?}, {part}, {class:?}: {bits}, {refused}, {found}, {unused}; \
             {noticed} of {asked}; {right}, {errors}"
        );
        sum.add(it);
    }
    println!("{sum:?}");
    let expected = |is_it: &dyn Fn(Class, &str) -> bool| -> u64 {
        let parts = sample.parts();
        let parts = parts.iter().filter(|(name, _)| is_tried(name)).flat_map(|it| it.1.iter());
        parts.filter(|it| is_it(it.2, it.1)).map(|it| 8 * it.0.len() as u64).sum()
    };
    assert_eq!(sum.bits, expected(&|_, _| true));
    assert_eq!(sum.refused + sum.found + sum.unused, sum.bits);
    assert_eq!(sum.unused, expected(&|class, _| class == Class::Unused));
    let refused = expected(&|class, _| class == Class::Opening);
    assert!(sum.refused >= refused, "{} of {refused} refused", sum.refused);
    sum
}

/// What is asked of a store whose bits are all as they were.
fn assert_whole(flips: &Flips<'_>) {
    let disk = SimDisk::with_files(flips.sample.files.clone());
    let never = |_: &Error| false;
    for store in [disk.open_read_only(&options()), disk.open_store(&options())] {
        let mut judge = Judge::new(&"as it was written", &never);
        flips.questions.ask_all(&store.unwrap().snapshot(), &mut judge);
        assert!(judge.right > 500);
    }
}

fn flip_all(asks_all: bool) {
    let sample = layered(3);
    sample.assert_uses_everything();
    let flips = Flips::new(&sample, asks_all);
    assert_whole(&flips);
    let is_tried = |_: &str| true;
    let table = flips.run(is_tried);
    let sum = judge(&table, &sample, is_tried);
    let counts = (sum.bits, sum.refused, sum.found, sum.unused);
    assert_eq!(counts, (1_194_784, 409_896, 730_880, 54_008));
    assert!(sum.right > 50_000_000 && sum.errors > 5_000_000, "{sum:?}");
    // Whatever is asked, all records are read, and no postings but those of the base.
    let of = |part| table[&(Kind::Segment, part, Class::Checked)];
    let (records, postings) = (of("records"), of("suffix postings"));
    assert_eq!(records.noticed, records.asked);
    assert!(postings.noticed > 0 && postings.noticed < postings.asked);
}

/// Not comparing chunks with their checksums was tried, and made this fail.
#[test]
fn every_bit_of_a_closed_store() {
    flip_all(false);
}

#[test]
#[ignore = "every question of every bit: cargo test --test corruption -- --ignored --nocapture everything"]
fn everything_is_asked_of_every_bit_of_a_closed_store() {
    flip_all(true);
}

#[test]
fn every_bit_of_two_logs() {
    let sample = two_logs();
    assert_eq!(sample.names(Kind::Log).len(), 2);
    let flips = Flips::new(&sample, false);
    assert_whole(&flips);
    let is_tried = |name: &str| Kind::of(name) != Kind::Segment;
    let sum = judge(&flips.run(is_tried), &sample, is_tried);
    let counts = (sum.bits, sum.refused, sum.found, sum.unused);
    assert_eq!(counts, (141_408, 66_624, 0, 74_784));
    assert!(sum.right > 1_000_000 && sum.errors == 0, "{sum:?}");
}
