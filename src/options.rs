//! How to open a store.

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
/// [`verification`](Self::verification), as whoever writes it sees to the rest.
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
