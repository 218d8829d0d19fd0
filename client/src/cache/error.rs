//! Why there is no answer.

use crate::error::Error;
use std::error::Error as StdError;
use std::sync::Arc;

/// Why [`super::Cache::get_or_compute`] has no value. That Redis is away is none of the reasons.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Key, tag or life are not acceptable. Nothing was asked or computed.
    #[error(transparent)]
    Refused(Arc<Error>),
    /// The computation failed. All that waited for it get the same error.
    #[error("the computation of a cached value failed: {0}")]
    Compute(#[source] Arc<dyn StdError + Send + Sync>),
    /// No computation could begin in time, because as many as are allowed were under way; try again later.
    #[error("{limit} computations of cached values are under way and none ended in time; try again later")]
    Overloaded {
        /// [`super::CacheSettings::computes_max`].
        limit: usize,
    },
}

impl CacheError {
    /// The error of the computation, if it was one of this type.
    #[must_use]
    pub fn compute<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Self::Compute(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl From<Error> for CacheError {
    fn from(error: Error) -> Self {
        Self::Refused(Arc::new(error))
    }
}
