//! Calls of `strat_client::sessions`.

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
