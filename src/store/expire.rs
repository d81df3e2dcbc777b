//! Expiry: removing what is older than a time.
//!
//! Tokens are looked for in snapshots and removed by commits, each removal under the
//! condition that the token is still that old: one that is written again meanwhile stays. So
//! others read and commit as ever, and counts are exact at every moment. Room is
//! regained when layers are merged.

use std::ops::Bound;

use super::Store;
use crate::batch::{Batch, Condition};
use crate::error::{Damage, Result};
use crate::options::Durability;
use crate::progress::{OnProgress, Phase, Progress};
use crate::token::{Record, TokenId};

/// Removals of a commit at the most: others wait for no more than these.
pub(crate) const BATCH_REMOVALS: usize = 1_024;

/// Tokens that are looked at in one snapshot. If there was but one for all, it would keep all
/// the files that are replaced meanwhile.
const SNAPSHOT_TOKENS: usize = 1 << 16;

/// What [`Store::expire`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Expired {
    /// Tokens looked at.
    pub examined: u64,
    /// Tokens removed.
    pub removed: u64,
    /// Whether all tokens were looked at: `progress` did not stop it.
    pub is_complete: bool,
}

impl Store {
    /// Removes all tokens whose time is below `before`, and waits until that is durable.
    ///
    /// It is done by many small commits, so others read and commit meanwhile, and see some of
    /// it done and some not. A token that they write again with a newer time stays; one that
    /// they write with an older time may stay. `progress` is told of tokens looked at; if it
    /// says to stop, those that were removed by then are removed all the same.
    ///
    /// Takes time in proportion to the store, and a commit's share for each token removed.
    /// The room that they took is free when all layers were [made one](Self::compact), which
    /// the store does by itself when removals have become many.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Self::commit) and [`sync`](Self::sync). What was removed before stays
    /// removed, but for [`Error::OutcomeUnknown`](crate::Error), after which some of it may be
    /// there again when the store is opened anew. After [`Error::NoSpace`](crate::Error) the
    /// same call goes on with what is left, once there is room for the removals: room that
    /// removed tokens took is free only when layers are made one, which takes room itself.
    ///
    /// ```
    /// use ringstore::{Batch, BlockTime, Options, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens");
    /// let store = Store::create(&path, &Options::new())?;
    /// let mut batch = Batch::new();
    /// for time in 0..100 {
    ///     batch.put(TokenId::from(time), BlockTime::new(1.into(), time));
    /// }
    /// store.commit(&batch)?;
    /// let expired = store.expire(70, &|_| std::ops::ControlFlow::Continue(()))?;
    /// assert_eq!((expired.examined, expired.removed), (100, 70));
    /// assert_eq!(store.snapshot().len(), 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire(&self, before: u64, progress: OnProgress<'_>) -> Result<Expired> {
        let writer = self.writer("expire tokens of")?;
        let (batch, done) = (Batch::new(), Expired::default());
        let mut run = Expiry { store: self, before, batch, done, last: None };
        loop {
            let total = Some(self.snapshot().len().max(run.done.examined));
            let done = run.done.examined;
            if progress(Progress { phase: Phase::Expiring, done, total }).is_break() {
                break;
            }
            if !run.expire_some()? {
                run.done.is_complete = true;
                break;
            }
        }
        run.commit()?;
        writer.sync()?;
        Ok(run.done)
    }
}

/// An expiry under way.
struct Expiry<'a> {
    store: &'a Store,
    before: u64,
    batch: Batch,
    done: Expired,
    /// The last token that was looked at.
    last: Option<TokenId>,
}

impl Expiry<'_> {
    /// Looks at the next tokens, and says whether there were any.
    fn expire_some(&mut self) -> Result<bool> {
        let snapshot = self.store.snapshot();
        let mut rest = SNAPSHOT_TOKENS;
        let start = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        for records in snapshot.slices((start, Bound::Unbounded)) {
            let records = records?;
            let records = &records[..records.len().min(rest)];
            records.iter().try_for_each(|record| self.look_at(record))?;
            rest -= records.len();
            if rest == 0 {
                break;
            }
        }
        Ok(rest < SNAPSHOT_TOKENS)
    }

    fn look_at(&mut self, record: &Record) -> Result<()> {
        // What does not ascend might be looked at again and again.
        if let Some(last) = self.last.filter(|last| *last >= record.token) {
            let path = self.store.path();
            return Err(Damage::out_of_order(path, "records", &last, &record.token).into());
        }
        self.last = Some(record.token);
        self.done.examined += 1;
        if record.time() < self.before {
            self.batch.remove_if(record.token, Condition::Older(self.before));
        }
        if self.batch.len() == BATCH_REMOVALS { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<()> {
        // They are synced together in the end.
        let committed = self.store.commit_with(&self.batch, Durability::Buffered)?;
        self.done.removed += committed.applied.iter().filter(|applied| **applied).count() as u64;
        self.batch.clear();
        Ok(())
    }
}
