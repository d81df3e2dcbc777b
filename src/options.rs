//! How to open a store.

use std::fmt;

/// When the checksums of a file's chunks are compared with its bytes.
///
/// At every level, opening a store checks the manifest with its checksum, and of each
/// segment that it is the file that the manifest names: its length, header, footer and
/// the checksums of its checksums. So a file that is missing, cut, extended, swapped with
/// another or of an unknown version is refused at once. At every level, too, whatever is
/// read is bounded before it is used: damage is never undefined behaviour, a panic or a
/// hang.
///
/// | damage within a file is seen | cost |
/// |---|---|
/// | `OnOpen`: by opening, wherever it is | opening reads every byte: about 3 GB/s a core |
/// | `FirstTouch`: by the first read that needs the chunk of 4 KiB that it is in; in suffix postings, of 66 KiB | the first read of each chunk computes a checksum, about a microsecond; reads of a section that was touched all over cost nothing |
/// | `Never`: by nobody but [`verify`](crate::Store::verify) | none |
///
/// Logs are read as a whole when a store is opened, and checked at every level.
///
/// With the first two levels a read never gives an answer made of damaged bytes, but an
/// error. What none of them sees is damage that comes after a chunk was checked, by a
/// program that writes into the file or by failing memory; and a file that was made wrong
/// but with the right checksums. [`verify`](crate::Store::verify) sees both: it checks
/// every byte anew, that tokens ascend, and that every index leads to the records that
/// it should.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Verification {
    /// Everything when the store is opened, on all cores.
    OnOpen,
    /// A chunk when it is read for the first time since opening.
    #[default]
    FirstTouch,
    /// Never. Damage may give wrong answers.
    Never,
}

/// How segment files are kept in memory.
///
/// They are mapped in any case, and what of them is in memory is in the system's cache, for
/// every process that reads them, and costs this one nothing of its own, unless it has a
/// copy.
///
/// | | what it does | what it costs | what it needs |
/// |---|---|---|---|
/// | `Mapped` | a page is read from disk when it is needed and not cached | the first read of each page waits for the disk, or, if it is cached, for about a microsecond | nothing |
/// | `Prefault` | opening reads all files on all cores and enters every page, so that no read waits for either until the system takes memory away | opening takes as long as reading the files; a few milliseconds a gigabyte if they are cached | memory for all of it, or it is for nothing |
/// | `Locked` | the same, and the system never takes it away | the same; that memory is there for nothing else | the right to lock so much: `ulimit -l`, in a service `LimitMEMLOCK`, or the capability `CAP_IPC_LOCK` |
/// | `HugePages` | the same as `Prefault`, in pages of 2 MiB: those of the cache where it has the file in such, or else in a copy of the process's own | as `Prefault`; for a copy also copying, and as many bytes of memory as the file has | memory for the copy; without it the file is only mapped, and a warning says so |
///
/// Random reads of a large store are faster in huge pages, as their addresses are translated
/// sooner. Linux may give them for files in any mode, and does if it was asked for them when
/// it read the file: in each mode it is, for files of no more than half of the memory. A file
/// that the store itself just wrote has them; one that was in the cache before, read or copied
/// by something else, may have none. There are none for files smaller than 2 MiB; and where
/// the file system caches no large pieces, in copies only.
///
/// The same is done with files that flushes, compactions, loads and a
/// [refresh](crate::Store::refresh) bring, before anybody reads them. While one is made of
/// others, both are in memory: for locks and copies there has to be room for the store twice.
///
/// If the system refuses to lock, opening fails with
/// [`Error::MemoryLock`](crate::Error::MemoryLock), and so it does, with
/// [`Error::Io`](crate::Error::Io), if a file cannot be read. What comes after opening is then
/// only mapped, with a warning in the log, as a store that goes on is worth more; what was
/// obtained is told by [`residency`](crate::Store::residency).
///
/// A medium that fails under a map ends the process when the page is read. `Prefault`,
/// `Locked` and `HugePages` find out when they open the file, and say so; a copy does not
/// need the file any more.
///
/// ```
/// use ringstore::{Options, Residency, Store};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tokens");
/// let store = Store::create(&path, &Options::new().residency(Residency::Prefault))?;
/// let report = store.residency();
/// println!("{:?} of {} bytes are in memory", report.resident_bytes, report.mapped_bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Residency {
    /// As far as it is read, and as long as there is room.
    #[default]
    Mapped,
    /// All of it, from the beginning, as long as there is room.
    Prefault,
    /// All of it, from the beginning, always.
    Locked,
    /// All of it, from the beginning, in huge pages, if need be in a copy.
    HugePages,
}

impl Residency {
    /// Every one, the default first.
    pub const ALL: [Self; 4] = [Self::Mapped, Self::Prefault, Self::Locked, Self::HugePages];
}

impl fmt::Display for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mapped => "mapped",
            Self::Prefault => "prefault",
            Self::Locked => "locked",
            Self::HugePages => "huge-pages",
        })
    }
}

/// When a commit is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Once it is on disk: it survives the power.
    #[default]
    Synced,
    /// Once the operating system has it: it survives the process, but not the power. It is
    /// on disk after the next commit that is synced, or [`sync`](crate::Store::sync).
    Buffered,
}

/// Options for opening a store. One that is opened for reading heeds only
/// [`verification`](Self::verification) and [`residency`](Self::residency), as whoever
/// writes it sees to the rest.
///
/// ```
/// use ringstore::{Durability, Options, Verification};
/// let options =
///     Options::new().verification(Verification::OnOpen).durability(Durability::Buffered);
/// # let _ = options;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    pub(crate) verification: Verification,
    pub(crate) residency: Residency,
    pub(crate) durability: Durability,
    pub(crate) log_bytes: u64,
    pub(crate) delta_entries: usize,
    pub(crate) compaction_bytes_per_second: Option<u64>,
    /// Whether what is flushed is flushed by the thread whose commit made that necessary.
    pub(crate) is_inline: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verification: Verification::default(),
            residency: Residency::default(),
            durability: Durability::default(),
            log_bytes: Self::LOG_BYTES,
            delta_entries: Self::DELTA_ENTRIES,
            compaction_bytes_per_second: None,
            is_inline: false,
        }
    }
}

impl Options {
    /// Bytes of a log, unless another number is [set](Self::log_bytes): 16 MiB.
    pub const LOG_BYTES: u64 = 16 << 20;

    /// The least that a log may have.
    pub const LOG_BYTES_MIN: u64 = 4 << 10;

    /// Entries of the delta, unless another number is [set](Self::delta_entries).
    pub const DELTA_ENTRIES: usize = 200_000;

    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when checksums are compared.
    #[must_use]
    pub fn verification(mut self, verification: Verification) -> Self {
        self.verification = verification;
        self
    }

    /// Sets how segment files are kept in memory.
    #[must_use]
    pub fn residency(mut self, residency: Residency) -> Self {
        self.residency = residency;
        self
    }

    /// Sets when a commit is acknowledged, unless it says so itself.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how many bytes a log takes on disk; no less than
    /// [`LOG_BYTES_MIN`](Self::LOG_BYTES_MIN). When one is full, what is in it is flushed to
    /// a layer, or, where it is little for so long a log, written to a new one.
    ///
    /// A larger log is begun less often; opening a store takes longer.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes.max(Self::LOG_BYTES_MIN);
        self
    }

    /// Sets how many entries the delta has at the most, no less than 1, but for what a single
    /// batch adds: as many are flushed to a layer. A token that is changed again may count
    /// several times. They take 150 to 400 bytes of memory each, fewer the more there are;
    /// those that are flushed are kept beside the next ones until that is done.
    #[must_use]
    pub fn delta_entries(mut self, entries: usize) -> Self {
        self.delta_entries = entries.max(1);
        self
    }

    /// Sets how many bytes a second a [compaction](crate::Store::compact) writes at the most;
    /// as fast as it can, unless this is set. Flushes are not held up by it.
    #[must_use]
    pub fn compaction_bytes_per_second(mut self, bytes: u64) -> Self {
        self.compaction_bytes_per_second = Some(bytes.max(1));
        self
    }

    /// Sets that whatever is done in the background is done by the thread that makes it
    /// necessary, which waits for it: then the same calls lead to the same files.
    #[doc(hidden)]
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.is_inline = true;
        self
    }
}
