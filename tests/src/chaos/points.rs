//! Engines that kill themselves at a named point of their work, where a kill from outside would rarely meet them.

use super::faults::{Chaos, Repair, Victim};
use crate::servers::{Engine, paths};
use std::collections::BTreeSet;
use std::path::Path;

/// A place where an engine that was built for it kills itself (`STRAT_CRASH_AT`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrashPoint {
    pub(crate) name: &'static str,
    pub(crate) stage: Stage,
}

/// How far an order is when its engine dies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its level is crossed, and only the engine knows. Entries, which have no level, do not come by here, nor at the next.
    Crossed,
    /// It is enqueued. Whoever waits for it may have been handed it, and may even have sent it.
    Enqueued,
    /// An engine has it in hand, and the broker has not heard of it.
    InHand,
    /// The broker has it.
    Sent,
    /// What became of it stands in Postgres, and Redis does not know that.
    Recorded,
    /// It is at the broker, its engine is dead, and the next one has just begun.
    Recovery,
}

const fn at(stage: Stage, name: &'static str) -> CrashPoint {
    CrashPoint { name, stage }
}

/// All of them, in the order in which an order comes by.
pub(crate) const CRASH_POINTS: &[CrashPoint] = &[
    // Before the tick is durable.
    at(Stage::Crossed, "tick_taken"),
    // Published, not received.
    at(Stage::Enqueued, "fired"),
    // Triggered, unclaimed.
    at(Stage::InHand, "delivered"),
    // Claimed, not sent.
    at(Stage::InHand, "locked"),
    at(Stage::InHand, "before_submit"),
    // Sent, outcome unknown; accepted, not reported.
    at(Stage::Sent, "after_submit"),
    at(Stage::Sent, "before_report"),
    // Reported, Postgres behind.
    at(Stage::Sent, "after_report"),
    // In Postgres, and Redis does not know.
    at(Stage::Recorded, "committed"),
    // Strategies are back in Redis, the broker has not been asked.
    at(Stage::Recovery, "in_recovery"),
    // The gate is about to open.
    at(Stage::Recovery, "recovered"),
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
        let point = self.rng.pick(CRASH_POINTS).name;
        self.kill_engine(engine);
        self.tally.killed(self.world.seats[engine].name);
        self.world.seats[engine].engine.start_again_with("STRAT_CRASH_AT", point);
        let patience = if self.has_holder() { CRASH_OF_HOLDER } else { CRASH };
        let after = self.later(patience, Repair::CrashPoint(engine, point));
        self.note(&format!("kill -9 {}, which is to crash when {point} in {after:?}", self.world.seats[engine].name));
    }

    /// Back to an engine that lives; one that never came to its point is killed from outside.
    pub(super) fn end_of_crash_point(&mut self, engine: usize, point: &'static str) {
        if died_at(&mut self.world.seats[engine].engine, point) {
            self.tally.killed(point);
        } else {
            self.tally.killed(self.world.seats[engine].name);
        }
        self.kill_engine(engine);
        self.world.seats[engine].engine.start_again();
        self.away.remove(&Victim::Engine(engine));
    }
}

/// Whether an engine has ended by itself, and at this point.
pub(crate) fn died_at(engine: &mut Engine, point: &str) -> bool {
    let says_so = |line: &str| line.contains("crash point") && line.contains(point);
    engine.has_ended() && engine.log().lines().rev().take(LAST_WORDS).any(says_so)
}

/// Whether the engine under test was built with these points: what users run has none.
pub(crate) fn are_built_in() -> bool {
    let look = std::process::Command::new("grep").args(["-q", "STRAT_CRASH_AT"]).arg(paths::engine()).status();
    look.unwrap().success()
}

/// Names of points in a file or folder of sources.
fn named_in(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().flat_map(|entry| named_in(&entry.unwrap().path())).collect();
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let calls = text.split("crash_point(\"").skip(1);
    calls.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn every_crash_point_of_the_engine_is_listed() {
    let listed: BTreeSet<String> = CRASH_POINTS.iter().map(|point| point.name.to_owned()).collect();
    assert_eq!(named_in(&paths::root().join("engine/src")), listed);
}
