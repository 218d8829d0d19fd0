//! How long it takes after a kill until stops are watched again, measured while nothing else is wrong.

use super::faults::{Chaos, Victim};
use super::pulse::watches_stops;
use crate::support::until;
use std::time::{Duration, Instant};

/// Far above what is promised: a recovery that takes so long is a failure whatever the machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A world that does not calm down in this time is not measured.
const CALM_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Chaos<'_> {
    /// From the kill of an engine, which its supervisor starts again at once, until it watches stops.
    pub(super) fn time_engine(&mut self, engine: usize) {
        if !self.calm_down() {
            return;
        }
        self.kill_engine(engine);
        let started = Instant::now();
        self.world.seats[engine].engine.start_again();
        let name = self.world.seats[engine].name;
        self.tally.killed(name);
        self.wait_watched(&[engine], &format!("{name} watches stops again"));
        self.tally.engine_recovery.push(started.elapsed());
        self.note(&format!("kill -9 {name}, which watched stops again after {:?}", started.elapsed()));
    }

    /// From a Redis that is back until every engine watches stops.
    pub(super) fn time_redis(&mut self) {
        if !self.calm_down() {
            return;
        }
        let primary = self.world.store.primary();
        self.world.store.server(primary).kill_9();
        self.world.store.start_again(primary);
        let started = Instant::now();
        self.tally.killed(self.world.name(Victim::Redis(primary)));
        let all: Vec<_> = (0..self.world.seats.len()).collect();
        self.wait_watched(&all, "stops are watched after a restart of Redis");
        self.tally.redis_recovery.push(started.elapsed());
        self.note(&format!("kill -9 Redis, stops were watched {:?} after it was back", started.elapsed()));
    }

    /// Waits until nothing is wrong and everybody has noticed; whether that came.
    fn calm_down(&mut self) -> bool {
        self.mend();
        let started = Instant::now();
        while started.elapsed() < CALM_LIMIT {
            if self.world.seats.iter().all(|seat| watches_stops(seat.engine.port())) {
                return true;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        false
    }

    fn wait_watched(&mut self, engines: &[usize], what: &str) {
        until(what, LIMIT, || {
            engines.iter().all(|&engine| watches_stops(self.world.seats[engine].engine.port())).then_some(())
        });
    }
}
