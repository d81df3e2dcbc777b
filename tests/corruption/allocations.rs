//! What opening, asking and verifying allocate, whatever the files say of themselves.
//!
//! The files are in a directory, not on the simulated disk, which would copy them: here they
//! are mapped. All is done by one thread, whose allocations are counted.

use std::fs;
use std::ops::ControlFlow;

use ringstore::{BlockTime, Error, Result, Store, TokenId, Verification};
use tempfile::TempDir;

use crate::forge::{changed, forged, logs_of, segments_of};
use crate::parts::{Kind, frames, section};
use crate::questions::{Judge, Questions};
use crate::sample::{Files, Sample, layered, options};
use crate::threads::alone;

/// What may be allocated at a time besides as many bytes as the files have.
const BESIDES: u64 = 1 << 20;

/// Numbers that are stored: where, and in how many bytes.
type Field = (usize, usize);

/// A directory that stores are put into one after the other.
struct Place {
    directory: TempDir,
    questions: Questions,
    /// What there is now.
    files: Files,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    cases: u64,
    refused: u64,
    opened: u64,
    /// Of these, answers were wrong or errors, and `verify` found something.
    found: u64,
    /// The most that was allocated at a time.
    allocated: u64,
}

impl Place {
    fn new(sample: &Sample) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let questions = Questions::new(&sample.oracle, []);
        Self { directory, questions, files: Files::new(), counts: Counts::default() }
    }

    fn put(&mut self, files: &Files) {
        for (name, bytes) in files {
            if self.files.get(name) != Some(bytes) {
                let path = self.directory.path().join(name);
                // Segments that a store wrote are read-only.
                let _ = fs::remove_file(&path);
                fs::write(path, bytes).unwrap();
            }
        }
        for name in self.files.keys().filter(|name| !files.contains_key(*name)) {
            fs::remove_file(self.directory.path().join(name)).unwrap();
        }
        self.files.clone_from(files);
    }

    /// Puts files there, and does all that can be done with them. `may_differ` is whether
    /// what is wrong may be what the store is now said to hold.
    fn try_all(&mut self, case: &str, files: &Files, may_differ: bool) {
        self.put(files);
        let limit = files.values().map(Vec::len).sum::<usize>() as u64 + BESIDES;
        self.counts.cases += 1;
        let levels = [Verification::OnOpen, Verification::Never, Verification::FirstTouch];
        for verification in levels {
            let options = options().verification(verification);
            let read = || Store::open_read_only(self.directory.path(), &options);
            let seen = Self::measured(case, limit, &|| self.ask(case, may_differ, read(), false));
            self.counts.allocated = self.counts.allocated.max(seen.1);
            match seen.0 {
                Seen::Refused => self.counts.refused += 1,
                Seen::Opened { is_found } => {
                    self.counts.opened += 1;
                    self.counts.found += u64::from(is_found);
                }
            }
        }
        let write = || Store::open(self.directory.path(), &options());
        let (_, allocated) = Self::measured(case, limit, &|| self.ask(case, true, write(), true));
        self.counts.allocated = self.counts.allocated.max(allocated);
        self.reread();
    }

    /// What there is after a writer was there.
    fn reread(&mut self) {
        let files = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap());
        let read = |entry: fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        };
        self.files = files.map(read).collect();
    }

    fn measured(case: &str, limit: u64, run: &(dyn Fn() -> Seen + '_)) -> (Seen, u64) {
        let mut seen = Seen::Refused;
        let allocated = allocation_counter::measure(|| seen = run()).bytes_max;
        assert!(allocated <= limit, "{case}: {allocated} bytes allocated, {limit} allowed");
        (seen, allocated)
    }

    fn ask(&self, case: &str, may_differ: bool, opened: Result<Store>, writes: bool) -> Seen {
        let store = match opened {
            Ok(store) => store,
            Err(Error::Damaged(_) | Error::UnknownVersion { .. }) => return Seen::Refused,
            Err(error) => panic!("{case}: {error}"),
        };
        let is_damage = |error: &Error| matches!(error, Error::Damaged(_));
        let mut judge = Judge::new(&case, &is_damage).lenient();
        let snapshot = store.snapshot();
        (0..8).for_each(|index| {
            self.questions.ask_near(&snapshot, self.questions.token(41 * index), &mut judge);
        });
        self.questions.ask_contents(&snapshot, &mut judge);
        let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
        let is_found = !report.damages.is_empty();
        let is_right = judge.wrong == 0 && judge.errors == 0;
        assert!(is_right || is_found || may_differ, "{case}: nothing found");
        if writes {
            let put = store.put(&TokenId::from(7), BlockTime::default());
            judge.answer(put.map(drop), &());
            judge.answer(store.close(), &());
        }
        Seen::Opened { is_found: is_found && !is_right }
    }
}

/// What became of a store.
#[derive(Clone, Copy)]
enum Seen {
    Refused,
    Opened { is_found: bool },
}

/// What a number may be that nobody expects: the ends of its range and of others, and what
/// lies beside itself and the length of a file.
fn boundaries(now: u64, file_len: usize) -> Vec<u64> {
    let len = file_len as u64;
    let mut numbers = vec![0, 1, 2, 255, 256, u64::MAX, u64::MAX - 1];
    for near in [now, len, 1 << 31, 1 << 32, 1 << 62, 1 << 63, (1 << 32) - 1] {
        numbers.extend([near.wrapping_sub(1), near, near.wrapping_add(1)]);
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers.retain(|number| *number != now);
    numbers
}

fn number(bytes: &[u8], (at, len): Field) -> u64 {
    let mut number = [0; 8];
    number[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(number)
}

fn longs(at: impl IntoIterator<Item = usize>) -> Vec<Field> {
    at.into_iter().map(|at| (at, 8)).collect()
}

/// All numbers of header, table of sections and footer, and of the indexes those that lines
/// begin with.
fn numbers_of_segment(bytes: &[u8]) -> Vec<Field> {
    let mut fields = longs([32, 40, 48, 56, 64, 144, 152, 160]);
    fields.extend(longs((168..336).step_by(8)));
    fields.extend([8, 12, 136, 140, 4_088].map(|at| (at, 4)));
    let footer = bytes.len() - 64;
    fields.extend(longs([footer + 8, footer + 32]));
    fields.extend(section(bytes, "prefix directory").step_by(64).map(|at| (at, 4)));
    fields.extend(longs(section(bytes, "kinds").step_by(64).flat_map(|at| [at, at + 8])));
    fields
}

fn numbers_of_log(bytes: &[u8]) -> Vec<Field> {
    let mut fields = longs([40, 48, 56, 64]);
    fields.push((8, 4));
    for frame in frames(bytes) {
        fields.extend([(frame.start + 4, 4), (frame.start + 24, 4)]);
        fields.extend(longs([frame.start + 8, frame.start + 16]));
    }
    fields
}

fn numbers_of_manifest(bytes: &[u8]) -> Vec<Field> {
    let mut fields = longs([32, 40, 48]);
    fields.extend([(8, 4), (12, 4)]);
    for at in segments_of(bytes) {
        fields.extend([(at, 4), (at + 4, 4)]);
        fields.extend(longs((at + 24..at + 64).step_by(8)));
    }
    for at in logs_of(bytes) {
        fields.extend(longs((at..at + 40).step_by(8)));
    }
    fields
}

/// Tries everything that each number of a file may be; the manifest agrees, or does not.
fn try_numbers(place: &mut Place, sample: &Sample, name: &str, fields: &[Field]) {
    let bytes = &sample.files[name];
    for field in fields {
        let now = number(bytes, *field);
        let end = if field.1 == 8 { u64::MAX } else { u64::from(u32::MAX) };
        for other in boundaries(now, bytes.len()).into_iter().filter(|other| *other <= end) {
            let set = |bytes: &mut [u8]| {
                bytes[field.0..][..field.1].copy_from_slice(&other.to_le_bytes()[..field.1]);
            };
            let case = format!("{other} in place of {now} at byte {} of {name}", field.0);
            // A frame that is another one, with the right checksums, is what was written.
            let may_differ = Kind::of(name) != Kind::Segment;
            place.try_all(&case, &forged(&sample.files, name, set), may_differ);
            if Kind::of(name) != Kind::Manifest {
                place.try_all(&case, &changed(&sample.files, name, set), may_differ);
            }
        }
    }
}

fn numbers_of(kind: Kind, fields: impl Fn(&[u8]) -> Vec<Field>) -> Counts {
    let sample = layered(3);
    let mut place = Place::new(&sample);
    for name in sample.names(kind) {
        let fields = fields(&sample.files[name]);
        try_numbers(&mut place, &sample, name, &fields);
    }
    println!("{kind:?}: {:?}", place.counts);
    place.counts
}

#[test]
fn every_number_of_segments() {
    let counts = alone(|| numbers_of(Kind::Segment, numbers_of_segment));
    assert!(counts.refused > 1_000 && counts.opened > 100 && counts.found > 10, "{counts:?}");
}

#[test]
fn every_number_of_a_log() {
    let counts = alone(|| numbers_of(Kind::Log, numbers_of_log));
    assert!(counts.refused > 1_000 && counts.opened > 10, "{counts:?}");
}

/// Allocating what the manifest says that a log has before that is compared with the file was
/// tried, and made this fail.
#[test]
fn every_number_of_a_manifest() {
    let counts = alone(|| numbers_of(Kind::Manifest, numbers_of_manifest));
    assert!(counts.refused > 1_000 && counts.opened > 10, "{counts:?}");
}

/// Not made right again.
#[test]
fn flips_and_cuts() {
    let counts = alone(|| {
        let sample = layered(3);
        let mut place = Place::new(&sample);
        for name in sample.all_names() {
            let bytes = &sample.files[name];
            for at in (0..bytes.len()).step_by(bytes.len() / 50) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                let case = format!("{at} of {name}");
                place.try_all(&case, &sample.with(name, flipped), false);
                place.try_all(&case, &sample.with(name, bytes[..at].to_vec()), false);
            }
        }
        place.counts
    });
    println!("{counts:?}");
    assert!(counts.refused > 1_000 && counts.opened > 100, "{counts:?}");
}
