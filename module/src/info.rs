//! What `INFO strat` says.

use crate::{settings, state};
use strat_core::book::Stats;

/// Names and values, in order. The server puts `strat_` before each name.
pub(crate) fn fields() -> Vec<(&'static str, String)> {
    state::with(|state| {
        let mut total = Stats::default();
        let mut bytes = 0;
        for book in state.books.values() {
            let stats = book.stats();
            total.strategies += stats.strategies;
            total.running += stats.running;
            total.triggers += stats.triggers;
            total.trailing += stats.trailing;
            total.times += stats.times;
            total.invalid += stats.invalid;
            total.symbols += stats.symbols;
            total.alerts += stats.alerts;
            bytes += book.heap_bytes();
        }
        let counters = state.counters;
        vec![
            ("version", settings::VERSION.to_owned()),
            ("epoch", state.epoch.clone()),
            (
                "state",
                (if state.poisoned {
                    "rebuilding"
                } else if state.loading {
                    "loading"
                } else {
                    "ready"
                })
                .to_owned(),
            ),
            ("strategies", total.strategies.to_string()),
            ("running", total.running.to_string()),
            ("symbols", total.symbols.to_string()),
            ("armed", total.triggers.to_string()),
            ("trailing", total.trailing.to_string()),
            ("times", total.times.to_string()),
            ("alerts", total.alerts.to_string()),
            ("unparseable", total.invalid.to_string()),
            ("index_bytes", bytes.to_string()),
            ("rebuild_microseconds", counters.rebuild_us.to_string()),
            ("mismatches", counters.last_mismatches.to_string()),
            ("ticks", counters.ticks.to_string()),
            ("fired", counters.fired.to_string()),
            ("alerts_fired", counters.alerts_fired.to_string()),
            ("stale", counters.stale.to_string()),
            ("drains", counters.drains.to_string()),
            ("draining", state.books.values().map(|book| book.stormy().count()).sum::<usize>().to_string()),
            ("mended_members", counters.mended.to_string()),
            ("repairs", (state.repairs.len() + usize::from(state.repair_in_hand.is_some())).to_string()),
            ("write_errors", counters.write_errors.to_string()),
            ("panics", counters.panics.to_string()),
        ]
    })
}
