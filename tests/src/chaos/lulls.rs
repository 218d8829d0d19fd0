//! Times without kills, where one engine trades at a time.
//!
//! With such a broker nobody trades for some 14 s after the engine that did was killed: its lease has to run out, and what
//! it sent last must show. Were it killed all the time, a kill would never meet anything. So it is mostly spared while
//! everything else is killed around it, and once it was killed there is a lull until the next one trades.

use super::faults::{Chaos, Victim};
use super::ledger;
use super::world::Class;
use std::time::{Duration, Instant};

/// Percent of the kills drawn for the engine that trades, and of those of several processes with it, that meet it.
const MEETS_HOLDER: usize = 12;
/// So many kills come between its end and the lull: they meet whoever takes over.
const STORM_GOES_ON: (i64, i64) = (0, 4);
/// A lull ends once the broker has taken so many orders more, or after so long.
const ORDERS: usize = 10;
const LIMIT: Duration = Duration::from_secs(16);

/// When nothing is killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lull {
    /// From when so many were killed.
    At(usize),
    /// Until the broker has taken so many orders, or until then.
    Now { orders: usize, until: Instant },
    /// Not before the engine that trades is killed.
    None,
}

impl Chaos<'_> {
    /// Whether one engine trades at a time.
    pub(super) fn has_holder(&self) -> bool {
        self.world.class != Class::Dedupes
    }

    /// The engine that trades, if only one does.
    fn holder(&self) -> Option<usize> {
        let trades = |log: &str| log.rfind(" engine trades").is_some_and(|at| log[..at].ends_with("this"));
        self.has_holder().then(|| self.world.seats.iter().position(|seat| trades(&seat.engine.log())))?
    }

    /// An engine that is to be killed.
    pub(super) fn draw_engine(&mut self) -> usize {
        let drawn = self.rng.below(self.world.seats.len());
        let spared = self.has_holder() && !self.rng.chance(MEETS_HOLDER) && self.holder() == Some(drawn);
        if spared { 1 - drawn } else { drawn }
    }

    /// All engines, if they are to be killed together.
    pub(super) fn draw_engines(&mut self) -> Vec<Victim> {
        let spared = self.has_holder() && !self.rng.chance(MEETS_HOLDER);
        if spared { Vec::new() } else { (0..self.world.seats.len()).map(Victim::Engine).collect() }
    }

    /// Has a lull come soon if it is the engine that trades which is killed now.
    pub(super) fn note_holder(&mut self, engine: usize) {
        if matches!(self.lull, Lull::None) && self.holder() == Some(engine) {
            let more = self.rng.between(STORM_GOES_ON.0, STORM_GOES_ON.1).unsigned_abs() as usize;
            self.lull = Lull::At(self.tally.kills() + 1 + more);
        }
    }

    /// Whether nothing is killed just now. Links are cut, clocks are set, and the broker lies all the same.
    pub(super) fn is_lull(&mut self) -> bool {
        let ledger = self.world.broker.ledger();
        match self.lull {
            Lull::At(kills) if self.has_holder() && self.tally.kills() >= kills => {
                let orders = ledger::orders(&ledger) + ORDERS;
                self.lull = Lull::Now { orders, until: Instant::now() + LIMIT };
                self.note("a lull begins");
            }
            Lull::Now { orders, until } if Instant::now() >= until || ledger::orders(&ledger) >= orders => {
                self.lull = Lull::None;
                self.note("the lull is over");
            }
            _ => {}
        }
        matches!(self.lull, Lull::Now { .. })
    }
}
