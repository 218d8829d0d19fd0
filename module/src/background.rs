//! What happens between commands: mending the sets, draining storms, keeping what trailing stops follow, rebuilding after
//! an internal error.
//! Each turn is bounded to a few milliseconds, and clients are served in between.

use crate::{keyspace, repair, server, state, trail, trigger};
use redis_module::Context;
use std::time::{Duration, Instant};

/// Longest turn. What it wrote is synced to disk before the next one where `appendfsync` is `always`: shorter turns would
/// spend a storm on waiting for the disk, longer ones would have other clients wait.
const TURN: Duration = Duration::from_millis(2);
/// Wait before a storm is tried again of which nothing could be fired, ms.
const REFUSED_RETRY_MS: i64 = 100;
/// Wait before the next look while a data set is loaded, ms.
const LOADING_RETRY_MS: i64 = 10;
/// Wait before the next look while clients are paused, ms.
const PAUSED_RETRY_MS: i64 = 10;

/// One turn. Starts the timer again while there is work left.
pub(crate) fn run(ctx: &Context) {
    if state::with(|state| state.poisoned) {
        if server::is_loading(ctx) {
            // Not before everything is there.
            server::start_timer(ctx, LOADING_RETRY_MS);
            return;
        }
        keyspace::rebuild(ctx);
    }
    if state::with(|state| state.loading) {
        return;
    }
    if !server::is_primary(ctx) {
        // A replica gets mends and drains from its primary; promotion starts them anew.
        state::with(|state| {
            state.mends.clear();
            state.repairs.clear();
            state.repair_in_hand = None;
        });
        return;
    }
    if server::writes_are_paused() {
        server::start_timer(ctx, PAUSED_RETRY_MS);
        return;
    }
    let deadline = Instant::now() + TURN;
    let mut more = true;
    while more && Instant::now() < deadline {
        let mended = repair::mend_some(ctx);
        let repaired = repair::compare_slice(ctx);
        let drained = trigger::drain_slice(ctx);
        let trailed = trail::begin_some(ctx) || trail::release_some();
        more = mended || repaired || drained || trailed;
    }
    if more {
        // Not at once: the event loop serves every client that is waiting before it looks at the timers again.
        server::start_timer(ctx, 0);
    } else if state::with(|state| state.books.values().any(|book| book.stormy().next().is_some())) {
        server::start_timer(ctx, REFUSED_RETRY_MS);
    }
}
