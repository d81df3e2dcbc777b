//! Files that are of use only once they are finished.

use super::Disk;

/// Names that are removed when this is dropped, be it by a panic, unless they are kept.
pub(crate) struct Unfinished<'a> {
    disk: &'a dyn Disk,
    names: Vec<String>,
}

impl<'a> Unfinished<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, names: Vec<String>) -> Self {
        Self { disk, names }
    }

    pub(crate) fn extend(&mut self, names: impl IntoIterator<Item = String>) {
        self.names.extend(names);
    }

    /// These are removed before those that there are.
    pub(crate) fn add_first(&mut self, names: Vec<String>) {
        self.names.splice(..0, names);
    }

    pub(crate) fn keep(&mut self) {
        self.names.clear();
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            // Whether this works does not matter: the next writer removes them as well.
            let _ = self.disk.unlink(name);
        }
    }
}
