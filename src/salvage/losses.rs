//! What was lost of a segment, run by run.
//!
//! Records that lie side by side and were lost for one reason are one loss. What is said of
//! their tokens comes from the neighbours, so the end of it is known only when the next
//! record that is good comes.

use std::ops::{Bound, Range};

use super::report::{Loss, LossReason};
use crate::token::TokenId;

/// What was lost of a segment so far.
pub(super) struct Losses {
    file: String,
    may_revert: bool,
    all: Vec<Loss>,
    /// How many of them are known to the end.
    closed: usize,
    /// Where the tokens after the last good record begin.
    start: Bound<TokenId>,
    /// Where the tokens of the segment end.
    end: Bound<TokenId>,
}

impl Losses {
    /// Nothing yet, of a segment with these smallest and largest tokens.
    pub(super) fn new(file: String, may_revert: bool, min: TokenId, max: TokenId) -> Self {
        let (start, end) = (Bound::Included(min), Bound::Included(max));
        Self { file, may_revert, all: Vec::new(), closed: 0, start, end }
    }

    /// The next record is good.
    #[inline]
    pub(super) fn pass(&mut self, token: &TokenId) {
        self.close(Bound::Excluded(*token));
        self.start = Bound::Excluded(*token);
    }

    /// The next record, of which nothing is known, lies in these bytes and is lost.
    pub(super) fn push(&mut self, bytes: Range<u64>, reason: LossReason) {
        match self.all[self.closed..].last_mut() {
            Some(last) if last.reason == reason => {
                last.bytes.end = last.bytes.end.max(bytes.end);
                last.records += 1;
            }
            _ => {
                let loss = self.loss("records", bytes, (self.start, self.end), reason);
                self.all.push(loss);
            }
        }
    }

    /// The next record is lost, though it is known to be of this token.
    pub(super) fn push_token(
        &mut self,
        token: TokenId,
        part: &'static str,
        bytes: Range<u64>,
        reason: LossReason,
    ) {
        let token = Bound::Included(token);
        match self.all[..self.closed].last_mut() {
            Some(last)
                if (last.part, last.reason) == (part, reason) && last.bytes.end >= bytes.start =>
            {
                last.bytes.end = last.bytes.end.max(bytes.end);
                last.records += 1;
                last.keys.1 = token;
            }
            _ => {
                let loss = self.loss(part, bytes, (token, token), reason);
                self.all.insert(self.closed, loss);
                self.closed += 1;
            }
        }
    }

    /// All of it, once the last record came.
    pub(super) fn finish(&mut self) -> Vec<Loss> {
        self.close(self.end);
        self.closed = 0;
        std::mem::take(&mut self.all)
    }

    #[inline]
    fn close(&mut self, end: Bound<TokenId>) {
        if self.closed < self.all.len() {
            self.all[self.closed..].iter_mut().for_each(|loss| loss.keys.1 = end);
            self.closed = self.all.len();
        }
    }

    fn loss(
        &self,
        part: &'static str,
        bytes: Range<u64>,
        keys: (Bound<TokenId>, Bound<TokenId>),
        reason: LossReason,
    ) -> Loss {
        let (file, may_revert) = (self.file.clone(), self.may_revert);
        Loss {
            file,
            part,
            bytes,
            records: 1,
            is_exact: true,
            keys,
            frames: None,
            may_revert,
            reason,
        }
    }
}
