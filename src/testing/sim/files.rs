//! Files and their names, and what changes them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What a disk writes at a time, or not at all.
pub(super) const SECTOR_LEN: usize = 512;

/// A file, whatever its name. Its number is its place in the order of creation.
pub(super) type Inode = usize;

/// Files, and a directory that names them. Copies share the contents that they have in
/// common.
#[derive(Clone, Default)]
pub(super) struct Files {
    pub(super) names: BTreeMap<Arc<str>, Inode>,
    contents: Vec<Arc<Vec<u8>>>,
}

/// What is made durable by one sync.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    File(Inode),
    /// All names.
    Directory,
}

/// A change of a file, or of names.
#[derive(Clone)]
pub(super) enum Change {
    Write {
        inode: Inode,
        offset: usize,
        bytes: Arc<[u8]>,
    },
    SetLen {
        inode: Inode,
        len: usize,
    },
    /// To this length, if it is shorter.
    Extend {
        inode: Inode,
        len: usize,
    },
    /// What a byte is changed by that was written before.
    Xor {
        inode: Inode,
        offset: usize,
        xor: u8,
    },
    /// Names that are given or taken away, all at once.
    Names(Vec<(Arc<str>, Option<Inode>)>),
}

impl Change {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Write { inode, .. }
            | Self::SetLen { inode, .. }
            | Self::Extend { inode, .. }
            | Self::Xor { inode, .. } => Target::File(*inode),
            Self::Names(_) => Target::Directory,
        }
    }

    /// How many sectors of the file it writes to.
    pub(super) fn sectors(&self) -> usize {
        match self {
            Self::Write { offset, bytes, .. } => sectors(*offset, bytes.len()).count(),
            _ => 0,
        }
    }
}

/// The parts of a write that are in different sectors of the file: where each begins and
/// ends in the bytes that are written.
fn sectors(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let first = offset / SECTOR_LEN;
    let end = if len == 0 { first } else { (offset + len).div_ceil(SECTOR_LEN) };
    (first..end).map(move |sector| {
        let begin = (sector * SECTOR_LEN).max(offset) - offset;
        (begin, ((sector + 1) * SECTOR_LEN - offset).min(len))
    })
}

impl Files {
    /// Files of these names.
    pub(super) fn named(files: BTreeMap<String, Vec<u8>>) -> Self {
        let (names, contents): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        Self {
            names: names.into_iter().map(Arc::from).zip(0..).collect(),
            contents: contents.into_iter().map(Arc::new).collect(),
        }
    }

    /// A file that has no name yet.
    pub(super) fn add(&mut self) -> Inode {
        self.contents.push(Arc::default());
        self.contents.len() - 1
    }

    pub(super) fn contents(&self, inode: Inode) -> &[u8] {
        self.contents.get(inode).map_or(&[], |contents| contents)
    }

    /// The contents of all files that have a name.
    pub(super) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let named = self.names.iter();
        named.map(|(name, inode)| (name.to_string(), self.contents(*inode).to_vec())).collect()
    }

    fn contents_mut(&mut self, inode: Inode) -> &mut Vec<u8> {
        if self.contents.len() <= inode {
            self.contents.resize_with(inode + 1, Arc::default);
        }
        Arc::make_mut(&mut self.contents[inode])
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { inode, offset, bytes } => {
                let contents = self.contents_mut(*inode);
                let end = offset + bytes.len();
                contents.resize(contents.len().max(end), 0);
                contents[*offset..end].copy_from_slice(bytes);
            }
            Change::SetLen { inode, len } => self.contents_mut(*inode).resize(*len, 0),
            Change::Extend { inode, len } => {
                let contents = self.contents_mut(*inode);
                contents.resize(contents.len().max(*len), 0);
            }
            Change::Xor { inode, offset, xor } => {
                // It may be cut off by now, where a change of its length was lost.
                if let Some(byte) = self.contents_mut(*inode).get_mut(*offset) {
                    *byte ^= xor;
                }
            }
            Change::Names(changes) => {
                for (name, inode) in changes {
                    match inode {
                        Some(inode) => drop(self.names.insert(Arc::clone(name), *inode)),
                        None => drop(self.names.remove(name)),
                    }
                }
            }
        }
    }

    /// Applies only those sectors of a write that are kept, and perhaps the length that
    /// all of it would have given the file.
    pub(super) fn apply_torn(&mut self, change: &Change, kept: &[bool], extends: bool) {
        let Change::Write { inode, offset, bytes } = change else {
            unreachable!("nothing but writes is torn");
        };
        let contents = self.contents_mut(*inode);
        if extends {
            contents.resize(contents.len().max(offset + bytes.len()), 0);
        }
        for ((begin, end), _) in
            sectors(*offset, bytes.len()).zip(kept).filter(|(_, is_kept)| **is_kept)
        {
            contents.resize(contents.len().max(offset + end), 0);
            contents[offset + begin..offset + end].copy_from_slice(&bytes[begin..end]);
        }
    }

    /// One hash for each file's contents.
    pub(super) fn hashes(&self) -> Vec<u64> {
        self.contents.iter().map(|contents| hash(contents)).collect()
    }

    /// A hash of names and contents. What is shared with `other` is not hashed anew:
    /// `hashes` has it.
    pub(super) fn hash(&self, other: &Self, hashes: &[u64]) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, inode) in &self.names {
            name.hash(&mut hasher);
            let shared = match (self.contents.get(*inode), other.contents.get(*inode)) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                _ => false,
            };
            let of_file = if shared { hashes[*inode] } else { hash(self.contents(*inode)) };
            of_file.hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: usize, len: usize) -> Change {
        Change::Write { inode: 0, offset, bytes: vec![1; len].into() }
    }

    #[test]
    fn a_write_is_divided_at_sectors_of_the_file() {
        let all = |offset, len| sectors(offset, len).collect::<Vec<_>>();
        assert_eq!(all(0, 0), []);
        assert_eq!(all(700, 0), []);
        assert_eq!(all(0, 1), [(0, 1)]);
        assert_eq!(all(0, 512), [(0, 512)]);
        assert_eq!(all(511, 2), [(0, 1), (1, 2)]);
        assert_eq!(all(256, 1_024), [(0, 256), (256, 768), (768, 1_024)]);
        assert_eq!(write(256, 1_024).sectors(), 3);
        assert_eq!(Change::SetLen { inode: 0, len: 512 }.sectors(), 0);
    }

    #[test]
    fn a_torn_write_has_the_sectors_that_are_kept() {
        let torn = |kept: &[bool], extends| {
            let mut files = Files::default();
            files.add();
            files.apply_torn(&write(256, 1_024), kept, extends);
            files.contents(0).to_vec()
        };
        let bytes = |parts: &[(u8, usize)]| -> Vec<u8> {
            parts.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect()
        };
        assert_eq!(torn(&[false, false, false], false), []);
        assert_eq!(torn(&[false, false, false], true), vec![0; 1_280]);
        assert_eq!(torn(&[true, false, false], false), bytes(&[(0, 256), (1, 256)]));
        assert_eq!(torn(&[false, true, false], true), bytes(&[(0, 512), (1, 512), (0, 256)]));
        assert_eq!(torn(&[false, false, true], false), bytes(&[(0, 1_024), (1, 256)]));
        assert_eq!(torn(&[true; 3], false), bytes(&[(0, 256), (1, 1_024)]));
    }

    #[test]
    fn copies_are_changed_apart() {
        let mut files = Files::named([("a".to_string(), vec![1, 2])].into());
        let copy = files.clone();
        files.apply(&Change::Xor { inode: 0, offset: 1, xor: 3 });
        files.apply(&Change::Xor { inode: 0, offset: 9, xor: 3 });
        files.apply(&Change::Extend { inode: 0, len: 3 });
        files.apply(&Change::Extend { inode: 0, len: 1 });
        assert_eq!(files.contents(0), [1, 1, 0]);
        assert_eq!(copy.contents(0), [1, 2]);
    }

    #[test]
    fn the_hash_is_of_names_and_contents_however_they_came_there() {
        let files =
            |name: &str, bytes: &[u8]| Files::named([(name.to_string(), bytes.to_vec())].into());
        let base = files("a", b"12");
        let hash = |files: &Files| files.hash(&base, &base.hashes());
        let mut shared = base.clone();
        assert_eq!(hash(&shared), hash(&files("a", b"12")));
        shared.apply(&Change::SetLen { inode: 0, len: 1 });
        assert_eq!(hash(&shared), hash(&files("a", b"1")));
        assert_ne!(hash(&shared), hash(&base));
        assert_ne!(hash(&files("b", b"12")), hash(&base));
        // A file without a name is not there.
        shared.apply(&Change::Names(vec![("a".into(), None)]));
        assert_eq!(hash(&shared), hash(&Files::default()));
    }
}
