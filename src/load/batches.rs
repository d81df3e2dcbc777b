//! Making the next records while the ones before are used.

use crate::error::Result;
use crate::token::Record;

/// Records that are being made, and those that are being used.
///
/// The same two are filled again and again in all of a load: memory that one thread gives
/// back is not always what another one gets.
#[derive(Default)]
pub(super) struct Batches {
    ready: Vec<Record>,
    next: Vec<Record>,
}

impl Batches {
    /// Makes batches one after the other, until one stays empty, and uses each while the
    /// next one is made.
    pub(super) fn overlap(
        &mut self,
        mut make: impl FnMut(&mut Vec<Record>) -> Result<()> + Send,
        mut consume: impl FnMut(&[Record]) -> Result<()> + Send,
    ) -> Result<()> {
        let Self { ready, next } = self;
        ready.clear();
        make(ready)?;
        while !ready.is_empty() {
            next.clear();
            let (made, consumed) = rayon::join(|| make(next), || consume(ready));
            consumed?;
            made?;
            std::mem::swap(ready, next);
        }
        Ok(())
    }
}
