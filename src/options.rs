//! How to open a store.

/// When the checksums of a file's chunks are compared with its bytes.
///
/// Headers, footers, the manifest and every count, key and length in them are
/// checked at every open, whatever the level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Verification {
    /// Everything when the store is opened, on all cores: opening takes as long as
    /// reading the files.
    OnOpen,
    /// A chunk when it is read for the first time since opening. Damage in what is
    /// never read is never seen.
    #[default]
    FirstTouch,
    /// Never. Damage may give wrong answers, though never undefined behaviour.
    Never,
}

/// Options for opening a store.
///
/// ```
/// use ringstore::{Options, Verification};
/// let options = Options::new().verification(Verification::OnOpen);
/// # let _ = options;
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    pub(crate) verification: Verification,
}

impl Options {
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
}
