//! Reads the sources of the library and keeps them in order: which module may
//! import which, what every file keeps to, and what documents say of them.

mod documents;
mod floors;
mod imports;
mod tidy;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

/// Every file of the library, in the order of their paths: path from the package's
/// root, such as `src/search/simd.rs`, and text.
fn library() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    list(&root.join("src"), &mut paths);
    paths.sort();
    assert!(paths.contains(&root.join("src/lib.rs")), "{} holds no library", root.display());
    let read = |path: &PathBuf| {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parts = path.strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap());
        (parts.collect::<Vec<_>>().join("/"), text)
    };
    paths.iter().map(read).collect()
}

fn list(directory: &Path, paths: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
