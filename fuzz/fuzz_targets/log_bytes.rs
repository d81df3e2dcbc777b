//! Any bytes, read as a log.
//!
//! Whatever the bytes are, the store is opened or refused for its damage, never a panic
//! or an endless loop; and what is opened once is opened again and holds the same. Where
//! blocks of a log were lost, moved or, in one byte, changed, what is found is what was
//! committed up to some moment, and nothing that was durable is missing.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringstore_fuzz::logs::{Change, Input};
use ringstore_fuzz::stores::{Remains, STORES, opened};

fuzz_target!(
    init: {
        ringstore_fuzz::use_one_thread();
        LazyLock::force(&STORES);
    },
    |data: &[u8]| {
        if let Some(input) = Input::read(data, STORES.as_slice()) {
            run(&input);
        }
    }
);

fn run(input: &Input) {
    let Input { store, log, bytes, change } = input;
    let mut files = store.files.clone();
    files.insert(store.logs[*log].name.clone(), bytes.clone());
    let found = opened(files.clone());
    if *bytes == store.files[&store.logs[*log].name] {
        assert!(found.as_ref() == Some(store.last()), "nothing was changed");
    }
    if *change == Change::Blocks {
        match (store.remains(&files), found) {
            (Remains::Nothing, found) => assert!(found.is_none(), "what is missing was durable"),
            (Remains::Part(state), found) => {
                assert!(found.is_none_or(|found| found == *state), "not what was left");
            }
            (Remains::All(state), found) => {
                assert!(found.as_ref() == Some(state), "all frames are there");
            }
        }
    }
}
