//! A shared value that is compared by identity.

use std::ops::Deref;
use std::sync::Arc;

/// A shared value that is compared by identity.
#[derive(Debug)]
pub(crate) struct ByIdentity<T: ?Sized>(Arc<T>);

impl<T> ByIdentity<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: ?Sized> Clone for ByIdentity<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for ByIdentity<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> PartialEq for ByIdentity<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: ?Sized> Eq for ByIdentity<T> {}
