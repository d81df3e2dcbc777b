//! What was done to a disk, and what of it is durable.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::OnceLock;

use super::files::{Change, Files, Inode, Target};
use super::models::{Fate, Shape};

/// What was done to the disk.
#[derive(Clone)]
pub(super) enum Operation {
    Change(Change),
    Sync(Target),
    /// What it should have written is never written by a later sync: the kernel may take
    /// it for clean.
    FailedSync(Target),
    /// What failed and did nothing. It is counted, so that the next one is another one.
    Failed(Change),
    /// What is not modelled, and can only fail.
    Nothing(&'static str),
    /// A change behind everybody's back, which is on the disk at once.
    Tampered(Change),
}

/// Whether a change is on the disk, and whether it ever will be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fixed {
    Durable,
    /// The next sync makes it durable.
    Dirty,
    /// No sync does, as one failed.
    Stranded,
}

/// A disk at one moment, as far as the next crash goes.
pub(super) struct Moment {
    /// What is there whatever happens, but for what `changes` do to it.
    durable: Files,
    durable_hashes: OnceLock<Vec<u64>>,
    /// In the order in which they were made: those that are not durable, and those that
    /// are but came after one that is not, in the same file.
    changes: Vec<(Change, Fixed)>,
}

impl Moment {
    /// The moment after these operations.
    pub(super) fn after(start: &Files, operations: &[Operation]) -> Self {
        let mut moment =
            Self { durable: start.clone(), durable_hashes: OnceLock::new(), changes: Vec::new() };
        for operation in operations {
            match operation {
                Operation::Change(change) => moment.changes.push((change.clone(), Fixed::Dirty)),
                Operation::Sync(target) => moment.fix(*target, Fixed::Durable),
                Operation::FailedSync(target) => moment.fix(*target, Fixed::Stranded),
                Operation::Failed(_) | Operation::Nothing(_) => {}
                Operation::Tampered(change) => {
                    moment.changes.push((change.clone(), Fixed::Durable));
                    moment.settle();
                }
            }
        }
        moment.forget_nameless();
        moment
    }

    fn fix(&mut self, target: Target, to: Fixed) {
        for (change, fixed) in &mut self.changes {
            if *fixed == Fixed::Dirty && change.target() == target {
                *fixed = to;
            }
        }
        self.settle();
    }

    /// Applies the changes that are durable and come after none that is not.
    fn settle(&mut self) {
        let mut unsettled = BTreeSet::new();
        self.changes.retain(|(change, fixed)| {
            let stays = *fixed != Fixed::Durable || unsettled.contains(&change.target());
            if stays {
                unsettled.insert(change.target());
            } else {
                self.durable.apply(change);
            }
            stays
        });
    }

    /// Leaves out changes of files that have no name, and cannot have one after a crash.
    fn forget_nameless(&mut self) {
        let mut named: BTreeSet<Inode> = self.durable.names.values().copied().collect();
        for (change, _) in &self.changes {
            if let Change::Names(names) = change {
                named.extend(names.iter().filter_map(|(_, inode)| *inode));
            }
        }
        self.changes.retain(|(change, _)| match change.target() {
            Target::File(inode) => named.contains(&inode),
            Target::Directory => true,
        });
    }

    /// The changes that a crash may undo.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        let undone = self.changes.iter().filter(|(_, fixed)| *fixed != Fixed::Durable);
        undone
            .map(|(change, _)| Shape { target: change.target(), sectors: change.sectors() })
            .collect()
    }

    /// What is there if this becomes of each of them.
    pub(super) fn image(&self, fates: &[Fate]) -> Files {
        let mut files = self.durable.clone();
        let mut fates = fates.iter();
        for (change, fixed) in &self.changes {
            let fate = match fixed {
                Fixed::Durable => &Fate::Kept,
                _ => fates.next().expect("a fate for each shape"),
            };
            match fate {
                Fate::Lost => {}
                Fate::Kept => files.apply(change),
                Fate::Torn { kept, extends } => files.apply_torn(change, kept, *extends),
            }
        }
        files
    }

    /// A hash of an image.
    pub(super) fn hash(&self, image: &Files) -> u64 {
        image.hash(&self.durable, self.durable_hashes.get_or_init(|| self.durable.hashes()))
    }
}

/// The last of these operations in words, such as "rename a b".
pub(super) fn describe(start: &Files, operations: &[Operation]) -> String {
    let (last, before) = operations.split_last().expect("an operation");
    let name = |inode: Inode| {
        let given = before.iter().rev().find_map(|operation| match operation {
            Operation::Change(Change::Names(names)) | Operation::Tampered(Change::Names(names)) => {
                names.iter().find(|(_, given)| *given == Some(inode)).map(|(name, _)| name)
            }
            _ => None,
        });
        let named = || start.names.iter().find(|(_, named)| **named == inode).map(|(name, _)| name);
        given.or_else(named).map_or_else(|| "a file without a name".into(), ToString::to_string)
    };
    let target = |target: &Target| match target {
        Target::File(inode) => name(*inode),
        Target::Directory => "the directory".into(),
    };
    let change = |change: &Change| match change {
        Change::Write { inode, offset, bytes } => {
            format!("write {} bytes at {offset} of {}", bytes.len(), name(*inode))
        }
        Change::SetLen { inode, len } => format!("cut or extend {} to {len} bytes", name(*inode)),
        Change::Extend { inode, len } => format!("preallocate {len} bytes of {}", name(*inode)),
        Change::Xor { inode, offset, xor } => {
            format!("change byte {offset} of {} by {xor:#04x}", name(*inode))
        }
        Change::Names(names) => match names.as_slice() {
            [(from, None), (to, Some(_))] => format!("rename {from} {to}"),
            names => {
                let mut words = String::new();
                for (name, inode) in names {
                    let word = if inode.is_some() { "create" } else { "unlink" };
                    let _ = write!(words, "{word} {name}");
                }
                words
            }
        },
    };
    match last {
        Operation::Change(last) => change(last),
        Operation::Sync(last) => format!("sync {}", target(last)),
        Operation::FailedSync(last) => format!("fail to sync {}", target(last)),
        Operation::Failed(last) => format!("fail to {}", change(last)),
        Operation::Nothing(what) => (*what).into(),
        Operation::Tampered(last) => format!("tamper: {}", change(last)),
    }
}
