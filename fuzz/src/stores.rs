//! Stores with logs, the same bytes in every run, and what becomes of them when some of
//! their bytes are others.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use ringstore::testing::damage::{reseal_log, reseal_manifest, reseal_segment};
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::sim::{Fault, SimDisk};
use ringstore::{
    Batch, BlockTime, Durability, Error, LoadOptions, Options, Record, Result, Store, TokenId,
};

use crate::{number, set_number};

/// Files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What a store holds.
pub type State = BTreeMap<TokenId, BlockTime>;

/// What is written to a log at a time.
pub const BLOCK_LEN: usize = 512;

/// A store that was not closed.
pub struct Written {
    pub files: Files,
    /// Oldest first.
    pub logs: Vec<Log>,
    /// What is in the segments.
    pub base: State,
}

/// A log.
pub struct Log {
    pub name: String,
    pub frames: Vec<Frame>,
}

/// A commit in a log.
pub struct Frame {
    pub offset: usize,
    /// Bytes that matter.
    pub used: usize,
    pub sequence: u64,
    /// Up to where frames were durable.
    pub durable: u64,
    /// What the store holds with it.
    pub state: State,
}

pub fn options() -> Options {
    Options::new().log_bytes(Options::LOG_BYTES_MIN).inline()
}

fn token(id: usize) -> TokenId {
    KeyFamily::Uniform.generate(96, 1)[id]
}

fn value(time: u64) -> BlockTime {
    BlockTime::new(time.into(), time)
}

/// The [written stores](written_stores), made once.
pub static STORES: LazyLock<[Written; 4]> = LazyLock::new(written_stores);

/// A log alone, half full and buffered at its end; one over a base, with all kinds and
/// frames of many blocks; one that took over from another; several logs.
pub fn written_stores() -> [Written; 4] {
    let put = |ids: std::ops::Range<usize>, time: u64| {
        let mut batch = Batch::new();
        ids.for_each(|id| _ = batch.put(token(id), value(time)));
        batch
    };
    let few = |_: &SimDisk, store: &Store| {
        for time in 0..5 {
            let id = time as usize;
            let durability = if id < 3 { Durability::Synced } else { Durability::Buffered };
            store.commit_with(&put(id..id + 2, time), durability)?;
        }
        Ok(())
    };
    let kinds = |_: &SimDisk, store: &Store| {
        store.commit(&put(0..20, 1))?;
        let mut batch = put(20..23, 2);
        (0..5).for_each(|id| _ = batch.remove(token(id)));
        store.commit(&batch)?;
        store.commit_with(&put(2..4, 3), Durability::Buffered)?;
        store.remove(&token(30)).map(|_| ())
    };
    let taken_over = |_: &SimDisk, store: &Store| {
        (0..14).try_for_each(|time| store.put(&token(time as usize % 3), value(time)))
    };
    let several = |disk: &SimDisk, store: &Store| {
        store.commit(&put(0..48, 1))?;
        store.put(&token(50), value(0))?;
        // The log is full, and what is in it cannot be flushed: so it stays beside the next.
        disk.fail(Fault::at_operation(disk.operations()));
        (1..5).try_for_each(|time| store.put(&token(time as usize + 50), value(time)))
    };
    let stores = [
        written(&[], &few),
        written(&[0, 1, 2, 3, 30, 31], &kinds),
        written(&[], &taken_over),
        written(&[60, 70], &several),
    ];
    let logs = stores.each_ref().map(|store| store.logs.len());
    assert_eq!(logs, [1, 1, 1, 2], "logs of the stores");
    stores
}

/// A store of some tokens that are loaded, and of what is done to it then.
fn written(base: &[usize], write: &dyn Fn(&SimDisk, &Store) -> Result<()>) -> Written {
    let mut base: Vec<_> = base.iter().map(|id| token(*id)).collect();
    base.sort_unstable();
    let base: State = with_values(base, 1).collect();
    let disk = SimDisk::new();
    let store = disk.create_store(&options()).expect("a store");
    let records = base.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new()).expect("tokens in it");
    write(&disk, &store).expect("commits");
    Written::on(&disk, base, &mut FixedIds::default())
}

/// Where the segments begin in a manifest, and how long what is said of each is.
const SEGMENTS: usize = 56;
const SEGMENT_LEN: usize = 128;
const LOG_LEN: usize = 40;
const CHECKSUM_LEN: usize = 4;

/// What stands for the random ids of stores, of related ones for related ones.
#[derive(Default)]
pub struct FixedIds {
    /// Of each random id, in the order in which they were met.
    known: Vec<([u8; 16], [u8; 16])>,
}

impl FixedIds {
    /// What stands for an id, and its number.
    fn of(&mut self, random: [u8; 16]) -> ([u8; 16], usize) {
        if let Some(index) = self.known.iter().position(|(known, _)| *known == random) {
            return (self.known[index].1, index);
        }
        let index = self.known.len();
        let mut fixed = [0x5e + index as u8; 16];
        if let Some((_, other)) = self.known.iter().find(|(known, _)| known[..8] == random[..8]) {
            fixed[..8].copy_from_slice(&other[..8]);
        }
        self.known.push((random, fixed));
        (fixed, index)
    }
}

/// The id at a place of a file.
fn id_at(bytes: &[u8], at: usize) -> [u8; 16] {
    bytes[at..at + 16].try_into().expect("16 bytes")
}

/// A store's id is random, and what each log begins with; they would make every run another
/// one.
fn fix_random_bytes(files: &mut Files, ids: &mut FixedIds) {
    const PAGE_LEN: usize = 4096;
    const FOOTER_LEN: usize = 64;
    let mut manifest = files["MANIFEST"].clone();
    let (store_id, number_of_store) = ids.of(id_at(&manifest, 16));
    manifest[16..32].copy_from_slice(&store_id);
    for at in segments_of(&manifest) {
        let (made_under, _) = ids.of(id_at(&manifest, at + 8));
        manifest[at + 8..at + 24].copy_from_slice(&made_under);
        let name = format!("{:016x}.seg", number(&manifest, at + 24));
        let segment = files.get_mut(&name).expect("the segment is there");
        let footer = segment.len() - FOOTER_LEN;
        for start in [16, footer + 16] {
            segment[start..start + 16].copy_from_slice(&made_under);
        }
        reseal_segment(segment);
        manifest[at + 4..at + 8].copy_from_slice(&segment[PAGE_LEN - 4..PAGE_LEN]);
    }
    for at in logs_of(&manifest) {
        let log_id = number(&manifest, at);
        let salt = log_id | (number_of_store as u64) << 32;
        set_number(&mut manifest, at + 32, salt);
        let log = files.get_mut(&format!("{log_id:016x}.log")).expect("the log is there");
        log[16..32].copy_from_slice(&store_id);
        set_number(log, 64, salt);
        reseal_log(log);
    }
    reseal_manifest(&mut manifest);
    files.insert("MANIFEST".into(), manifest);
}

/// Where in a manifest each segment is named, as far as there is room for them.
pub fn segments_of(manifest: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let count = if manifest.len() < SEGMENTS { 0 } else { number(manifest, 48) as usize };
    let room = manifest.len().saturating_sub(SEGMENTS + CHECKSUM_LEN) / SEGMENT_LEN;
    (0..count.min(room)).map(|index| SEGMENTS + SEGMENT_LEN * index)
}

/// Where in a manifest each log is named.
pub fn logs_of(manifest: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let start = segments_of(manifest).last().map_or(SEGMENTS, |last| last + SEGMENT_LEN);
    let room = manifest.len().saturating_sub(start + CHECKSUM_LEN) / LOG_LEN;
    (0..room).map(move |index| start + LOG_LEN * index)
}

/// What becomes of a store some of whose logs are others.
pub enum Remains<'a> {
    /// It must be refused.
    Nothing,
    /// Up to the first frame that is lost, if it is not refused.
    Part(&'a State),
    All(&'a State),
}

impl Written {
    /// What is on a disk, on which a store was not closed. What is in its segments is known.
    pub fn on(disk: &SimDisk, base: State, ids: &mut FixedIds) -> Self {
        let mut files = disk.files();
        fix_random_bytes(&mut files, ids);
        let mut written = Self { logs: Vec::new(), base, files };
        written.read_logs();
        let found = contents(&disk.open_read_only(&options()).expect("it is whole"));
        assert_eq!(&found, written.last(), "it is read here as it is written there");
        written
    }

    /// What becomes of it with other logs. Of frames that were written here, those are found
    /// that come before the first that is not as it was.
    pub fn remains(&self, files: &Files) -> Remains<'_> {
        let mut before = &self.base;
        for (number, Log { name, frames }) in self.logs.iter().enumerate() {
            let (original, bytes) = (&self.files[name], files.get(name));
            // Behind its last frame too, a log is as long as the manifest says.
            let Some(bytes) = bytes.filter(|bytes| bytes.len() == original.len()) else {
                return Remains::Nothing;
            };
            if bytes[..BLOCK_LEN] != original[..BLOCK_LEN] {
                return Remains::Nothing;
            }
            let is_whole = |offset: usize, used: usize| {
                bytes[offset..offset + used] == original[offset..offset + used]
            };
            let is_lost = |frame: &Frame| !is_whole(frame.offset, frame.used);
            if let Some(intact) = frames.iter().position(is_lost) {
                let lost = frames[intact].sequence;
                let later = frames[intact + 1..].iter().filter(|it| is_whole(it.offset, 32));
                let was_durable = later.map(|frame| frame.durable).max() >= Some(lost);
                let is_last = number + 1 == self.logs.len();
                if was_durable || !is_last {
                    return Remains::Nothing;
                }
                return Remains::Part(intact.checked_sub(1).map_or(before, |it| &frames[it].state));
            }
            before = frames.last().map_or(before, |frame| &frame.state);
        }
        Remains::All(before)
    }

    /// What it holds.
    pub fn last(&self) -> &State {
        let frames = self.logs.iter().flat_map(|log| &log.frames);
        frames.last().map_or(&self.base, |frame| &frame.state)
    }

    /// What the frames say, byte by byte as the format has it.
    fn read_logs(&mut self) {
        let mut state = self.base.clone();
        let manifest = &self.files["MANIFEST"];
        for at in logs_of(manifest) {
            let name = format!("{:016x}.log", number(manifest, at));
            let bytes = &self.files[&name];
            let mut frames = Vec::new();
            let (mut offset, mut sequence) = (BLOCK_LEN, number(manifest, at + 8));
            while offset < bytes.len() && number(bytes, offset + 8) == sequence {
                let count = number(bytes, offset) as usize >> 32;
                let records = offset + 32..offset + 32 + Record::LEN * count;
                let kinds = &bytes[records.end..records.end + count];
                for (record, kind) in bytes[records].chunks(Record::LEN).zip(kinds) {
                    let token = TokenId(record[..32].try_into().expect("32 bytes"));
                    let block: [u8; 32] = record[32..64].try_into().expect("32 bytes");
                    let time = record[64..].try_into().expect("8 bytes");
                    let value = BlockTime::new(block.into(), u64::from_be_bytes(time));
                    if *kind == 2 {
                        state.remove(&token);
                    } else {
                        state.insert(token, value);
                    }
                }
                let used = 32 + (Record::LEN + 1) * count;
                let durable = number(bytes, offset + 16);
                frames.push(Frame { offset, used, sequence, durable, state: state.clone() });
                offset += used.next_multiple_of(BLOCK_LEN);
                sequence += 1;
            }
            self.logs.push(Log { name, frames });
        }
    }
}

/// All that a store holds, read in more than one way.
pub fn contents(store: &Store) -> State {
    let snapshot = store.snapshot();
    let contents: State = snapshot.range(..).map(|item| item.expect("it is whole")).collect();
    assert_eq!(snapshot.len(), contents.len() as u64);
    for (token, value) in &contents {
        assert_eq!(snapshot.get(token).expect("it is whole"), Some(*value));
    }
    contents
}

/// Opens what these files are, in every way, and says what is there; `None` if it is
/// refused. Whatever they are, it is the same each time, and can be written to.
pub fn opened(files: Files) -> Option<State> {
    let disk = SimDisk::with_files(files);
    let looked = usable(disk.open_read_only(&options()));
    if let Some(store) = &looked {
        let report = store.verify(&|_| ControlFlow::Continue(())).expect("it can be read");
        assert_eq!(report.damages, []);
    }
    assert_eq!(disk.operations(), 0, "who only reads leaves no trace");
    let store = usable(disk.open_store(&options()));
    assert_eq!(looked.is_some(), store.is_some(), "the same for all who open it");
    let (looked, store) = (looked?, store?);
    let mut state = contents(&store);
    assert!(contents(&looked) == state, "readers see the same");
    drop(store);
    let store = disk.open_store(&options()).expect("it was opened before");
    assert!(contents(&store) == state, "the same when it is opened again");
    assert_eq!(store.stat().recovery.cut_bytes, 0, "what was cut is gone");
    let found = state.clone();
    let (first, new) = (found.keys().next().copied(), token(95));
    let mut batch = Batch::new();
    first.iter().for_each(|first| _ = batch.remove(*first));
    store.commit(batch.put(new, value(9))).expect("it can be written to");
    first.iter().for_each(|first| _ = state.remove(first));
    state.insert(new, value(9));
    store.close().expect("nothing fails");
    let store = disk.open_store(&options()).expect("it was closed");
    assert!(contents(&store) == state, "what was committed is there");
    Some(found)
}

/// Whether there are frames in the logs that nobody wrote, and whose checksums are right
/// all the same, as a fuzzer may find them out.
pub fn has_new_frames(store: &Written, files: &Files) -> bool {
    let old = |name: &str| store.files[name].chunks(BLOCK_LEN).skip(1);
    store.logs.iter().any(|Log { name, .. }| {
        let bytes = files.get(name).map(Vec::as_slice).unwrap_or_default();
        let is_new = |block: &[u8]| {
            let Some(frame) = block.get(..32) else { return false };
            let salted = [&store.files[name][64..72], &frame[4..]].concat();
            crc32fast::hash(&salted).to_le_bytes() == frame[..4]
                && !old(name).any(|old| old[..32] == *frame)
        };
        bytes.chunks(BLOCK_LEN).skip(1).any(is_new)
    })
}

/// A store, or `None` where the files are damaged or of a later version.
fn usable(opened: Result<Store>) -> Option<Store> {
    match opened {
        Ok(store) => Some(store),
        Err(Error::Damaged(_) | Error::UnknownVersion { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}
