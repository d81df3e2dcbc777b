//! Files that are shorter or longer than they were.

use ringstore::testing::sim::SimDisk;
use ringstore::{Damage, Error, Result, Store, Verification};

use crate::parts::Kind;
use crate::sample::{layered, options};
use crate::threads::for_each;

/// Cuts of a file that one disk is used for, the longest first.
const CUTS: usize = 256;

/// Whoever opens the store is refused, and told which file it is.
#[track_caller]
fn assert_refused(disk: &SimDisk, name: &str, len: usize) {
    let unchecked = options().verification(Verification::Never);
    let opened: [Result<Store>; 3] = [
        disk.open_read_only(&options()),
        disk.open_read_only(&unchecked),
        disk.open_store(&options()),
    ];
    for opened in opened {
        let Err(Error::Damaged(damage)) = opened else {
            panic!("{len} bytes of {name}: {opened:?}")
        };
        let Damage { path, part, offset, .. } = *damage;
        assert!(path.ends_with(name), "{len} bytes of {name}: {}", path.display());
        let expected = match Kind::of(name) {
            Kind::Segment => "segment length",
            Kind::Log => "log",
            Kind::Manifest => "manifest",
        };
        assert_eq!(part, expected, "{len} bytes of {name}");
        // Of the manifest, where its checksum would be.
        let is_there = if part == "manifest" { offset <= len as u64 } else { offset == 0 };
        assert!(is_there, "{len} bytes of {name}: {offset}");
    }
}

/// Believing a manifest whose checksum is wrong, and a log that is shorter than the manifest
/// says, were tried, and made this fail.
#[test]
fn every_length_that_a_file_can_be_cut_to() {
    let sample = layered(3);
    let cuts: Vec<_> = sample
        .all_names()
        .flat_map(|name| {
            let len = sample.files[name].len();
            (0..len).step_by(CUTS).map(move |start| (name, start..len.min(start + CUTS)))
        })
        .collect();
    let counts = for_each(cuts.len(), |count: &mut usize, number| {
        let (name, lens) = &cuts[number];
        let disk = SimDisk::with_files(sample.files.clone());
        for len in lens.clone().rev() {
            disk.truncate(name, len);
            assert_refused(&disk, name, len);
            *count += 1;
        }
    });
    let count: usize = counts.iter().sum();
    println!("{count} cuts refused by name, three times each");
    assert_eq!(count, sample.len());
}

/// Also by what would make sense behind the end. Accepting longer files was tried, and made
/// this fail.
#[test]
fn files_that_are_longer() {
    let sample = layered(3);
    let mut count = 0;
    for name in sample.all_names() {
        let bytes = &sample.files[name];
        let zeros = [1, 2, 511, 512, 4_095, 4_096, 4_097, 1 << 20].map(|len| vec![0; len]);
        let others =
            [vec![1], vec![0xff; 4_096], bytes.clone(), bytes[bytes.len() - 64..].to_vec()];
        for more in zeros.iter().chain(&others) {
            let longer = [&bytes[..], more].concat();
            let len = longer.len();
            assert_refused(&SimDisk::with_files(sample.with(name, longer)), name, len);
            count += 1;
        }
    }
    println!("{count} longer files refused by name, three times each");
    assert_eq!(count, 12 * (sample.files.len() - 1));
}
