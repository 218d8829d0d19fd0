//! Calls of `strat_client::limits`.

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
