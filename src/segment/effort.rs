//! How much of a file is looked at to find a token or a match, whatever tokens somebody chose.
//!
//! Counted in the chunks that are compared with their checksums, and in how often the file's
//! bytes are asked for; never in time.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::reader::Segment;
use super::tests::{build_within, fresh};
use crate::format::layout::{BLOCK_RECORDS, SectionId};
use crate::options::Verification;
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::token::{SUFFIXES, TokenId};

const TOKENS: usize = 100_000;

/// Chunks that hold a line of the directory and the next; and 129 records, where they begin
/// and end within chunks.
const DIRECTORY_CHUNKS_MAX: usize = 2;
const RECORD_CHUNKS_MAX: usize = 4;

/// Bytes that count how often somebody asked for them.
struct Counted<'a> {
    bytes: &'a [u8],
    asked: AtomicUsize,
}

impl AsRef<[u8]> for Counted<'_> {
    fn as_ref(&self) -> &[u8] {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.bytes
    }
}

fn open(bytes: &[u8], verification: Verification) -> Segment<Counted<'_>> {
    let counted = Counted { bytes, asked: AtomicUsize::new(0) };
    Segment::open(counted, Path::new("counted"), verification).unwrap()
}

fn built(tokens: &[TokenId]) -> Vec<u8> {
    build_within((tokens[0], tokens[tokens.len() - 1]), tokens, fresh, 0)
}

/// How many chunks of a section were compared since the segment was opened.
fn compared(segment: &Segment<Counted<'_>>, id: SectionId) -> usize {
    segment.layout.chunks(id) - segment.touched.left(id)
}

/// Reading all of a bucket, however many records it has, without asking the fence keys, was
/// tried, and made this fail.
#[test]
fn a_lookup_compares_a_few_chunks_whatever_the_tokens_are() {
    for family in KeyFamily::ALL {
        let tokens = family.generate(TOKENS, 5);
        let bytes = built(&tokens);
        let mut random = Random::new("sought", 1);
        let mut most = [0; 3];
        for round in 0..200 {
            let mut sought = *random.pick(&tokens);
            if round % 3 == 0 {
                sought.0[31] ^= 1 << random.below(8);
            } else if round % 3 == 1 {
                sought = random.token();
            }
            let segment = open(&bytes, Verification::FirstTouch);
            let found = segment.find(&sought).unwrap();
            assert_eq!(found.position, tokens.partition_point(|token| *token < sought));
            let fences = segment.layout.section(SectionId::Fences).len / 32;
            let counts = [SectionId::Directory, SectionId::Records, SectionId::Fences]
                .map(|id| compared(&segment, id));
            // Two comparisons for each halving, and some around the guess.
            let fences_max = 2 * (fences.max(1).ilog2() as usize) + 3;
            for (count, max) in
                counts.into_iter().zip([DIRECTORY_CHUNKS_MAX, RECORD_CHUNKS_MAX, fences_max])
            {
                assert!(count <= max, "{family:?} {sought}: {counts:?}, {max} at most");
            }
            let asked = segment.bytes.asked.load(Ordering::Relaxed);
            assert!(asked <= 40 + 6 * fences_max, "{family:?} {sought}: asked {asked} times");
            most = std::array::from_fn(|index| most[index].max(counts[index]));
        }
        println!("{family:?}: {most:?} chunks of directory, records and fence keys");
        assert!(most[1] > 0);
    }
}

/// Where all tokens have one suffix, or none has the one that is sought, a walk passes them
/// block by block. Passing them record by record was tried, and made this fail.
#[test]
fn a_match_that_is_not_there_costs_a_few_accesses_a_block() {
    for family in [KeyFamily::OneSuffix, KeyFamily::Uniform, KeyFamily::Dense64] {
        let tokens = family.generate(TOKENS, 5);
        let bytes = built(&tokens);
        let blocks = TOKENS.div_ceil(BLOCK_RECORDS);
        let absent = match family {
            KeyFamily::OneSuffix => (tokens[0].suffix() + 1) % SUFFIXES as u16,
            // No suffix at all.
            _ => SUFFIXES as u16,
        };
        let segment = open(&bytes, Verification::Never);
        let before = segment.bytes.asked.load(Ordering::Relaxed);
        assert_eq!(segment.next_match(0..TOKENS, absent).unwrap(), None);
        assert_eq!(segment.previous_match(0..TOKENS, absent).unwrap(), None);
        let asked = segment.bytes.asked.load(Ordering::Relaxed) - before;
        println!("{family:?}: asked {asked} times for {blocks} blocks, up and down");
        assert!(asked >= 2 * blocks && asked <= 4 * blocks, "{family:?}: {asked}");
        // One that is everywhere is met at once.
        let next = segment.next_match(7..TOKENS, tokens[7].suffix()).unwrap();
        assert_eq!(next, Some(7));
    }
}
