//! Calls of `strat_client::candles`.

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
