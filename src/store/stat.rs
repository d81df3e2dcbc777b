//! What a store consists of, in figures.

use super::Store;
use super::monitor::{Background, Written};
use crate::format::layout::SectionId;
use crate::recover::Recovery;
use crate::segment::layer::Layer;

/// What a store consists of, in figures.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stat {
    /// Tokens, exactly.
    pub tokens: u64,
    /// Layers on disk.
    pub layers: u64,
    /// Segment files.
    pub segments: u64,
    /// Entries that are in memory and in logs, but in no segment yet. A token that was
    /// changed again may be counted several times.
    pub delta: u64,
    /// Bytes of all segment files.
    pub segment_bytes: u64,
    /// Bytes of all logs.
    pub log_bytes: u64,
    /// Bytes of segment files for each token; `None` if there are no tokens.
    pub bytes_per_token: Option<f64>,
    /// Bytes of segment files that are in the store no more, but that snapshots of this
    /// process keep on disk.
    pub pinned_bytes: u64,
    /// Deltas that were flushed since the store was opened, be it to nothing; 0 where it is
    /// only read, as others write it.
    pub flushes: u64,
    /// Times that layers were made one since the store was opened.
    pub compactions: u64,
    /// What was written since the store was opened; nothing where it is only read.
    pub written: Written,
    /// What this process does with a full delta.
    pub background: Background,
    /// What it does with the layers.
    pub compaction: Background,
    /// What opening the store found in its logs.
    pub recovery: Recovery,
    /// Each layer on disk, newest first.
    pub each_layer: Vec<LayerStat>,
}

/// What a layer consists of, in figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LayerStat {
    /// Segment files.
    pub segments: u64,
    /// Entries of tokens that no layer below has.
    pub fresh: u64,
    /// Entries of tokens that a layer below has as well, with another value or the same.
    pub updates: u64,
    /// Entries that remove a token of a layer below.
    pub tombstones: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes of them that are suffix postings.
    pub postings_bytes: u64,
    /// Bytes of them that are prefix directory, with its fence keys.
    pub directory_bytes: u64,
}

impl LayerStat {
    fn of(layer: &Layer) -> Self {
        let mut stat = Self::default();
        for segment in layer.segments() {
            let entry = segment.entry();
            stat.segments += 1;
            stat.fresh += entry.records - entry.updates - entry.tombstones;
            stat.updates += entry.updates;
            stat.tombstones += entry.tombstones;
            stat.bytes += segment.file_len();
            stat.postings_bytes += segment.section_len(SectionId::Postings);
            stat.directory_bytes += segment.section_len(SectionId::Directory);
            stat.directory_bytes += segment.section_len(SectionId::Fences);
        }
        stat
    }
}

impl Store {
    /// What the store consists of, in figures. Takes time in proportion to the number of
    /// segments, and waits for nobody.
    ///
    /// ```
    /// use ringstore::{Background, BlockTime, Options, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::create(directory.path().join("tokens"), &Options::new())?;
    /// store.put(&TokenId::from(7), BlockTime::new(1.into(), 100))?;
    /// let stat = store.stat();
    /// assert_eq!((stat.tokens, stat.delta, stat.layers), (1, 1, 0));
    /// if let Background::Failed(reason) = stat.background {
    ///     eprintln!("cannot flush: {reason}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stat(&self) -> Stat {
        let snapshot = self.snapshot();
        let (view, monitor) = (snapshot.view(), &self.inner.monitor);
        let each_layer: Vec<_> = view.layers().map(|layer| LayerStat::of(layer)).collect();
        let segment_bytes = each_layer.iter().map(|layer| layer.bytes).sum();
        let tokens = snapshot.len();
        Stat {
            tokens,
            layers: each_layer.len() as u64,
            segments: each_layer.iter().map(|layer| layer.segments).sum(),
            delta: view.delta_len() as u64,
            segment_bytes,
            log_bytes: monitor.log_bytes(),
            bytes_per_token: (tokens > 0).then(|| segment_bytes as f64 / tokens as f64),
            pinned_bytes: monitor.pinned_bytes(),
            flushes: monitor.flushes(),
            compactions: monitor.compactions(),
            written: monitor.written(),
            background: monitor.background(),
            compaction: monitor.compaction(),
            recovery: self.inner.recovery,
            each_layer,
        }
    }
}
