//! Directories that are made for a store, and go again if it comes to nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory and those above it that do not exist, innermost first.
pub(crate) struct Missing(Vec<PathBuf>);

impl Missing {
    pub(crate) fn above(path: &Path) -> Self {
        let above = path.ancestors().take_while(|above| !above.as_os_str().is_empty());
        Self(above.take_while(|above| !above.exists()).map(Path::to_path_buf).collect())
    }

    /// Removes those that were made meanwhile, but for those in which somebody else has put
    /// something.
    pub(crate) fn remove(&self) {
        for directory in &self.0 {
            let _ = fs::remove_dir(directory);
        }
    }
}
