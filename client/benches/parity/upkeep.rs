//! Calls of `strat_client::upkeep`.

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
