//! Merging sorted runs.
//!
//! A tree of losers: the leaves are the runs, and each inner node remembers which of the
//! two runs that met there came second; the one that came first went on to the node
//! above. When the winner of all gives its record, only the matches on its way up are
//! played again: one comparison for each doubling of the number of runs (D. E. Knuth,
//! *The Art of Computer Programming*, volume 3, section 5.4.1).

use std::cmp::Reverse;

use super::batches::Batches;
use super::runs::{Cursor, Run};
use crate::error::Result;
use crate::format::layout::BLOCK_RECORDS;
use crate::token::{Record, TokenId};

/// The records of several runs in the order of their tokens, each token once.
///
/// Of several with one token the newest is kept, and of several with the same time the
/// one of the first run.
pub(super) struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    /// The winner of all, then the loser of each inner node.
    tree: Vec<usize>,
    last: Option<TokenId>,
}

impl<'a> Merge<'a> {
    /// Begins to merge, with memory that has room for one record of each run at least.
    pub(super) fn new(runs: &'a [Run], memory: &'a mut [Record]) -> Result<Self> {
        let buffer_len = memory.len() / runs.len().max(1);
        let buffers = memory.chunks_mut(buffer_len.max(1));
        let cursors: Result<Vec<_>> =
            runs.iter().zip(buffers).map(|(run, buffer)| Cursor::new(run, buffer)).collect();
        let cursors = cursors?;
        let mut merge = Self { tree: vec![usize::MAX; cursors.len()], cursors, last: None };
        for run in 0..merge.cursors.len() {
            merge.play(run);
        }
        Ok(merge)
    }

    /// Lets a run play its way up, to where it loses or waits for an opponent.
    fn play(&mut self, run: usize) {
        let mut winner = run;
        // The parent of this leaf; the leaves come after the inner nodes.
        let mut node = (run + self.cursors.len()) >> 1;
        while node > 0 {
            let opponent = self.tree[node];
            if opponent == usize::MAX {
                // Only while the tree is filled: the first to come waits here.
                self.tree[node] = winner;
                return;
            }
            if self.is_before(opponent, winner) {
                self.tree[node] = winner;
                winner = opponent;
            }
            node /= 2;
        }
        self.tree[0] = winner;
    }

    /// Whether the record of one run comes before that of another. Runs that ended come
    /// last.
    #[inline]
    fn is_before(&self, a: usize, b: usize) -> bool {
        let order = |run: usize| {
            self.cursors[run].record().map(|record| (record.token, Reverse(record.time()), run))
        };
        match (order(a), order(b)) {
            (Some(a), Some(b)) => a < b,
            (a, _) => a.is_some(),
        }
    }

    /// The next record; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        loop {
            let Some(&winner) = self.tree.first() else { return Ok(None) };
            let Some(&record) = self.cursors[winner].record() else { return Ok(None) };
            self.cursors[winner].advance()?;
            self.play(winner);
            if self.last.replace(record.token) != Some(record.token) {
                return Ok(Some(record));
            }
        }
    }
}

/// Merges runs and gives the records in order, a block at a time.
pub(super) fn merge(
    runs: &[Run],
    memory: &mut [Record],
    batches: &mut Batches,
    visit: impl FnMut(&[Record]) -> Result<()> + Send,
) -> Result<()> {
    let mut merge = Merge::new(runs, memory)?;
    let next_block = |block: &mut Vec<Record>| {
        while block.len() < BLOCK_RECORDS
            && let Some(record) = merge.next()?
        {
            block.push(record);
        }
        Ok(())
    };
    batches.overlap(next_block, visit)
}
