//! What readers see.

use std::sync::{Arc, PoisonError, RwLock};

use crate::snapshot::view::View;

/// The view that a snapshot takes, replaced as a whole.
pub(super) struct Published {
    view: RwLock<Arc<View>>,
}

impl Published {
    pub(super) fn new(view: View) -> Self {
        Self { view: RwLock::new(Arc::new(view)) }
    }

    pub(super) fn get(&self) -> Arc<View> {
        // A thread that panicked while it held the lock left the old view or the new.
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the view. The one before is best freed where nobody waits for it.
    pub(super) fn set(&self, view: View) -> Arc<View> {
        let view = Arc::new(view);
        let mut current = self.view.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, view)
    }
}
