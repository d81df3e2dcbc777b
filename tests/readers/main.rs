//! Readers that share nothing with a store's writer but its directory: threads and other
//! processes that open it read-only while it is written, flushed, moved, copied or deleted.

mod copies;
mod gone;
mod opens;
#[path = "../published/mod.rs"]
mod published;
mod rights;

use ringstore::{Options, Snapshot, Store};

/// Stores and snapshots go to any thread, and are as small as a pointer: whoever clones one
/// has the same one.
#[test]
fn stores_and_snapshots_are_shared() {
    fn is_shared<T: Send + Sync + Clone + 'static>() -> usize {
        size_of::<T>()
    }
    assert_eq!(is_shared::<Store>(), size_of::<usize>());
    assert_eq!(is_shared::<Snapshot>(), size_of::<usize>());

    let directory = published::system::directory();
    let tokens = published::tokens(1_000);
    let store = published::create(&directory.path().join("it"), &Options::new(), &tokens);
    let snapshots = vec![store.snapshot(); 1_000];
    let stores = vec![store; 1_000];
    stores[1].commit(&published::batch(&tokens, 1)).unwrap();
    std::thread::scope(|scope| {
        for (store, snapshot) in stores.iter().zip(&snapshots).step_by(250) {
            scope.spawn(move || {
                assert_eq!(published::commits(&store.snapshot()), 1);
                assert_eq!(published::commits(snapshot), 0);
            });
        }
    });
}
