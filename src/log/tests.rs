//! What is read of a log is what was written, up to where it was torn; and what was
//! damaged is no torn end.

use std::path::Path;

use super::read::{LogEnd, has_commits, read_file, read_frames};
use super::tail::{LogTail, TailEnd};
use super::write::{Log, log_for};
use crate::error::{Damage, Error, Result};
use crate::format::kinds::Kind;
use crate::format::log::{BLOCK_LEN, FrameHeader, LogEntry, frame_len};
use crate::format::names::log_name;
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::testing::random::Random;
use crate::testing::sim::SimDisk;
use crate::token::{BlockTime, Record};

const STORE: [u8; 16] = [7; 16];
const SALT: [u8; 8] = *b"12345678";
const ENTRY: LogEntry = LogEntry {
    log_id: 3,
    first_sequence: 40,
    commits_from: 40,
    file_len: (64 << 10) + 512,
    salt: SALT,
};

type Frame = Vec<(Record, Kind)>;

fn frame(entries: usize, seed: u64) -> Frame {
    let mut random = Random::new("log", seed);
    let mut tokens: Vec<_> = (0..entries).map(|_| random.token()).collect();
    tokens.sort_unstable();
    let record = |token| Record::new(token, BlockTime::new(random.bytes().into(), seed));
    tokens.into_iter().map(record).map(|record| (record, Kind::Fresh)).collect()
}

fn each(frame: &Frame) -> impl ExactSizeIterator<Item = (&Record, Kind)> + Clone {
    frame.iter().map(|(record, kind)| (record, *kind))
}

/// A log of frames of so many entries, each written when all before it were durable up to
/// the one before the last. Its bytes, and where each frame begins.
fn log_of(sizes: &[usize]) -> (Vec<u8>, Vec<usize>, Vec<Frame>) {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    let mut log = Log::begin(&disk, STORE, ENTRY, &[]).unwrap();
    let (mut offsets, mut frames) = (Vec::new(), Vec::new());
    for (sequence, size) in (ENTRY.first_sequence..).zip(sizes) {
        let (at, mut bytes) = (log.offset, Vec::new());
        let entries = frame(*size, sequence);
        log.push(sequence, sequence.saturating_sub(2), each(&entries), &mut bytes);
        log.file.write(&bytes, at).unwrap();
        offsets.push(at as usize);
        frames.push(entries);
    }
    (read_file(&disk, &ENTRY).unwrap(), offsets, frames)
}

fn read(bytes: &[u8], until: Option<u64>) -> Result<(LogEnd, Vec<Frame>)> {
    read_as(ENTRY, bytes, until)
}

fn read_as(entry: LogEntry, bytes: &[u8], until: Option<u64>) -> Result<(LogEnd, Vec<Frame>)> {
    let mut frames = Vec::new();
    let end = read_frames(bytes, Path::new("log"), STORE, &entry, until, &mut |_, entries| {
        frames.push(entries.iter().map(|(record, kind)| (*record, kind)).collect());
        Ok(())
    })?;
    Ok((end, frames))
}

fn damage(bytes: &[u8], until: Option<u64>) -> Damage {
    match read(bytes, until) {
        Err(Error::Damaged(damage)) => *damage,
        other => panic!("{:?}", other.map(|(end, _)| end)),
    }
}

const SIZES: [usize; 8] = [1, 6, 7, 0, 20, 6, 1, 3];

#[test]
fn frames_come_back_in_order() {
    let (bytes, offsets, frames) = log_of(&SIZES);
    let (end, found) = read(&bytes, None).unwrap();
    assert_eq!(found, frames);
    let offset = offsets[7] as u64 + 512;
    assert_eq!((end.next_sequence, end.offset, end.cut_bytes), (48, offset, 0));
    let (end, found) = read(&bytes, Some(43)).unwrap();
    assert_eq!(found, frames[..3]);
    assert_eq!((end.next_sequence, end.offset, end.cut_bytes), (43, offsets[3] as u64, 0));
}

#[test]
fn a_log_begins_with_what_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    for count in [0, 1, 4_096, 4_097, 10_000] {
        let entries = frame(count, 1);
        let entry = log_for(3, 40, SALT, count, 4_000);
        let log = Log::begin(&disk, STORE, entry, &entries).unwrap();
        assert_eq!(entry.file_len - log.offset, 4_096);
        let bytes = read_file(&disk, &entry).unwrap();
        let (end, frames) = read_as(entry, &bytes, None).unwrap();
        assert_eq!(end.next_sequence, entry.commits_from);
        assert_eq!(frames.concat(), entries);
        if count > 0 {
            let first = FrameHeader::decode(&bytes[BLOCK_LEN..], SALT).unwrap();
            assert_eq!((first.sequence, first.durable), (40, 39));
        }
        assert!(!has_commits(disk.open(&log_name(3)).unwrap().as_ref(), &entry));
        // It was on disk before the log was named: no torn end leaves it out.
        for byte in (512..log.offset as usize).step_by(997).filter(|_| count > 0) {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1;
            match read_as(entry, &flipped, None) {
                Err(Error::Damaged(damage)) => assert!(damage.offset <= byte as u64),
                Ok((end, _)) => assert_eq!(end.next_sequence, entry.commits_from, "padding"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A log that is longer or shorter than it was made, by however much.
///
/// Not comparing the lengths was tried, and made this fail.
#[test]
fn a_log_of_another_length_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    drop(Log::begin(&disk, STORE, ENTRY, &[]).unwrap());
    let path = disk.path_of(&log_name(3));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for len in [0, 512, ENTRY.file_len - 1, ENTRY.file_len + 1, 1 << 43] {
        file.set_len(len).unwrap();
        let Err(Error::Damaged(damage)) = read_file(&disk, &ENTRY) else { panic!("{len}") };
        assert_eq!(damage.path, path);
    }
}

/// Whatever is torn off the end: all frames before it, and none of it.
///
/// Taking whatever follows the last frame for damage was tried, and made this fail.
#[test]
fn a_torn_end_is_cut() {
    let (bytes, offsets, frames) = log_of(&SIZES);
    // The last two frames were not known to be durable.
    for torn in [6, 7] {
        for block in (offsets[torn]..offsets[7] + BLOCK_LEN).step_by(BLOCK_LEN) {
            let mut torn_bytes = bytes.clone();
            torn_bytes[block..block + BLOCK_LEN].fill(0);
            let last = offsets.iter().rposition(|offset| *offset <= block).unwrap();
            let (end, found) = read(&torn_bytes, None).unwrap();
            assert_eq!(found, frames[..last]);
            assert_eq!(end.next_sequence, 40 + last as u64);
            assert_eq!(end.offset, offsets[last] as u64);
            let rest = &torn_bytes[end.offset as usize..];
            let used = rest.len() - rest.iter().rev().take_while(|byte| **byte == 0).count();
            assert_eq!(end.cut_bytes, used as u64, "{block}");
            let is_followed = last < 7;
            assert_eq!(end.cut_bytes > 0, is_followed, "{block}");
        }
    }
    for len in offsets[6]..offsets[6] + 100 {
        assert_eq!(read(&bytes[..len], None).unwrap().1, frames[..6]);
    }
}

/// A bit of a frame that later ones say was on disk.
///
/// Not reading what later frames say was on disk was tried, and made this fail.
#[test]
fn damage_before_the_end_is_no_torn_end() {
    let (bytes, offsets, frames) = log_of(&SIZES);
    for (index, offset) in offsets.iter().enumerate() {
        let used = 32 + 73 * SIZES[index];
        for byte in (0..used).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[offset + byte] ^= 0x10;
            if index < 6 {
                let damage = damage(&flipped, None);
                assert_eq!(damage.offset, *offset as u64, "byte {byte} of frame {index}");
                assert_eq!((damage.part, damage.path.to_str()), ("log frame", Some("log")));
            } else {
                assert_eq!(read(&flipped, None).unwrap().1, frames[..index]);
            }
            // Where the next log goes on, all of this one is known to have been on disk.
            assert_eq!(self::damage(&flipped, Some(48)).offset, *offset as u64);
        }
    }
    assert_eq!(damage(&bytes, Some(49)).offset, offsets[7] as u64 + 512);
}

#[test]
fn what_is_in_the_place_of_a_frame_is_said() {
    let (bytes, offsets, _) = log_of(&SIZES);
    let mut other_entries = bytes.clone();
    other_entries[offsets[1] + 40] ^= 1;
    let mut no_frame = bytes.clone();
    no_frame[offsets[1]] ^= 1;
    let mut later_frame = bytes.clone();
    later_frame.copy_within(offsets[5]..offsets[5] + BLOCK_LEN, offsets[1]);
    for (bytes, found) in [
        (other_entries, "one with other entries"),
        (no_frame, "bytes that are no frame"),
        (later_frame, "frame 45"),
    ] {
        let damage = damage(&bytes, None);
        assert_eq!(damage.found, found);
        assert_eq!(damage.expected, "frame 41, as frames up to 45 were on disk");
    }
}

/// A mark says that what is before it was durable, until a frame takes its place.
///
/// Not reading what marks say was tried, and made this fail.
#[test]
fn marks_tell_damage_from_a_torn_end() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    let mut log = Log::begin(&disk, STORE, ENTRY, &[]).unwrap();
    let mut bytes = Vec::new();
    let mark = log.mark(40, 39).unwrap();
    log.file.write(&mark, log.offset).unwrap();
    assert!(!has_commits(disk.open(&log_name(3)).unwrap().as_ref(), &ENTRY), "a mark is none");
    log.push(40, 39, each(&frame(6, 1)), &mut bytes);
    log.file.write(&bytes, 512).unwrap();
    assert!(has_commits(disk.open(&log_name(3)).unwrap().as_ref(), &ENTRY));
    let flipped = || {
        let mut bytes = read_file(&disk, &ENTRY).unwrap();
        bytes[600] ^= 1;
        bytes
    };
    assert_eq!(read(&flipped(), None).unwrap().0.next_sequence, 40, "it may have been torn");
    let mark = log.mark(41, 40).unwrap();
    log.file.write(&mark, log.offset).unwrap();
    assert_eq!(damage(&flipped(), None).offset, 512);
    let next = frame(6, 2);
    bytes.clear();
    let at = log.offset;
    log.push(41, 40, each(&next), &mut bytes);
    log.file.write(&bytes, at).unwrap();
    assert_eq!(read(&read_file(&disk, &ENTRY).unwrap(), None).unwrap().1[1], next);
    assert_eq!(damage(&flipped(), None).offset, 512);
}

#[test]
fn frames_of_another_log_are_none() {
    let (bytes, offsets, _) = log_of(&[6; 8]);
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    let other = LogEntry { salt: *b"another!", ..ENTRY };
    let mut log = Log::begin(&disk, STORE, other, &[]).unwrap();
    let mut frames = Vec::new();
    for sequence in 40..48 {
        log.push(sequence, sequence - 1, each(&frame(6, sequence)), &mut frames);
    }
    let mut mixed = bytes.clone();
    let from = offsets[7];
    mixed[from..from + 512].copy_from_slice(&frames[from - 512..from]);
    assert_eq!(read(&mixed, None).unwrap().0.next_sequence, 47);
    // Nor are older ones of the same log in a later place.
    let mut repeated = bytes.clone();
    repeated.copy_within(offsets[6]..offsets[6] + 512, from);
    assert_eq!(read(&repeated, None).unwrap().0.next_sequence, 47);
}

#[test]
fn a_log_that_is_missing_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    let Err(Error::Damaged(damage)) = read_file(&disk, &ENTRY) else { panic!("it was read") };
    assert_eq!(damage.path, disk.path_of(&log_name(3)));
}

/// Somebody who writes a log, and somebody who follows it.
struct Followed {
    disk: SimDisk,
    log: Log,
    tail: LogTail,
    sequence: u64,
}

impl Followed {
    fn new(file_len: u64) -> Self {
        let (disk, entry) = (SimDisk::new(), LogEntry { file_len, ..ENTRY });
        let log = Log::begin(&disk, STORE, entry, &[]).unwrap();
        let (end, _) = read_as(entry, &read_file(&disk, &entry).unwrap(), None).unwrap();
        let tail = LogTail::open(&disk, entry, end.next_commit).unwrap();
        Self { disk, log, tail, sequence: entry.first_sequence }
    }

    /// The next frames of so many entries: what they hold, and the bytes to be written.
    fn frames(&mut self, sizes: &[usize]) -> (Vec<(u64, Frame)>, Vec<u8>) {
        let (mut frames, mut bytes) = (Vec::new(), Vec::new());
        for size in sizes {
            let (at, entries) = (self.log.offset, frame(*size, self.sequence));
            self.log.push(self.sequence, self.sequence - 1, each(&entries), &mut bytes);
            frames.push((at, entries));
            self.sequence += 1;
        }
        (frames, bytes)
    }

    /// What is read of it, and how often the disk is asked for it.
    fn read(&mut self) -> (TailEnd, Vec<(u64, Frame)>, usize) {
        let (before, mut frames) = (self.disk.reads(), Vec::new());
        let end = self.tail.read(&mut |offset, entries| {
            frames.push((offset, entries.iter().map(|(record, kind)| (*record, kind)).collect()));
            Ok(())
        });
        (end.unwrap(), frames, self.disk.reads() - before)
    }
}

/// Frames that fill what is read at a time and do not, are longer, and fill the log to its end:
/// each is read once, with no more reads than it takes.
///
/// Ending where a frame is longer than what was read, or begins where that ends, was tried, and
/// made this fail; so did reading anew after each frame.
#[test]
fn who_follows_a_log_reads_what_comes() {
    let mut followed = Followed::new(512 + (1 << 20));
    assert_eq!(followed.read(), (TailEnd::Blank, Vec::new(), 1));
    let (one_block, one_read) = ([6; 130], 897);
    assert_eq!((frame_len(6), frame_len(one_read)), (512, 64 << 10));
    let all: [(&[usize], usize); 6] = [
        (&[1, 6, 7], 1),
        (&one_block, 2),
        (&[one_read], 2),
        (&[2_000], 3),
        (&[800, 800, 3, 1_500], 4),
        (&[6; 127], 1),
    ];
    for (sizes, reads) in all {
        let at = followed.log.offset;
        let (frames, bytes) = followed.frames(sizes);
        followed.log.file.write(&bytes, at).unwrap();
        assert_eq!(followed.read(), (TailEnd::Blank, frames, reads), "{sizes:?}");
        assert_eq!(followed.read(), (TailEnd::Blank, Vec::new(), 1));
        let mark = followed.log.mark(followed.sequence, followed.sequence - 1).unwrap();
        followed.log.file.write(&mark, followed.log.offset).unwrap();
        assert_eq!(followed.read(), (TailEnd::Blank, Vec::new(), 1), "a mark");
    }
    let at = followed.log.offset;
    let blocks = (followed.log.entry.file_len - at) / 512;
    let (frames, bytes) = followed.frames(&vec![6; blocks as usize]);
    assert!(!followed.log.has_room(512));
    followed.log.file.write(&bytes, at).unwrap();
    let (end, found, _) = followed.read();
    assert_eq!((end, found), (TailEnd::Blank, frames));
    assert_eq!(followed.read(), (TailEnd::Blank, Vec::new(), 1), "a log that is full");
}

/// What comes while a log is read belongs to it.
#[test]
fn a_frame_that_is_whole_by_then_is_read() {
    let mut followed = Followed::new(512 + (1 << 20));
    let at = followed.log.offset;
    let (frames, bytes) = followed.frames(&[3, 20]);
    followed.log.file.write(&bytes[..1_024], at).unwrap();
    let mut found = Vec::new();
    let end = followed.tail.read(&mut |offset, entries| {
        found.push((offset, entries.iter().map(|(record, kind)| (*record, kind)).collect()));
        followed.log.file.write(&bytes, at).map_err(Error::io("write", Path::new("log")))
    });
    assert_eq!((end.unwrap(), found), (TailEnd::Blank, frames));
}

/// Of a frame that is not all there, nothing is read until it is; what is before it is.
#[test]
fn half_a_frame_is_none_yet() {
    for (size, file_len) in [(20, 1 << 20), (897, 1 << 20), (2_000, 1 << 20), (20, 3 * 512 + 2_048)]
    {
        let mut followed = Followed::new(512 + file_len);
        let at = followed.log.offset;
        let (frames, bytes) = followed.frames(&[3, 2, size]);
        for (len, whole) in [(1_536, &frames[..2]), (bytes.len().midpoint(1_536), &frames[..0])] {
            followed.log.file.write(&bytes[..len], at).unwrap();
            let (end, found, _) = followed.read();
            assert_eq!(end, TailEnd::Other, "{len} bytes of {size}");
            assert_eq!(found, whole);
        }
        followed.log.file.write(&bytes, at).unwrap();
        let (end, found, _) = followed.read();
        assert_eq!((end, found.as_slice()), (TailEnd::Blank, &frames[2..]));
        followed.log.file.write(&[0xff; 512], followed.log.offset).unwrap();
        let (end, found, _) = followed.read();
        assert_eq!((end, found), (TailEnd::Other, Vec::new()), "what is no frame");
    }
}
