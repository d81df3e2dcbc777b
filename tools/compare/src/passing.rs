//! Backends for tests that do one thing in a way of their own, and pass on all else.

/// What every backend has, passed on to the one in a field.
macro_rules! pass_on {
    ($tokens:tt) => {
        fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
            self.$tokens.lookup(token)
        }

        $crate::passing::pass_on_all_but_lookups!($tokens);
    };
}

/// The same but for lookups.
macro_rules! pass_on_all_but_lookups {
    ($tokens:tt) => {
        fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
            self.$tokens.set(token, value)
        }

        fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
            self.$tokens.range_after(start)
        }

        fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
            self.$tokens.range_before(end)
        }

        fn len(&self) -> Result<u64> {
            TokenStorageBackend::len(&self.$tokens)
        }
    };
}

pub(crate) use {pass_on, pass_on_all_but_lookups};
