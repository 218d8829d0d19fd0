//! Calls of `strat_client::resilience`.

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
