//! Loads in so little memory that a few records fill it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::options::LoadReport;
use super::*;
use crate::error::Error;
use crate::format::kinds::Kind;
use crate::format::manifest::SegmentEntry;
use crate::io::watched::WatchedDisk;
use crate::options::Verification;
use crate::progress::Progress;
use crate::segment::builder::SegmentIds;
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;
use crate::snapshot::view::View;
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::token::{BlockId, BlockTime, TokenId};

pub(super) const IDS: SegmentIds = SegmentIds { store_id: [3; 16], segment_id: 1 };

/// From room for everything to room for next to nothing.
pub(super) const MEMORIES: [Memory; 5] = [
    Memory { sort_records: 100_000, merge_records: 1_000, runs_max: 100 },
    Memory { sort_records: 1_000, merge_records: 4_000, runs_max: 100 },
    Memory { sort_records: 70, merge_records: 300, runs_max: 100 },
    Memory { sort_records: 70, merge_records: 3, runs_max: 3 },
    Memory { sort_records: 30, merge_records: 2, runs_max: 2 },
];

/// What a load should keep: the newest, and of the newest the first.
fn expected(records: &[Record]) -> BTreeMap<TokenId, BlockTime> {
    let mut kept = BTreeMap::new();
    for record in records {
        match kept.entry(record.token) {
            Entry::Vacant(vacant) => {
                vacant.insert(record.value());
            }
            Entry::Occupied(mut occupied) => {
                let value: &mut BlockTime = occupied.get_mut();
                if value.time < record.time() {
                    *value = record.value();
                }
            }
        }
    }
    kept
}

/// Loads records to an empty store's first segment.
pub(super) fn load_within<'a>(
    memory: Memory,
    disk: &'a dyn Disk,
    ids: SegmentIds,
    input: impl IntoIterator<Item = Result<Record>>,
    options: &'a LoadOptions<'a>,
) -> Result<(Option<SegmentEntry>, LoadReport)> {
    let mut in_order = in_order_within(memory, disk, ids.segment_id, input, options)?;
    let entry = in_order.write(ids, None)?;
    let stored = entry.as_ref().map_or(0, |entry| entry.records);
    Ok((entry, in_order.report(stored)))
}

pub(super) fn load_into(
    directory: &Path,
    records: &[Record],
    memory: Memory,
) -> Result<(Option<SegmentEntry>, LoadReport)> {
    let disk = RealDisk::new(directory);
    let input = records.iter().map(|record| Ok(*record));
    load_within(memory, &disk, IDS, input, &LoadOptions::new())
}

/// Loads records, compares what was stored with what should be, and says how it went.
fn check(records: &[Record], memory: Memory) -> LoadReport {
    let directory = tempfile::tempdir().unwrap();
    let (entry, report) = load_into(directory.path(), records, memory).unwrap();
    let expected = expected(records);
    assert_eq!(report.read, records.len() as u64);
    assert_eq!(report.stored, expected.len() as u64);
    assert_eq!(report.duplicates, report.read - report.stored);
    let disk = RealDisk::new(directory.path());
    let Some(entry) = entry else {
        assert!(expected.is_empty());
        assert_eq!(disk.list().unwrap(), [""; 0]);
        return report;
    };
    assert_eq!(disk.list().unwrap(), [segment_name(1)]);
    let bytes = disk.open(&segment_name(1)).unwrap().map().unwrap();
    let segment = Segment::open(bytes, Path::new("loaded"), Verification::OnOpen).unwrap();
    assert_eq!(segment.entry(), entry);
    assert_eq!(segment.verify(&|_| ControlFlow::Continue(())).unwrap(), []);
    let stored = segment.records(0..segment.len()).unwrap();
    let stored = stored.iter().map(|record| (record.token, record.value()));
    assert!(stored.eq(expected));
    report
}

/// Records that say where in the input they stood.
pub(super) fn records(
    tokens: impl IntoIterator<Item = TokenId>,
    time: impl Fn(u64) -> u64,
) -> Vec<Record> {
    let record =
        |(index, token)| Record::new(token, BlockTime::new(BlockId::from(index), time(index)));
    (0..).zip(tokens).map(record).collect()
}

pub(super) fn shuffled(mut tokens: Vec<TokenId>, seed: u64) -> Vec<TokenId> {
    let mut random = Random::new("shuffled", seed);
    for at in (1..tokens.len()).rev() {
        tokens.swap(at, random.below(at as u64 + 1) as usize);
    }
    tokens
}

#[test]
fn every_family_in_every_order_in_any_memory() {
    for family in KeyFamily::ALL {
        for count in [0, 1, 2, 70, 71, 1_500] {
            let ascending = family.generate(count, 1);
            let descending: Vec<_> = ascending.iter().rev().copied().collect();
            let mut chunks = ascending.clone();
            chunks.rotate_left(ascending.len() / 3);
            for tokens in [shuffled(ascending.clone(), 1), ascending, descending, chunks] {
                for memory in MEMORIES {
                    check(&records(tokens.iter().copied(), |_| 7), memory);
                }
            }
        }
    }
}

/// More than a block of postings, and more than one batch of blocks.
#[test]
fn several_blocks() {
    let tokens = shuffled(KeyFamily::Uniform.generate(300_000, 1), 2);
    for sort_records in [400_000, 60_000] {
        let memory = Memory { sort_records, merge_records: 10_000, runs_max: 4 };
        check(&records(tokens.iter().copied(), |_| 7), memory);
    }
}

/// More than is sorted at a time, with each token several times, or nearly all in one group.
#[test]
fn several_waves() {
    let memory = Memory { sort_records: 400_000, merge_records: 1_000, runs_max: 4 };
    let tokens = KeyFamily::Uniform.generate(100_000, 1).repeat(3);
    check(&records(shuffled(tokens, 3), |index| index * index % 5), memory);
    let mut tokens = KeyFamily::Dense64.generate(200_000, 1);
    tokens.push(TokenId::MAX);
    check(&records(shuffled(tokens, 4), |_| 7), memory);
}

#[test]
fn what_is_in_order_is_written_once() {
    for memory in &MEMORIES[1..] {
        let tokens = KeyFamily::Uniform.generate(5_000, 1);
        let in_order = check(&records(tokens.clone(), |_| 7), *memory);
        assert_eq!(in_order.spilled, 0);
    }
}

/// Claims to be in order up to the last record.
#[test]
fn what_is_out_of_order_at_the_very_end_is_stored_all_the_same() {
    for memory in &MEMORIES[1..] {
        let mut tokens = KeyFamily::Uniform.generate(5_001, 1);
        tokens.rotate_left(1);
        let report = check(&records(tokens, |_| 7), *memory);
        assert!(report.spilled >= 5_000, "{report:?}");
    }
}

#[test]
fn a_sorted_stretch_after_others_is_one_run() {
    // Two records that are out of order, then 5,000 in order: two runs, merged at once.
    let mut tokens = KeyFamily::Uniform.generate(5_002, 1);
    tokens.rotate_right(2);
    let memory = Memory { sort_records: 100, merge_records: 10, runs_max: 2 };
    assert_eq!(check(&records(tokens, |_| 7), memory).spilled, 5_002);
}

#[test]
fn duplicates_by_the_thousand() {
    for distinct in [1, 2, 3, 40, 700] {
        let tokens = KeyFamily::Uniform.generate(distinct, 1);
        let mut random = Random::new("duplicates", distinct as u64);
        let drawn: Vec<_> = (0..3_000).map(|_| *random.pick(&tokens)).collect();
        let mut in_order = drawn.clone();
        in_order.sort_unstable();
        for tokens in [drawn, in_order] {
            for memory in MEMORIES {
                check(&records(tokens.clone(), |_| 7), memory);
                check(&records(tokens.clone(), |index| index), memory);
                check(&records(tokens.clone(), |index| u64::MAX - index), memory);
                check(&records(tokens.clone(), |index| index * index % 5), memory);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_records_in_any_memory(
        ids in prop::collection::vec((0u64..50, 0u64..4, any::<bool>()), 0..300),
        sort_records in 1usize..100,
        merge_records in 10usize..100,
        runs_max in 2usize..10,
    ) {
        let token = |&(id, _, high): &(u64, u64, bool)| {
            let mut token = TokenId::from(id);
            token.0[0] = u8::from(high);
            token
        };
        let records = records(ids.iter().map(token), |index| ids[index as usize].1);
        check(&records, Memory { sort_records, merge_records, runs_max });
    }
}

/// Whichever call to the disk fails, nothing is left, whatever the way of loading.
#[test]
fn a_load_that_fails_at_any_call_leaves_nothing() {
    let in_order = KeyFamily::Uniform.generate(1_000, 1);
    let mut calls = 0;
    for tokens in [shuffled(in_order.clone(), 1), in_order] {
        let records = records(tokens, |_| 7);
        for memory in MEMORIES {
            for fails_at in 0.. {
                let directory = tempfile::tempdir().unwrap();
                let (disk, watch) = WatchedDisk::new(directory.path());
                watch.lock().unwrap().fails_at = Some(fails_at);
                let input = records.iter().map(|record| Ok(*record));
                let loaded = load_within(memory, &disk, IDS, input, &LoadOptions::new());
                if fails_at == watch.lock().unwrap().calls.len() {
                    assert_eq!(loaded.unwrap().1.stored, 1_000);
                    break;
                }
                calls += 1;
                let call = watch.lock().unwrap().calls[fails_at].clone();
                match loaded {
                    Err(Error::Io { .. }) => assert_ne!(call, "sync directory"),
                    Err(Error::OutcomeUnknown { .. }) => assert_eq!(call, "sync directory"),
                    other => panic!("{call}: {other:?}"),
                }
                assert_eq!(disk.list().unwrap(), [""; 0], "call {fails_at}");
            }
        }
    }
    assert!(calls > 80, "{calls}");
}

/// Whenever it is told to stop, nothing is left.
#[test]
fn a_load_that_is_stopped_anywhere_leaves_nothing() {
    let in_order = KeyFamily::Uniform.generate(70_000, 1);
    for tokens in [shuffled(in_order.clone(), 1), in_order] {
        let records = records(tokens, |_| 7);
        for sort_records in [100_000, 20_000] {
            let memory = Memory { sort_records, merge_records: 1_000, runs_max: 2 };
            let mut phases = Vec::new();
            for stops_at in 0.. {
                let directory = tempfile::tempdir().unwrap();
                let disk = RealDisk::new(directory.path());
                let words = Mutex::new(Vec::new());
                let progress = |progress: Progress| {
                    let mut words = words.lock().unwrap();
                    words.push(progress.phase);
                    if words.len() > stops_at {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                };
                let input = records.iter().map(|record| Ok(*record));
                let options = LoadOptions::new().progress(&progress);
                let loaded = load_within(memory, &disk, IDS, input, &options);
                phases.extend(words.lock().unwrap().last().copied());
                if loaded.is_ok() {
                    break;
                }
                assert!(matches!(loaded, Err(Error::Interrupted)), "{loaded:?}");
                assert_eq!(disk.list().unwrap(), [""; 0], "after {:?}", phases.last());
            }
            assert!(phases.contains(&Phase::Syncing) && phases.contains(&Phase::Reading));
        }
    }
}

/// An input that fails at its end, after everything else went to the disk.
#[test]
fn a_bad_record_at_the_end_leaves_nothing() {
    let records = records(shuffled(KeyFamily::Uniform.generate(5_000, 1), 1), |_| 7);
    for memory in MEMORIES {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(directory.path());
        let input = records.iter().map(|record| Ok(*record)).chain([Err(Error::Interrupted)]);
        assert!(load_within(memory, &disk, IDS, input, &LoadOptions::new()).is_err());
        assert_eq!(disk.list().unwrap(), [""; 0]);
    }
}

/// A panic in the input, or in who is told of the progress.
#[test]
fn a_load_that_panics_leaves_nothing() {
    let records = records(KeyFamily::Uniform.generate(70_000, 1), |_| 7);
    // The progress of reading is told by who writes what has no room, too.
    let phases = [Phase::Syncing, Phase::Reading];
    let panics = phases.map(|phase| (usize::MAX, Some(phase))).into_iter();
    for (input_ends, phase) in panics.chain([(69_000, None)]) {
        for sort_records in [100_000, 20_000] {
            let directory = tempfile::tempdir().unwrap();
            let disk = RealDisk::new(directory.path());
            let progress = |progress: Progress| {
                assert!(phase != Some(progress.phase), "made to panic");
                ControlFlow::Continue(())
            };
            let options = LoadOptions::new().progress(&progress);
            let input = records.iter().enumerate().map(|(index, record)| {
                assert!(index < input_ends, "made to panic");
                Ok(*record)
            });
            let memory = Memory { sort_records, merge_records: 1_000, runs_max: 2 };
            let load = || load_within(memory, &disk, IDS, input, &options).map(|_| ());
            let load = std::panic::AssertUnwindSafe(load);
            assert!(std::panic::catch_unwind(load).is_err());
            assert_eq!(disk.list().unwrap(), [""; 0]);
        }
    }
}

/// As many records as make more than a segment can hold, of few tokens.
#[test]
fn more_records_than_a_segment_holds_may_be_few_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    // A run says how many records it has; these have far fewer.
    let mut writer = RunsWriter::new(&disk).unwrap();
    let record = Record::new(TokenId::from(1), BlockTime::default());
    writer.push(&[record]).unwrap();
    let run = |records: u64| {
        let mut run = writer.run_from(0, (record.token, record.token));
        run.bytes.end *= records;
        run
    };
    let options = LoadOptions::new();
    let load = Load {
        disk: &disk,
        temporary: None,
        memory: MEMORIES[2],
        options: &options,
        name: "x.tmp".into(),
    };
    let memory = vec![record; MEMORIES[2].merge_records];
    let source = Source::Runs { runs: vec![run(1), run(1 << 32)], memory };
    let unfinished = Unfinished::new(&disk, Vec::new());
    let batches = Batches::default();
    let mut in_order = InOrder { load, source, batches, read: 0, spilled: 0, unfinished };
    // The end of the file is the first thing that is wrong.
    let failed = in_order.write(IDS, None);
    assert!(matches!(failed, Err(Error::Io { operation: "read a temporary file in", .. })));
}

#[test]
fn duplicates_in_order_are_written_once() {
    let tokens = KeyFamily::Uniform.generate(1_000, 1);
    for copies in [2, 3, 70, 200] {
        let tokens = tokens.iter().flat_map(|token| std::iter::repeat_n(*token, copies));
        for memory in [Memory { sort_records: 100, merge_records: 100, runs_max: 10 }, MEMORIES[3]]
        {
            for time in [|index| index, |index| u64::MAX - index, |index| index * index % 5] {
                assert_eq!(check(&records(tokens.clone(), time), memory).spilled, 0);
            }
        }
    }
}

#[test]
fn of_one_run_too_many_only_two_are_merged_before() {
    // A run of 201, 99 of 100, and one of 50.
    let tokens = shuffled(KeyFamily::Uniform.generate(10_151, 1), 1);
    let memory = Memory { sort_records: 202, merge_records: 1_000, runs_max: 100 };
    assert_eq!(check(&records(tokens, |_| 7), memory).spilled, 10_151 + 301);
}

#[test]
fn too_little_memory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    let options = LoadOptions::new().memory_bytes(LoadOptions::MEMORY_BYTES_MIN - 1);
    let refused = in_order(&disk, 1, [], &options).map(|_| ());
    assert!(matches!(refused, Err(Error::MemoryTooSmall { .. })), "{refused:?}");
    let options = LoadOptions::new().memory_bytes(LoadOptions::MEMORY_BYTES_MIN);
    assert!(in_order(&disk, 1, [], &options).is_ok());
}

#[test]
fn temporary_files_go_where_they_are_told_to() {
    let (store, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let missing = temporary.path().join("missing");
    let records = records(shuffled(KeyFamily::Uniform.generate(1_000, 1), 1), |_| 7);
    let disk = RealDisk::new(store.path());
    let load = |directory: &Path| {
        let input = records.iter().map(|record| Ok(*record));
        let options = LoadOptions::new().temporary_directory(directory);
        load_within(MEMORIES[2], &disk, IDS, input, &options)
    };
    let failed = load(&missing);
    assert!(matches!(&failed, Err(Error::Io { path, .. }) if *path == missing), "{failed:?}");
    assert_eq!(disk.list().unwrap(), [""; 0]);
    assert_eq!(load(temporary.path()).unwrap().1.stored, 1_000);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// Above a store, wherever the records are by then: those that are no newer are left out, the
/// others say what they are, and all are found.
#[test]
fn records_above_others_in_any_memory() {
    let tokens = KeyFamily::Uniform.generate(3_000, 1);
    // Of three tokens, one is there with a newer time, one with an older time, one is not.
    let time_below = |index: usize| [9, 5, 0][index % 3];
    let there = tokens.iter().enumerate().filter(|(index, _)| index % 3 != 2);
    let there = there.map(|(index, token)| {
        Record::new(*token, BlockTime::new(BlockId::from(1), time_below(index)))
    });
    let below = tempfile::tempdir().unwrap();
    let (entry, _) = load_into(below.path(), &there.collect::<Vec<_>>(), MEMORIES[0]).unwrap();
    let open = |directory: &Path, entry: &SegmentEntry| {
        let path = directory.join(segment_name(entry.segment_id));
        let file = RealDisk::new(directory).open(&segment_name(entry.segment_id)).unwrap();
        Segment::open(file.map().unwrap(), &path, Verification::OnOpen).unwrap()
    };
    let base = Layer::new(vec![open(below.path(), &entry.unwrap())]);
    let view = View::of_base(Arc::new(base));
    let in_order: Vec<_> = records(tokens.clone(), |_| 7);
    let newer: Vec<_> = in_order.iter().skip(1).step_by(3).copied().collect();
    let older: Vec<_> = in_order.iter().step_by(3).copied().collect();
    for (input, kept) in [
        (records(shuffled(tokens.clone(), 1), |_| 7), 2_000),
        // In place, all or none of it, and not.
        (in_order, 2_000),
        (newer, 1_000),
        (older, 0),
        (Vec::new(), 0),
    ] {
        for memory in MEMORIES {
            let directory = tempfile::tempdir().unwrap();
            let disk = RealDisk::new(directory.path());
            let options = LoadOptions::new();
            let records = input.iter().map(|record| Ok(*record));
            let mut in_order = in_order_within(memory, &disk, 1, records, &options).unwrap();
            let entry = in_order.write(IDS, Some(&view)).unwrap();
            assert_eq!(entry.is_some(), kept > 0);
            if let Some(entry) = entry {
                let segment = open(directory.path(), &entry);
                assert_eq!(segment.verify(&|_| ControlFlow::Continue(())).unwrap(), []);
                assert_eq!((segment.len(), entry.tombstones), (kept, 0));
                for position in 0..kept {
                    let token = segment.record(position).unwrap().token;
                    let index = tokens.binary_search(&token).unwrap();
                    let kind = if index % 3 == 1 { Kind::Update } else { Kind::Fresh };
                    assert_eq!(segment.kind(position).unwrap(), kind);
                    assert_ne!(index % 3, 0);
                }
            }
            let expected: BTreeMap<_, _> = input.iter().map(|it| (it.token, *it)).collect();
            for step in [1, 7, 800, 2_900] {
                let mut finder = in_order.finder().unwrap();
                for token in tokens.iter().step_by(step) {
                    assert_eq!(finder.find(token).unwrap(), expected.get(token).copied());
                }
                assert_eq!(finder.find(&TokenId::MAX).unwrap(), None);
            }
            drop(in_order);
            assert_eq!(disk.list().unwrap().len(), usize::from(kept > 0));
        }
    }
}

/// Of few tokens, in orders of all kinds, some again and again where one buffer ends and the
/// next one begins.
#[test]
fn few_tokens_many_times() {
    for seed in 0..300 {
        let mut random = Random::new("few tokens", seed);
        let count = 1 + random.below(60) as usize;
        let tokens = random.pick(&KeyFamily::ALL).generate(count, seed);
        let mut drawn: Vec<_> = (0..random.below(600)).map(|_| *random.pick(&tokens)).collect();
        // None of them sorted, or one half, or all.
        let sorted = drawn.len() / 2 * random.below(3) as usize;
        drawn[..sorted].sort_unstable();
        let times = 1 + random.below(4);
        let times: Vec<_> = drawn.iter().map(|_| random.below(times)).collect();
        let memory = Memory {
            sort_records: 1 + random.below(60) as usize,
            merge_records: 10 + random.below(50) as usize,
            runs_max: 2 + random.below(8) as usize,
        };
        check(&records(drawn, |index| times[index as usize]), memory);
    }
}
