//! Checking that every kind is true of what lies below.
//!
//! Checksums cannot tell, nor can a layer alone: an entry that says to be fresh is wrong only
//! where a layer below has its token. Numbers of tokens are sums of kinds, so one that lies
//! makes them wrong.

use super::merge::{check_oldest, check_order, for_each_token};
use super::part::Part;
use super::ranges::TokenRange;
use crate::error::{Damage, Error, Result};
use crate::segment::layer::Layer;

/// Of the kinds that lie, no more than this are listed.
const DAMAGES_MAX: usize = 1_000;

/// Tokens from one word about progress to the next.
const PROGRESS_TOKENS: u64 = 1 << 16;

/// All kinds of parts, newest first, that are not true of the parts below them and of the
/// base, up to a thousand. `on_progress` is called again and again, and may stop it.
///
/// Takes one pass over the parts, and a lookup in the base for each of their tokens.
pub(crate) fn check_kinds(
    base: &Layer,
    parts: &[Part],
    on_progress: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    let mut note = |checked: Result<()>| match checked {
        Err(Error::Damaged(damage)) => {
            if damages.len() < DAMAGES_MAX {
                damages.push(*damage);
            }
            Ok(())
        }
        checked => checked,
    };
    let mut tokens = 0u64;
    for_each_token(parts, &TokenRange::all(None, parts).parts, &mut |entries| {
        if tokens.is_multiple_of(PROGRESS_TOKENS) {
            on_progress()?;
        }
        tokens += 1;
        for pair in entries.windows(2) {
            note(check_order(parts, &pair[0], &pair[1]))?;
        }
        let Some(oldest) = entries.last() else { return Ok(()) };
        let token = &oldest.record.token;
        let is_in_base = base.find(token)?.record.is_some();
        note(check_oldest(parts, oldest.kind, token, oldest.source, is_in_base))
    })?;
    Ok(damages)
}
