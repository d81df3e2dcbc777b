//! Doing two things at once.

use crate::error::Result;

/// Makes things one after the other, until there are no more, and uses each while the
/// next one is made.
pub(super) fn overlap<T: Send>(
    mut make: impl FnMut() -> Result<Option<T>> + Send,
    mut consume: impl FnMut(T) -> Result<()> + Send,
) -> Result<()> {
    let mut ready = make()?;
    while let Some(item) = ready {
        let (next, consumed) = rayon::join(&mut make, || consume(item));
        consumed?;
        ready = next?;
    }
    Ok(())
}
