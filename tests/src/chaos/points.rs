//! Engines that kill themselves at a named point of their work, where a kill from outside would rarely meet them.

use super::faults::{Chaos, Repair, Victim};

/// Where an engine that was built for it kills itself (`STRAT_CRASH_AT`).
const CRASH_POINTS: &[&str] = &[
    // Before the tick is durable.
    "tick_taken",
    // Published, not received.
    "fired",
    // Triggered, unclaimed.
    "delivered",
    // Claimed, not sent.
    "locked",
    "before_submit",
    // Sent, outcome unknown; accepted, not reported.
    "after_submit",
    "before_report",
    // Reported, Postgres behind.
    "after_report",
    // In Postgres, and Redis does not know.
    "committed",
    // Strategies are back in Redis, the broker has not been asked.
    "in_recovery",
    // The gate is about to open.
    "recovered",
];

/// Among so many lines at the end of its log an engine names the point: its tasks write side by side.
const LAST_WORDS: usize = 20;
/// How long an engine has to come to its point, ms.
const CRASH: (i64, i64) = (1_000, 3_000);
/// The same where it first has to become the one that trades.
const CRASH_OF_HOLDER: (i64, i64) = (14_000, 20_000);

impl Chaos<'_> {
    /// Starts an engine that is to kill itself at a point of its work.
    pub(super) fn crash_point(&mut self, engine: usize) {
        if !self.away.insert(Victim::Engine(engine)) {
            return;
        }
        let point = *self.rng.pick(CRASH_POINTS);
        self.kill_engine(engine);
        self.tally.killed(self.world.seats[engine].name);
        self.world.seats[engine].engine.start_again_with("STRAT_CRASH_AT", point);
        let patience = if self.has_holder() { CRASH_OF_HOLDER } else { CRASH };
        let after = self.later(patience, Repair::CrashPoint(engine, point));
        self.note(&format!("kill -9 {}, which is to crash when {point} in {after:?}", self.world.seats[engine].name));
    }

    /// Back to an engine that lives; one that never came to its point is killed from outside.
    pub(super) fn end_of_crash_point(&mut self, engine: usize, point: &'static str) {
        let seat = &mut self.world.seats[engine].engine;
        let says_so = |line: &str| line.contains("crash point") && line.contains(point);
        let came_there = seat.has_ended() && seat.log().lines().rev().take(LAST_WORDS).any(says_so);
        if came_there {
            self.tally.killed(point);
        } else {
            self.tally.killed(self.world.seats[engine].name);
        }
        self.kill_engine(engine);
        self.world.seats[engine].engine.start_again();
        self.away.remove(&Victim::Engine(engine));
    }
}
