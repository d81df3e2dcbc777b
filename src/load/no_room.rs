//! A load on a disk that is full says so.

use super::options::LoadOptions;
use super::tests::{IDS, MEMORIES, load_within, records, shuffled};
use crate::error::Error;
use crate::io::Disk;
use crate::io::watched::WatchedDisk;
use crate::testing::keys::KeyFamily;

/// Be it for the segment or for what is only there for a time.
#[test]
fn a_load_without_room_says_how_much_it_needs_and_leaves_nothing() {
    let in_order = KeyFamily::Uniform.generate(1_000, 1);
    let mut refused = 0;
    for tokens in [shuffled(in_order.clone(), 1), in_order] {
        let records = records(tokens, |_| 7);
        for (memory, name) in MEMORIES.into_iter().flat_map(|it| [(it, ".tmp"), (it, "unnamed")]) {
            let directory = tempfile::tempdir().unwrap();
            let (disk, watch) = WatchedDisk::new(directory.path());
            watch.lock().unwrap().no_room_for = Some(name);
            let input = records.iter().map(|record| Ok(*record));
            match load_within(memory, &disk, IDS, input, &LoadOptions::new()) {
                Ok(_) if name == "unnamed" => {
                    assert!(!watch.lock().unwrap().calls.iter().any(|call| call.ends_with(name)));
                    continue;
                }
                Err(Error::NoSpace { needed, .. }) => assert!(needed <= 72_000 && needed > 0),
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(disk.list().unwrap(), [""; 0], "{name}");
            refused += 1;
        }
    }
    assert!(refused > 12, "{refused}");
}
