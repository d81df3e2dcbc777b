//! Any bytes, read as a manifest.
//!
//! What is read of one says what the manifest says, byte for byte. A store with it is
//! opened, each time the same, or refused for its damage; and is refused if the manifest
//! is.
//!
//! An input has a head of two bytes, and then a whole manifest, or edits of a valid one of
//! three bytes each: an offset (2, little-endian) and what to write there. Of the first
//! byte, bit 0 says which, and bit 1 to make the checksum right; the second one says of
//! which store the other files are.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringstore::Error;
use ringstore::testing::damage::{reseal_manifest, rewritten_manifest};
use ringstore_fuzz::stores::{STORES, Written, opened};

fuzz_target!(
    init: {
        ringstore_fuzz::use_one_thread();
        LazyLock::force(&STORES);
    },
    |data: &[u8]| {
        if let Some((&[options, store], rest)) = data.split_first_chunk() {
            run(options, &STORES[usize::from(store) % STORES.len()], rest);
        }
    }
);

fn run(options: u8, store: &Written, rest: &[u8]) {
    let original = &store.files["MANIFEST"];
    let mut bytes = rest.to_vec();
    if options & 1 != 0 {
        bytes.clone_from(original);
        for &[low, high, byte] in rest.as_chunks::<3>().0 {
            let at = usize::from(u16::from_le_bytes([low, high]));
            bytes[at % original.len()] = byte;
        }
    }
    if options & 2 != 0 {
        reseal_manifest(&mut bytes);
    }
    let is_read = match rewritten_manifest(&bytes) {
        Ok(rewritten) => {
            assert_eq!(rewritten, bytes);
            true
        }
        Err(Error::Damaged(_) | Error::UnknownVersion { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    let mut files = store.files.clone();
    files.insert("MANIFEST".into(), bytes);
    let is_original = files["MANIFEST"] == *original;
    let found = opened(files);
    assert!(is_read || found.is_none());
    assert!(!is_original || found.as_ref() == Some(store.last()));
}
