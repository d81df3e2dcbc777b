//! The state machine of `ringstore::model`, with a fuzzer to choose what is done:
//! commits, snapshots, questions, openings, kills, power failures and faults of the disk.
//! Every answer is compared with a `BTreeMap`, and from time to time everything with redb.
//!
//! The first byte of an input says which store it begins with; the others are used up by
//! choices.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringstore::model::machine::Loaded;
use ringstore_fuzz::machines;

static LOADED: LazyLock<[Loaded; 5]> = LazyLock::new(machines::loaded);

fuzz_target!(
    init: {
        ringstore_fuzz::use_one_thread();
        LazyLock::force(&LOADED);
    },
    |data: &[u8]| {
        if let Some((&first, choices)) = data.split_first() {
            machines::run(&LOADED[usize::from(first) % LOADED.len()], choices);
        }
    }
);
