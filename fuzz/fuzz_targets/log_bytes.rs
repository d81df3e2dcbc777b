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
use ringstore_fuzz::stores::{Log, STORES, State, Written, opened};

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
    let found = opened(files);
    if *bytes == store.files[&store.logs[*log].name] {
        assert!(found.as_ref() == Some(store.last()), "nothing was changed");
    }
    if *change == Change::Blocks {
        check_prefix(store, *log, bytes, found);
    }
}

/// Of frames that were written here, those are found that come before the first that is
/// not as it was.
fn check_prefix(store: &Written, log: usize, bytes: &[u8], found: Option<State>) {
    let Log { name, frames } = &store.logs[log];
    let original = &store.files[name];
    let is_last = log + 1 == store.logs.len();
    // Behind its last frame too, a log is as long as the manifest says.
    if bytes.get(..512) != original.get(..512) || bytes.len() != original.len() {
        assert!(found.is_none(), "another log");
        return;
    }
    let is_whole = |offset: usize, used: usize| {
        bytes[offset..offset + used] == original[offset..offset + used]
    };
    let intact = frames.iter().take_while(|frame| is_whole(frame.offset, frame.used)).count();
    let Some(lost) = frames.get(intact) else {
        assert!(found.as_ref() == Some(store.last()), "all frames are there");
        return;
    };
    let later = frames[intact + 1..].iter().filter(|frame| is_whole(frame.offset, 32));
    let durable = later.map(|frame| frame.durable).max().unwrap_or(0);
    let Some(found) = found else { return };
    assert!(is_last, "a frame is missing in the middle");
    assert!(durable < lost.sequence, "frame {} was durable", lost.sequence);
    let before = match intact.checked_sub(1) {
        Some(last) => &frames[last].state,
        None => match log.checked_sub(1) {
            Some(log) => &store.logs[log].frames.last().expect("it has some").state,
            None => &store.base,
        },
    };
    assert!(found == *before, "not what {intact} frames come to");
}
