//! What the kernel says of this process's memory.
//!
//! `/proc/self/smaps` tells of each area of addresses how much of it is in memory, and in
//! pages of which size. Telling takes the kernel a look at every page: ten milliseconds for
//! a gigabyte in small ones.

use std::fs;
use std::ops::Range;

/// What there is of some addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Resident {
    /// Bytes in memory and in this process's page tables.
    pub(crate) bytes: u64,
    /// Bytes of them in huge pages.
    pub(crate) huge_bytes: u64,
    /// Bytes of them that are locked.
    pub(crate) locked_bytes: u64,
}

/// What there is of these ranges of addresses, none of which overlap; `None` where the
/// system does not tell.
pub(crate) fn resident(ranges: &[Range<usize>]) -> Option<Resident> {
    let text = fs::read_to_string("/proc/self/smaps").ok()?;
    Some(resident_of(&text, ranges))
}

/// The same of the text in which the kernel tells it.
fn resident_of(text: &str, ranges: &[Range<usize>]) -> Resident {
    let mut resident = Resident::default();
    // Bytes of the area that the lines are about which are in ranges, and that are in memory.
    let (mut of_ranges, mut in_memory) = (0, 0);
    for line in text.lines() {
        if let Some(area) = area(line) {
            let common = |range: &Range<usize>| {
                range.end.min(area.end).saturating_sub(range.start.max(area.start)) as u64
            };
            (of_ranges, in_memory) = (ranges.iter().map(common).sum(), 0);
            continue;
        }
        let Some((name, value)) = line.split_once(':').filter(|_| of_ranges > 0) else {
            continue;
        };
        // What belongs to others in the same area cannot be told apart.
        let bytes = kibibytes(value).min(of_ranges);
        match name {
            "Rss" => {
                in_memory = bytes;
                resident.bytes += bytes;
            }
            "AnonHugePages" | "ShmemPmdMapped" | "FilePmdMapped" => resident.huge_bytes += bytes,
            "VmFlags" if value.split_whitespace().any(|flag| flag == "lo") => {
                resident.locked_bytes += in_memory;
            }
            _ => {}
        }
    }
    resident
}

/// The addresses in the first line of an area: `start-end rights …`.
fn area(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

/// The bytes in `number kB`; 0 in anything else.
fn kibibytes(value: &str) -> u64 {
    let number = value.trim().strip_suffix("kB").and_then(|number| number.trim_end().parse().ok());
    number.unwrap_or(0u64).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000400000 r--s 00000000 fe:00 1234    /tmp/a b/0001.seg
Size:               4096 kB
Rss:                3000 kB
Pss:                1500 kB
AnonHugePages:         0 kB
FilePmdMapped:      2048 kB
Locked:             1500 kB
VmFlags: rd sh mr mw me ms lo hg
7f0000400000-7f0000c00000 r--p 00000000 00:00 0
Rss:                8192 kB
AnonHugePages:      8192 kB
FilePmdMapped:         0 kB
VmFlags: rd mr mw me hg
7f0000c00000-7f0000c01000 r-xp 00000000 00:00 0    [vdso]
Rss:                   4 kB
VmFlags: rd ex lo
";

    const START: usize = 0x7f00_0000_0000;

    /// So many mebibytes from here to there.
    fn mebibytes(from: usize, to: usize) -> Range<usize> {
        START + (from << 20)..START + (to << 20)
    }

    fn told(ranges: &[Range<usize>]) -> (u64, u64, u64) {
        let Resident { bytes, huge_bytes, locked_bytes } = resident_of(SMAPS, ranges);
        (bytes >> 10, huge_bytes >> 10, locked_bytes >> 10)
    }

    #[test]
    fn areas_count_that_are_asked_for() {
        assert_eq!(told(&[]), (0, 0, 0));
        assert_eq!(told(&[mebibytes(0, 4)]), (3_000, 2_048, 3_000));
        assert_eq!(told(&[mebibytes(0, 4), mebibytes(4, 12)]), (11_192, 10_240, 3_000));
        assert_eq!(told(&[mebibytes(20, 30)]), (0, 0, 0));
    }

    #[test]
    fn no_more_counts_than_was_asked_for() {
        // An area of which only a part is ours.
        assert_eq!(told(&[mebibytes(5, 6)]), (1_024, 1_024, 0));
        assert_eq!(told(&[mebibytes(4, 5), mebibytes(6, 7)]), (2_048, 2_048, 0));
    }

    #[test]
    fn text_that_is_none_of_it_counts_nothing() {
        let resident = resident_of("x-y z\na-b\na-\nRss: 5 kB\n-\n:\n", &[mebibytes(0, 1)]);
        assert_eq!(resident, Resident::default());
    }
}
