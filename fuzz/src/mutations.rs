//! The input of `open_mutated`: a store, and what is done to its files.
//!
//! A head of eight bytes, then up to [`MUTATIONS_MAX`] mutations of eight bytes each.
//! Everything has a fixed place, so that a small change of the input is a small change of
//! what is tried.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | bits 0 and 1: level of verification of who writes; bit 2: the manifest says of resealed files what they say; bits 3 and 4, both: salvage |
//! | 1 | 1 | which store |
//! | 2 | 1 | which files are resealed: a bit for each eighth, in the order of their names |
//! | 3 | 1 | which questions are asked |
//! | 4 | 4 | a suffix, twice |
//!
//! A mutation:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | what to do |
//! | 1 | 1 | to which file |
//! | 2 | 3 | where: an offset, little-endian |
//! | 5 | 1 | a byte, a boundary value, another file |
//! | 6 | 2 | a length, or another offset, little-endian |

use ringstore::Verification;
use ringstore::testing::damage::{reseal_log, reseal_manifest, reseal_segment};

use crate::layered::Layered;
use crate::stores::{Files, logs_of, segments_of};
use crate::{number, set_number};

const HEAD_LEN: usize = 8;
const MUTATION_LEN: usize = 8;

/// More of them leave little to find.
const MUTATIONS_MAX: usize = 24;

/// No file is extended beyond this.
const FILE_LEN_MAX: usize = 1 << 20;

const PAGE_LEN: usize = 4096;

/// What to try.
pub struct Input<'a> {
    pub store: &'a Layered,
    pub files: Files,
    /// Whether checksums of what was changed were made right.
    pub is_resealed: bool,
    pub verification: Verification,
    pub salvages: bool,
    pub questions: usize,
    pub suffixes: [u16; 2],
}

/// How a mutation is written.
#[derive(Clone, Copy)]
pub struct Mutation {
    pub what: u8,
    pub file: u8,
    pub at: u32,
    pub byte: u8,
    pub len: u16,
}

/// What a mutation does, by its first byte.
pub mod what {
    pub const SET: u8 = 0;
    pub const XOR: u8 = 1;
    pub const SET_16: u8 = 2;
    pub const SET_32: u8 = 3;
    pub const SET_64: u8 = 4;
    pub const FILL: u8 = 5;
    pub const CUT: u8 = 6;
    pub const EXTEND: u8 = 7;
    pub const SWAP: u8 = 8;
    pub const COPY: u8 = 9;
    pub const REMOVE: u8 = 10;
    pub const FOREIGN: u8 = 11;
    pub const REPLACE: u8 = 12;
    pub const PUT: u8 = 13;
    pub const COUNT: u8 = 14;
}

/// Names of files that a store may find and does not name: its own ones and others.
const NAMES: [&str; 8] = [
    "MANIFEST.unsynced",
    "MANIFEST.tmp",
    "0000000000000003.seg.tmp",
    "0000000000000001.log",
    "000000000000000f.seg",
    "ffffffffffffffff.seg",
    "ffffffffffffffff.log",
    "notes.txt",
];

impl<'a> Input<'a> {
    /// The input that these bytes say; `None` if they are too few for a head.
    pub fn read(data: &[u8], stores: &'a [Layered]) -> Option<Self> {
        let (head, rest) = data.split_first_chunk::<HEAD_LEN>()?;
        let store = &stores[usize::from(head[1]) % stores.len()];
        let mut files = store.written.files.clone();
        for bytes in rest.as_chunks::<MUTATION_LEN>().0.iter().take(MUTATIONS_MAX) {
            Mutation::of(bytes).mutate(&mut files, stores);
        }
        let mutated = files.clone();
        reseal(&mut files, head[2], head[0] & 4 != 0);
        Some(Self {
            store,
            is_resealed: files != mutated,
            files,
            verification: match head[0] & 3 {
                0 => Verification::Never,
                1 => Verification::OnOpen,
                _ => Verification::FirstTouch,
            },
            salvages: head[0] & 24 == 24,
            questions: usize::from(head[3]),
            suffixes: [[head[4], head[5]], [head[6], head[7]]].map(u16::from_le_bytes),
        })
    }

    /// The bytes of an input.
    pub fn bytes(options: u8, store: u8, resealed: u8, mutations: &[Mutation]) -> Vec<u8> {
        let mut data = vec![options, store, resealed, 0x35, 7, 0, 0xff, 3];
        for Mutation { what, file, at, byte, len } in mutations {
            let ([a, b, c, _], [low, high]) = (at.to_le_bytes(), len.to_le_bytes());
            data.extend([*what, *file, a, b, c, *byte, low, high]);
        }
        data
    }
}

impl Mutation {
    fn of(&[what, file, a, b, c, byte, low, high]: &[u8; MUTATION_LEN]) -> Self {
        let (at, len) = (u32::from_le_bytes([a, b, c, 0]), u16::from_le_bytes([low, high]));
        Self { what, file, at, byte, len }
    }

    fn mutate(self, files: &mut Files, stores: &[Layered]) {
        let Some(name) = nth(files, self.file) else { return };
        let bytes = &files[&name];
        let at = self.at as usize % (bytes.len() + 1);
        let len = usize::from(self.len);
        let boundary = self.boundary(bytes, at).to_le_bytes();
        let bytes = files.get_mut(&name).expect("it is there");
        match self.what % what::COUNT {
            what::SET => overwrite(bytes, at, &[self.byte]),
            what::XOR => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= self.byte;
                }
            }
            what::SET_16 => overwrite(bytes, at, &boundary[..2]),
            what::SET_32 => overwrite(bytes, at, &boundary[..4]),
            what::SET_64 => overwrite(bytes, at, &boundary),
            what::FILL => overwrite(bytes, at, &vec![self.byte; len]),
            what::CUT => bytes.truncate(at),
            what::EXTEND => bytes.resize((bytes.len() + len).min(FILE_LEN_MAX), self.byte),
            what::SWAP => {
                let other = nth(files, self.byte).expect("one at least");
                let (one, two) = (files.remove(&name), files.remove(&other));
                let Some(one) = one else { return };
                files.insert(name, two.unwrap_or_else(|| one.clone()));
                files.insert(other, one);
            }
            what::COPY => {
                let from = &files[&nth(files, self.byte).expect("one at least")];
                // Whole pages, or from anywhere.
                let start = if len.is_multiple_of(2) { len << 11 } else { len };
                let start = start % (from.len() + 1);
                let run = [8, 72, 512, PAGE_LEN][usize::from(self.what) / 64];
                let run = from[start..(start + run).min(from.len())].to_vec();
                let at = if len.is_multiple_of(2) { at / PAGE_LEN * PAGE_LEN } else { at };
                overwrite(files.get_mut(&name).expect("it is there"), at, &run);
            }
            what::REMOVE => _ = files.remove(&name),
            what::FOREIGN => {
                let other = &stores[self.byte as usize % stores.len()].written.files;
                let name = nth(other, self.file).expect("one at least");
                files.insert(name.clone(), other[&name].clone());
            }
            what::REPLACE => {
                let other = &stores[self.byte as usize % stores.len()].written.files;
                let from = nth(other, self.at as u8).expect("one at least");
                files.insert(name, other[&from].clone());
            }
            _ => {
                let new = NAMES[usize::from(self.byte) % NAMES.len()];
                let contents = bytes[..at.min(len)].to_vec();
                files.insert(new.into(), contents);
            }
        }
    }

    /// Numbers where something ends.
    fn boundary(self, bytes: &[u8], at: usize) -> u64 {
        let here = bytes.get(at..at + 8).map_or(0, |_| number(bytes, at));
        let len = bytes.len() as u64;
        let extra = u64::from(self.len);
        match self.byte % 20 {
            0 => 0,
            1 => 1,
            2 => extra,
            3 => u64::MAX,
            4 => u64::MAX - 1,
            5 => u64::MAX / 2,
            6 => u64::MAX / 2 + 1,
            7 => u64::from(u32::MAX),
            8 => 1 << 32,
            9 => 0x7fff_ffff,
            10 => len,
            11 => len + extra,
            12 => len.wrapping_sub(extra),
            13 => here.wrapping_add(1),
            14 => here.wrapping_sub(1),
            15 => here.wrapping_add(extra),
            16 => here << 32 | here >> 32,
            17 => extra * PAGE_LEN as u64,
            18 => u64::MAX / 72 + 1,
            _ => 1 << (extra % 64),
        }
    }
}

/// The name of the file with this number, counted in a circle.
fn nth(files: &Files, number: u8) -> Option<String> {
    let number = usize::from(number).checked_rem(files.len())?;
    files.keys().nth(number).cloned()
}

/// Writes over what is there, up to the end.
fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    let rest = &mut bytes[at..];
    let len = rest.len().min(with.len());
    rest[..len].copy_from_slice(&with[..len]);
}

/// Makes checksums right of files whose bits are set, and what the manifest says of them.
fn reseal(files: &mut Files, which: u8, manifest_agrees: bool) {
    let is_chosen = |index: usize| which >> (index % 8) & 1 == 1;
    let chosen: Vec<_> =
        files.keys().cloned().enumerate().filter(|(index, _)| is_chosen(*index)).collect();
    for (_, name) in &chosen {
        reseal_file(name, files.get_mut(name).expect("it is there"));
    }
    if let Some(mut manifest) =
        files.get("MANIFEST").filter(|_| manifest_agrees && which != 0).cloned()
    {
        let is_chosen = |name: &String| chosen.iter().any(|(_, chosen)| chosen == name);
        for at in segments_of(&manifest) {
            let name = format!("{:016x}.seg", number(&manifest, at + 24));
            if let Some(segment) = files.get(&name).filter(|_| is_chosen(&name)) {
                say_of_segment(&mut manifest[at..], segment);
            }
        }
        for at in logs_of(&manifest) {
            let name = format!("{:016x}.log", number(&manifest, at));
            if let Some(log) = files.get(&name).filter(|_| is_chosen(&name)) {
                say_of_log(&mut manifest[at..], log);
            }
        }
        reseal_manifest(&mut manifest);
        files.insert("MANIFEST".into(), manifest);
    }
}

/// Makes the checksums of a file right.
pub fn reseal_file(name: &str, bytes: &mut [u8]) {
    match name.rsplit('.').next() {
        Some("seg") => reseal_segment(bytes),
        Some("log") => reseal_log(bytes),
        Some("MANIFEST") => reseal_manifest(bytes),
        _ => {}
    }
}

/// What the header of a segment says of it, but for its number.
fn say_of_segment(entry: &mut [u8], segment: &[u8]) {
    if segment.len() < PAGE_LEN {
        return;
    }
    entry[4..8].copy_from_slice(&segment[PAGE_LEN - 4..PAGE_LEN]);
    entry[8..24].copy_from_slice(&segment[16..32]);
    entry[32..64].copy_from_slice(&segment[40..72]);
    entry[64..128].copy_from_slice(&segment[72..136]);
}

/// What the header of a log says of it, but for its number.
fn say_of_log(entry: &mut [u8], log: &[u8]) {
    if log.len() < 72 {
        return;
    }
    for (at, from) in [(8, 40), (16, 48), (24, 56), (32, 64)] {
        set_number(entry, at, number(log, from));
    }
}
