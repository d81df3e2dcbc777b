//! What each byte of a file is for, read by the specification, not by the library; and what
//! is to become of a store in which it is another one.

use std::ops::Range;

use ringstore::Damage;

const PAGE_LEN: usize = 4096;
const BLOCK_LEN: usize = 512;
const FOOTER_LEN: usize = 64;
const RECORD_LEN: usize = 72;
const ENTRY_LEN: usize = RECORD_LEN + 1;
const FRAME_HEADER_LEN: usize = 32;

/// The sections of a segment, in order.
pub(crate) const SECTIONS: [&str; 7] = [
    "records",
    "suffix postings",
    "prefix directory",
    "kinds",
    "fence keys",
    "checksums",
    "checksums of checksums",
];

/// What a file is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Log,
    Manifest,
    Segment,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "seg")) => Self::Segment,
            Some((_, "log")) => Self::Log,
            _ => Self::Manifest,
        }
    }
}

/// Who sees that a byte is another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    /// Whoever opens the store, however it is opened.
    Opening,
    /// Whoever reads it, if it is opened so that chunks are checked, and `verify`.
    Checked,
    /// Whoever opens the store so that all is checked, and `verify`. No read needs it.
    Between,
    /// Nobody, and no answer depends on it.
    Unused,
}

/// So many bytes of a file, what damage in them is called, and who sees it.
pub(crate) type Part = (Range<usize>, &'static str, Class);

/// All bytes of a file, in order.
pub(crate) struct Parts(Vec<Part>);

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A section of a segment: its name, where it lies, and bytes a chunk.
pub(crate) fn sections(
    segment: &[u8],
) -> impl Iterator<Item = (&'static str, Range<usize>, usize)> {
    SECTIONS.into_iter().zip((168..).step_by(24)).map(|(name, at)| {
        let [start, len, chunk_len] = [0, 8, 16].map(|it| u64_at(segment, at + it) as usize);
        (name, start..start + len, chunk_len)
    })
}

/// A section of a segment by its name.
pub(crate) fn section(segment: &[u8], name: &str) -> Range<usize> {
    sections(segment).find(|it| it.0 == name).unwrap().1
}

/// The frames of a log that is all right, the mark included: where each begins, and the
/// bytes of it that are used.
pub(crate) fn frames(log: &[u8]) -> Vec<Range<usize>> {
    let mut frames = Vec::new();
    let mut at = BLOCK_LEN;
    while log.get(at..at + 4).is_some_and(|it| it != [0; 4]) {
        let used = FRAME_HEADER_LEN + ENTRY_LEN * u32_at(log, at + 4) as usize;
        frames.push(at..at + used);
        at += used.next_multiple_of(BLOCK_LEN);
    }
    frames
}

impl Parts {
    pub(crate) fn read(name: &str, bytes: &[u8]) -> Self {
        let parts = match Kind::of(name) {
            Kind::Segment => segment(bytes),
            Kind::Log => log(bytes),
            Kind::Manifest => vec![(0..bytes.len(), "manifest", Class::Opening)],
        };
        let mut end = 0;
        for part in &parts {
            assert_eq!(part.0.start, end, "{name}: no byte twice or not at all");
            end = part.0.end;
        }
        assert_eq!(end, bytes.len(), "{name}");
        Self(parts)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    /// What a byte is part of.
    pub(crate) fn of(&self, at: usize) -> &Part {
        &self.0[self.0.partition_point(|part| part.0.end <= at)]
    }

    /// Whether this is what is to be said of damage at a byte.
    pub(crate) fn is_named(&self, name: &str, at: usize, damage: &Damage) -> bool {
        let (bytes, part, class) = self.of(at);
        let offset = damage.offset as usize;
        let is_there = match (class, *part) {
            // A manifest, and the header of a log, are one piece.
            (Class::Opening, "manifest" | "log header") => bytes.contains(&offset),
            (Class::Opening | Class::Checked, _) => offset == bytes.start,
            (Class::Between, _) => offset == at,
            (Class::Unused, _) => false,
        };
        damage.path.ends_with(name) && damage.part == *part && is_there
    }
}

fn segment(bytes: &[u8]) -> Vec<Part> {
    let mut parts = vec![(0..PAGE_LEN, "segment header", Class::Opening)];
    for (name, section, chunk_len) in sections(bytes) {
        let class = match name {
            "checksums of checksums" => Class::Opening,
            _ => Class::Checked,
        };
        for start in section.clone().step_by(chunk_len) {
            parts.push((start..section.end.min(start + chunk_len), name, class));
        }
        let end = section.end.next_multiple_of(PAGE_LEN);
        if end > section.end {
            parts.push((section.end..end, name, Class::Between));
        }
    }
    let footer = bytes.len() - FOOTER_LEN;
    parts.push((footer..bytes.len(), "segment footer", Class::Opening));
    parts
}

fn log(bytes: &[u8]) -> Vec<Part> {
    let mut parts = vec![(0..BLOCK_LEN, "log header", Class::Opening)];
    let frames = frames(bytes);
    let mut end = BLOCK_LEN;
    for (index, frame) in frames.iter().enumerate() {
        let is_mark = u32_at(bytes, frame.start + 4) == 0;
        assert!(!is_mark || index + 1 == frames.len(), "others take a mark's place");
        let (name, class) =
            if is_mark { ("mark", Class::Unused) } else { ("log frame", Class::Opening) };
        parts.push((frame.clone(), name, class));
        end = frame.end.next_multiple_of(BLOCK_LEN);
        if end > frame.end {
            parts.push((frame.end..end, "behind the entries", Class::Unused));
        }
    }
    if end < bytes.len() {
        parts.push((end..bytes.len(), "behind the mark", Class::Unused));
    }
    parts
}
