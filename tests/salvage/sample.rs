//! Stores to be damaged, and what is in their files: read by the specification, not by the
//! library.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, Range, RangeBounds};
use std::path::{Path, PathBuf};

use ringstore::testing::keys::KeyFamily;
use ringstore::{
    Batch, BlockTime, LoadOptions, Options, Progress, Record, Result, SalvageReport, Store,
    TokenId, salvage,
};
use tempfile::TempDir;

/// What a layer, or the logs, did to each token: its value, or `None` if it was removed.
pub(crate) type Entries = BTreeMap<TokenId, Option<BlockTime>>;

pub(crate) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A section of a segment, as the specification says: where it lies, in chunks of how many
/// bytes, and how many chunks come before.
pub(crate) struct Section {
    pub(crate) bytes: Range<usize>,
    pub(crate) chunk_len: usize,
    pub(crate) first_chunk: usize,
}

impl Section {
    /// The bytes of a chunk.
    pub(crate) fn chunk(&self, index: usize) -> Range<usize> {
        let start = self.bytes.start + index * self.chunk_len;
        start..self.bytes.end.min(start + self.chunk_len)
    }

    pub(crate) fn chunks(&self) -> usize {
        self.bytes.len().div_ceil(self.chunk_len)
    }
}

/// A segment that is all right, read by the specification, not by the library.
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Records, postings, directory, kinds, fences, checksums, checksums of checksums.
    pub(crate) sections: Vec<Section>,
    pub(crate) records: Vec<Record>,
    pub(crate) is_tombstone: Vec<bool>,
}

pub(crate) const RECORDS: usize = 0;
pub(crate) const KINDS: usize = 3;
pub(crate) const CHECKSUMS: usize = 5;

impl Segment {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut sections = Vec::new();
        let mut first_chunk = 0;
        for at in (168..).step_by(24).take(7) {
            let [start, len, chunk_len] = [0, 8, 16].map(|it| u64_at(&bytes, at + it) as usize);
            sections.push(Section { bytes: start..start + len, chunk_len, first_chunk });
            first_chunk += len.div_ceil(chunk_len);
        }
        let records: Vec<Record> = bytemuck::cast_slice(&bytes[sections[0].bytes.clone()]).to_vec();
        let kinds = &bytes[sections[KINDS].bytes.clone()];
        let is_tombstone = (0..records.len()).map(|index| {
            let (line, bit) = (64 * (index / 192), index % 192);
            kinds.get(line + 40 + bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
        });
        let is_tombstone = is_tombstone.collect();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        Self { name, bytes, sections, records, is_tombstone }
    }

    pub(crate) fn entries(&self) -> Entries {
        let values = self.records.iter().zip(&self.is_tombstone);
        values.map(|(it, removed)| (it.token, (!removed).then(|| it.value()))).collect()
    }

    /// The records that a chunk of records has to do with.
    pub(crate) fn records_of(&self, chunk: usize) -> Range<usize> {
        let section = &self.sections[RECORDS];
        let bytes = section.chunk(chunk);
        let [start, end] = [bytes.start, bytes.end].map(|at| at - section.bytes.start);
        start / 72..end.div_ceil(72)
    }

    /// The records of which nobody knows what they were without a chunk of kinds.
    pub(crate) fn undecided_of(&self, chunk: usize) -> Vec<usize> {
        if !self.is_tombstone.contains(&true) {
            return Vec::new();
        }
        let places = 64 * 192 * chunk..(64 * 192 * (chunk + 1)).min(self.records.len());
        places.filter(|index| self.records[*index].value() == BlockTime::default()).collect()
    }

    /// The records that are lost where one byte is wrong.
    pub(crate) fn lost_by(&self, at: usize) -> Vec<usize> {
        let id = self.sections.iter().position(|section| section.bytes.contains(&at));
        let Some(id) = id else { return Vec::new() };
        let section = &self.sections[id];
        let (id, chunk) = if id == CHECKSUMS {
            let chunk = (at - section.bytes.start) / 4;
            let owner = self.sections[..CHECKSUMS]
                .iter()
                .rposition(|it| it.first_chunk <= chunk && it.chunks() > 0);
            let owner = owner.unwrap();
            (owner, chunk - self.sections[owner].first_chunk)
        } else {
            (id, (at - section.bytes.start) / section.chunk_len)
        };
        match id {
            RECORDS => self.records_of(chunk).collect(),
            KINDS => self.undecided_of(chunk),
            _ => Vec::new(),
        }
    }
}

/// A store that was closed, and what is in its files.
pub(crate) struct Sample {
    pub(crate) directory: TempDir,
    /// Newest first.
    pub(crate) segments: Vec<Segment>,
    /// The file and what its frames did, in order, each with its offset and length.
    pub(crate) log: (String, Vec<(Range<usize>, Entries)>),
}

impl Sample {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub(crate) fn destination(&self) -> PathBuf {
        self.directory.path().join("rescued")
    }

    pub(crate) fn layers(&self) -> Vec<Entries> {
        self.segments.iter().map(Segment::entries).collect()
    }

    pub(crate) fn frames(&self) -> Vec<Entries> {
        self.log.1.iter().map(|(_, entries)| entries.clone()).collect()
    }

    /// Salvages what there is, asserts that what the report says is true, and gives it.
    #[track_caller]
    pub(crate) fn salvage(&self) -> (SalvageReport, BTreeMap<TokenId, BlockTime>) {
        let before = contents(&self.path());
        let report = salvage(self.path(), self.destination(), &go_on).unwrap();
        assert!(contents(&self.path()) == before, "the damaged store was changed");
        let store = Store::open_read_only(self.destination(), &Options::new()).unwrap();
        let all: Result<BTreeMap<_, _>> = store.snapshot().range(..).collect();
        let rescued = all.unwrap();
        assert_eq!(report.tokens, rescued.len() as u64);
        drop(store);
        fs::remove_dir_all(self.destination()).unwrap();
        self.judge(&report, &rescued);
        (report, rescued)
    }

    /// What no loss covers is as it was; what one does was rescued, or is absent, or is as it
    /// was at some time if that may be.
    #[track_caller]
    pub(crate) fn judge(&self, report: &SalvageReport, rescued: &BTreeMap<TokenId, BlockTime>) {
        let (layers, frames) = (self.layers(), self.frames());
        let all = merged(&layers, &frames);
        let tokens = layers.iter().chain(&frames).flat_map(BTreeMap::keys);
        for token in tokens {
            let losses = report.losses.iter().filter(|loss| loss.keys.contains(token));
            let losses: Vec<_> = losses.collect();
            let found = rescued.get(token);
            if found == all.get(token) {
                continue;
            }
            // Without a manifest files that are missing are not missed.
            let is_known = report.manifest.is_none();
            assert!(!losses.is_empty() || !is_known, "{token}: {found:?}, {report:?}");
            let older = layers.iter().chain(&frames).filter_map(|it| it.get(token));
            let was = older.flatten().any(|value| Some(value) == found);
            let may_revert = !is_known || losses.iter().any(|loss| loss.may_revert);
            assert!(found.is_none() || was && may_revert, "{token}: {found:?}");
        }
        assert!(
            rescued
                .keys()
                .all(|token| layers.iter().chain(&frames).any(|it| it.contains_key(token)))
        );
    }

    /// Puts other bytes in the place of a file, and salvages; the file is then as before.
    #[track_caller]
    pub(crate) fn with_file(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> (SalvageReport, BTreeMap<TokenId, BlockTime>) {
        let path = self.path().join(name);
        let good = fs::read(&path).unwrap();
        overwrite(&path, bytes);
        let salvaged = self.salvage();
        overwrite(&path, &good);
        salvaged
    }
}

pub(crate) fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What layers, newest first, and the frames of a log above them come to.
pub(crate) fn merged(layers: &[Entries], frames: &[Entries]) -> BTreeMap<TokenId, BlockTime> {
    let all: BTreeMap<_, _> = layers.iter().rev().chain(frames).flatten().collect();
    all.into_iter().filter_map(|(token, value)| Some((*token, (*value)?))).collect()
}

/// A base of so many tokens, two layers with entries of all kinds above it, some of them with
/// a value of zeros, and a log.
pub(crate) fn sample(family: KeyFamily, count: usize) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let value = |number: usize| match number % 7 {
        0 => BlockTime::default(),
        _ => BlockTime::new((number as u64).into(), number as u64),
    };
    let tokens = family.generate(count, 3);
    let new = KeyFamily::Uniform.generate(count, 9);
    let store = Store::create(&path, &Options::new()).unwrap();
    let base = tokens.iter().zip(1..).map(|(token, number)| Ok(Record::new(*token, value(number))));
    store.bulk_load(base, &LoadOptions::new()).unwrap();
    store.pause_compaction().unwrap();
    let batches = |from: usize, to: usize| {
        let mut batch = Batch::new();
        for (number, token) in (1..).zip(tokens[from..to].iter().chain(&new[from..to])) {
            if number % 5 == 0 {
                batch.remove(*token);
            } else {
                batch.put(*token, value(number + from));
            }
        }
        batch
    };
    for part in [0..count / 2, count / 4..3 * count / 4] {
        store.commit(&batches(part.start, part.end)).unwrap();
        store.flush().unwrap();
    }
    assert_eq!(store.stat().layers, 3);
    for (number, entries) in [1, 2, 6, 7, 40, 3].into_iter().enumerate() {
        store.commit(&batches(10 * number, 10 * number + entries)).unwrap();
    }
    store.close().unwrap();
    read(directory)
}

/// What is in the files of a store.
pub(crate) fn read(directory: TempDir) -> Sample {
    let path = directory.path().join("store");
    let mut names: Vec<_> = contents(&path).into_keys().collect();
    names.reverse();
    let of = |ending: &str| {
        names
            .iter()
            .filter(|name| name.extension().is_some_and(|it| it == ending))
            .cloned()
            .collect()
    };
    let (segments, logs): (Vec<PathBuf>, Vec<PathBuf>) = (of("seg"), of("log"));
    let log = match logs.as_slice() {
        [] => (String::new(), Vec::new()),
        [log] => (
            log.file_name().unwrap().to_str().unwrap().to_string(),
            frames(&fs::read(log).unwrap()),
        ),
        _ => panic!("{logs:?}"),
    };
    Sample { directory, segments: segments.iter().map(|path| Segment::read(path)).collect(), log }
}

/// The frames of a log that is all right, marks included.
pub(crate) fn frames(log: &[u8]) -> Vec<(Range<usize>, Entries)> {
    let mut frames = Vec::new();
    let mut at = 512;
    while log.get(at..at + 4).is_some_and(|it| it != [0; 4]) {
        let count = u32::from_le_bytes(log[at + 4..at + 8].try_into().unwrap()) as usize;
        let end = at + (32 + 73 * count).next_multiple_of(512);
        let records: Vec<Record> = bytemuck::cast_slice(&log[at + 32..][..72 * count]).to_vec();
        let kinds = &log[at + 32 + 72 * count..][..count];
        let entries = records.iter().zip(kinds);
        let entries = entries.map(|(it, kind)| (it.token, (*kind != 2).then(|| it.value())));
        frames.push((at..end, entries.collect()));
        at = end;
    }
    frames
}

/// Bytes with one of them changed.
pub(crate) fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes
}
