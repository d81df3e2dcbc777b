//! The names of a store's files.

/// The manifest.
pub(crate) const MANIFEST: &str = "MANIFEST";

/// An empty file that is there while the manifest's name may not be durable.
pub(crate) const UNSYNCED: &str = "MANIFEST.unsynced";

/// The file that a writer holds a lock on.
pub(crate) const LOCK: &str = "LOCK";

const SEGMENT: &str = ".seg";
const LOG: &str = ".log";

/// How names end of files that are being written.
const TEMPORARY: &str = ".tmp";

/// The name of a segment's file.
pub(crate) fn segment_name(id: u64) -> String {
    format!("{id:016x}{SEGMENT}")
}

/// The name of a log's file.
pub(crate) fn log_name(id: u64) -> String {
    format!("{id:016x}{LOG}")
}

/// The name of a file until it is complete.
pub(crate) fn temporary_name(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// Whether a name is that of a segment.
pub(crate) fn is_segment(name: &str) -> bool {
    name.strip_suffix(SEGMENT).is_some_and(is_number)
}

/// Whether a name is that of a log.
pub(crate) fn is_log(name: &str) -> bool {
    name.strip_suffix(LOG).is_some_and(is_number)
}

/// Whether a name is one that the store gives to files that are there only while something is
/// being written.
pub(crate) fn is_temporary(name: &str) -> bool {
    let is_written = |name: &str| name == MANIFEST || is_segment(name);
    name == UNSYNCED || name.strip_suffix(TEMPORARY).is_some_and(is_written)
}

/// Whether a name is one that a store gives to any of its files.
pub(crate) fn is_of_store(name: &str) -> bool {
    name == MANIFEST || name == LOCK || is_segment(name) || is_log(name) || is_temporary(name)
}

fn is_number(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taking any text for a number was tried, and made this fail.
    #[test]
    fn only_our_own_names_are_ours() {
        let is_ours = |name: &str| is_segment(name) || is_log(name) || is_temporary(name);
        for name in [
            "00000000000000ff.seg",
            "00000000000000ff.seg.tmp",
            "00000000000000ff.log",
            "MANIFEST.tmp",
            "MANIFEST.unsynced",
        ] {
            assert!(is_ours(name) && is_of_store(name), "{name}");
        }
        for name in [
            "MANIFEST",
            "LOCK",
            "ff.seg",
            "ff.log",
            "00000000000000FF.seg",
            "00000000000000ff.seg.bak",
            "00000000000000ff.log.tmp",
            "../x.seg",
            "x.tmp",
        ] {
            assert!(!is_ours(name), "{name}");
            assert_eq!(is_of_store(name), ["MANIFEST", "LOCK"].contains(&name), "{name}");
        }
        assert!(is_segment(&segment_name(u64::MAX)));
        assert!(is_log(&log_name(u64::MAX)));
        assert!(is_temporary(&temporary_name(&segment_name(0))));
    }
}
