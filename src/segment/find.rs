//! Finding a token.
//!
//! A token is found in two accesses to memory: a line of the prefix directory says which
//! few records it can be among, and those lie side by side. Where keys crowd so that a
//! bucket of the directory holds more than 128 records, the fence keys, the tokens of
//! every 128th record, are searched before the records are.

use std::ops::Range;

use bytemuck::TransparentWrapper;

use super::reader::Segment;
use crate::error::Result;
use crate::format::layout::{DIRECTORY_LINE_LEN, FENCE_LEN, FENCE_RECORDS, SectionId};
use crate::search::directory::{Line, Place, interpolate};
use crate::search::gallop::gallop;
use crate::search::simd::prefetch;
use crate::token::{Record, TokenId};

/// Records of a bucket that are looked at together; most buckets hold no more.
const WINDOW_RECORDS: usize = 4;

/// Where a token is, or would be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found<'a> {
    /// The number of records with smaller tokens.
    pub position: usize,
    /// The record at `position`, if it has this very token.
    pub record: Option<&'a Record>,
}

/// The records that a token can be among.
#[derive(Clone, Copy, Default)]
struct Bucket {
    place: Place,
    start: usize,
    end: usize,
}

impl<B: AsRef<[u8]>> Segment<B> {
    /// Finds a token, and its record if it is there.
    ///
    /// Two or three accesses to memory for tokens spread like hashes, a logarithmic
    /// number for any others.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    #[inline]
    pub fn find(&self, token: &TokenId) -> Result<Found<'_>> {
        let place = self.header.map.place(token);
        let (start, end) = self.bucket_range(place)?;
        self.find_in(Bucket { place, start, end }, token)
    }

    /// Finds up to `N` tokens at once: each step is taken for all of them, so that no
    /// token's accesses to memory wait for another one's. `near` is told about where each
    /// will be before its record is read.
    #[inline]
    pub(crate) fn find_all<'a, 't, const N: usize>(
        &'a self,
        tokens: impl Iterator<Item = &'t TokenId> + Clone,
        mut near: impl FnMut(&TokenId, usize),
    ) -> Result<[Found<'a>; N]> {
        let mut buckets = [Bucket::default(); N];
        for (bucket, token) in buckets.iter_mut().zip(tokens.clone()) {
            bucket.place = self.header.map.place(token);
            if N > 1 {
                let directory = self.section(SectionId::Directory);
                prefetch(directory, bucket.place.line * DIRECTORY_LINE_LEN);
            }
        }
        for (bucket, token) in buckets.iter_mut().zip(tokens.clone()) {
            (bucket.start, bucket.end) = self.bucket_range(bucket.place)?;
            if N > 1 {
                let end = bucket.end.min(bucket.start + WINDOW_RECORDS);
                self.prefetch_records(bucket.start..end);
            }
            near(token, bucket.start);
        }
        let mut found = [Found::default(); N];
        for ((found, bucket), token) in found.iter_mut().zip(buckets).zip(tokens) {
            *found = self.find_in(bucket, token)?;
        }
        Ok(found)
    }

    /// Finds a token among the records that it can be among.
    #[inline]
    fn find_in(&self, bucket: Bucket, token: &TokenId) -> Result<Found<'_>> {
        let Bucket { start, end, .. } = bucket;
        if end - start <= WINDOW_RECORDS
            && let Some(window) = self.window(start)
        {
            self.check_records(start..end)?;
            if let Some(found) = self.find_in_window(window, end - start, token) {
                return Ok(Found { position: start + found.position, ..found });
            }
        }
        self.find_in_many(bucket, token)
    }

    /// Finds a token in a bucket of any size.
    fn find_in_many(&self, bucket: Bucket, token: &TokenId) -> Result<Found<'_>> {
        let Bucket { place, start, end } = bucket;
        let (range, guess) = if end - start <= FENCE_RECORDS {
            (start..end, place.guess(end - start))
        } else {
            self.search_fences(start..end, token)?
        };
        let records = self.records(range.clone())?;
        let below =
            gallop(records.len(), guess, |i| records.get(i).is_some_and(|r| r.token < *token));
        let record = records.get(below).filter(|record| record.token == *token);
        Ok(Found { position: range.start + below, record })
    }

    /// Finds a token among the first `len` records of a window; `None` if another one is
    /// equal in the bits that are compared, or if one of them is not of the map, so that
    /// those bits do not say which is larger.
    ///
    /// Looks at all of them without asking which, so that the processor goes on to what
    /// comes next while they are still on their way; and in place of those beyond `len`
    /// at the last one again, so that nothing is brought near in vain.
    #[inline]
    fn find_in_window<'a>(
        &self,
        window: &'a [Record; WINDOW_RECORDS],
        len: usize,
        token: &TokenId,
    ) -> Option<Found<'a>> {
        let map = &self.header.map;
        let last = len.saturating_sub(1) % WINDOW_RECORDS;
        if ![token, &window[0].token, &window[last].token].into_iter().all(|it| map.covers(it)) {
            return None;
        }
        let key = map.key(token);
        let below = (0..WINDOW_RECORDS)
            .map(|i| usize::from((i < len) & (map.key(&window[i.min(last)].token) < key)));
        let position: usize = below.sum();
        let same_key =
            window.get(position).filter(|record| position < len && map.key(&record.token) == key);
        let record = same_key.filter(|record| record.token == *token);
        (record.is_some() == same_key.is_some()).then_some(Found { position, record })
    }

    /// The positions of the records that can have a token, by the directory.
    #[inline]
    pub(super) fn bucket_range(&self, place: Place) -> Result<(usize, usize)> {
        let at = place.line * DIRECTORY_LINE_LEN;
        self.check(SectionId::Directory, &(at..at + DIRECTORY_LINE_LEN))?;
        let Some(line) = self.array(SectionId::Directory, at) else {
            return Err(self.damage(SectionId::Directory, at, "a line", "the end"));
        };
        let mut checked = Ok(());
        let range = Line::wrap_ref(line).range(place.bucket(), self.len(), || {
            let next = at + DIRECTORY_LINE_LEN..at + 2 * DIRECTORY_LINE_LEN;
            match Line::read(self.section(SectionId::Directory), place.line + 1) {
                Some(line) => {
                    checked = self.check(SectionId::Directory, &next);
                    line.start()
                }
                None => self.len(),
            }
        });
        checked.map(|()| range)
    }

    /// The records from a position on, as many as are looked at together, and whether
    /// checked or not; `None` near the end of the file.
    #[inline]
    fn window(&self, start: usize) -> Option<&[Record; WINDOW_RECORDS]> {
        let bytes: &[u8; WINDOW_RECORDS * Record::LEN] =
            self.array(SectionId::Records, start * Record::LEN)?;
        bytemuck::cast_slice(bytes).first_chunk()
    }

    /// Narrows an overfull bucket to the records between two fence keys, and says at
    /// which of them to look first.
    #[cold]
    fn search_fences(
        &self,
        bucket: Range<usize>,
        token: &TokenId,
    ) -> Result<(Range<usize>, usize)> {
        if !self.header.has_fences {
            return Ok((bucket.clone(), bucket.len() / 2));
        }
        let first = bucket.start.div_ceil(FENCE_RECORDS);
        let count = bucket.end.div_ceil(FENCE_RECORDS) - first;
        let (Some(low), Some(high)) =
            (self.fence(first)?, self.fence(first + count.saturating_sub(1))?)
        else {
            return Ok((bucket.clone(), bucket.len() / 2));
        };
        let mut failed = None;
        let below = gallop(count, interpolate(low, high, token, count), |index| {
            match self.fence(first + index) {
                Ok(fence) => fence.is_some_and(|fence| fence < token),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let start = if below == 0 { bucket.start } else { (first + below - 1) * FENCE_RECORDS };
        let end = if below == count { bucket.end } else { (first + below) * FENCE_RECORDS + 1 };
        let range = start..end.max(start);
        let guess = match (below.checked_sub(1), self.fence(first + below)?) {
            (Some(index), Some(high)) if below < count => match self.fence(first + index)? {
                Some(low) => interpolate(low, high, token, range.len()),
                None => range.len() / 2,
            },
            _ => range.len() / 2,
        };
        Ok((range, guess))
    }

    /// A fence key: the token of every 128th record.
    fn fence(&self, index: usize) -> Result<Option<&TokenId>> {
        let bytes = index * FENCE_LEN..(index + 1) * FENCE_LEN;
        self.check(SectionId::Fences, &bytes)?;
        let key: Option<&[u8; FENCE_LEN]> =
            self.section(SectionId::Fences).get(bytes).and_then(<[u8]>::first_chunk);
        Ok(key.map(bytemuck::TransparentWrapper::wrap_ref))
    }
}
