//! What goes wrong: a schedule drawn from a seed. Faults overlap; each is repaired after a while of its own.

use super::lulls::Lull;
use super::schedule::Fault;
use super::tally::Tally;
use super::world::{LOCK_TTL_MS, USUAL_LIES, World};
use crate::rng::Rng;
use crate::support::now_ms;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Time between two faults, ms.
const GAP: (i64, i64) = (10, 330);
/// How long something stays away, ms: mostly as long as a supervisor takes.
const AWAY: (i64, i64) = (0, 600);
/// The same for a server that sentinels watch: sometimes long enough for a failover.
const AWAY_WATCHED: (i64, i64) = (0, 2_500);
/// How long the loop rests when there is nothing to do.
const REST: Duration = Duration::from_millis(5);

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Engine(usize),
    /// By the number of the server.
    Redis(usize),
    Postgres,
    Broker,
}

pub(super) enum Repair {
    Start(Victim),
    Resume(Victim),
    /// By its place in [`World::links`].
    Link(usize),
    Honesty,
    /// The server of this number takes writes again.
    Writes(usize),
    /// The server of this number has room on its disk again.
    Disk(usize),
    Clock(&'static str),
    /// An engine that should have killed itself by now.
    CrashPoint(usize, &'static str),
}

/// The run of a schedule.
pub(super) struct Chaos<'w> {
    pub(super) world: &'w mut World,
    pub(super) rng: Rng,
    started: Instant,
    repairs: Vec<(Instant, Repair)>,
    pub(super) away: BTreeSet<Victim>,
    pub(super) bad_links: BTreeSet<usize>,
    /// Of the clocks that are wrong, how far.
    pub(super) wrong_clocks: BTreeMap<&'static str, i64>,
    pub(super) lull: Lull,
    pub(super) tally: &'w mut Tally,
}

impl<'w> Chaos<'w> {
    pub(super) fn new(world: &'w mut World, rng: Rng, tally: &'w mut Tally) -> Self {
        Self {
            world,
            rng,
            started: Instant::now(),
            repairs: Vec::new(),
            away: BTreeSet::new(),
            bad_links: BTreeSet::new(),
            wrong_clocks: BTreeMap::new(),
            // Somebody has to trade before a kill meets anything.
            lull: Lull::At(0),
            tally,
        }
    }

    /// Does harm until so many processes were killed; then everything is made whole.
    pub(super) fn run(mut self, kills: usize) {
        let enough = self.tally.kills() + kills;
        while self.tally.kills() < enough {
            let gentle = self.is_lull();
            let fault = Fault::draw(&mut self.rng, gentle);
            self.harm(fault);
            let gap = Duration::from_millis(self.rng.between(GAP.0, GAP.1).unsigned_abs());
            let next = Instant::now() + gap;
            while Instant::now() < next {
                self.repair(Instant::now());
                std::thread::sleep(REST);
            }
        }
        // Whatever is still bad is repaired now, however late it was to be.
        let never = Instant::now() + Duration::from_secs(3_600);
        self.repair(never);
        assert!(self.world.broker.set_lies(""), "the broker does not answer:\n{}", self.world.broker.log());
        self.note("everything is whole again");
    }

    /// Lets time pass until nothing waits for its repair.
    pub(super) fn mend(&mut self) {
        while !self.repairs.is_empty() {
            self.repair(Instant::now());
            std::thread::sleep(REST);
        }
    }

    fn harm(&mut self, fault: Fault) {
        let primary = Victim::Redis(self.world.store.primary());
        match fault {
            Fault::KillEngine => {
                let engine = self.draw_engine();
                self.kill(&[Victim::Engine(engine)]);
            }
            Fault::KillEngines => {
                let engines = self.draw_engines();
                self.kill(&engines);
            }
            Fault::KillRedis => self.kill(&[primary]),
            Fault::KillReplica => self.kill(&[Victim::Redis(1 - self.world.store.primary())]),
            Fault::FailOver => self.fail_over(),
            Fault::KillPostgres => self.kill(&[Victim::Postgres]),
            Fault::KillBroker => self.kill(&[Victim::Broker]),
            Fault::KillEnginesAndRedis => {
                let engines = self.draw_engines();
                self.kill(&[&engines[..], &[primary]].concat());
            }
            Fault::KillAll => {
                let engines = self.draw_engines();
                self.kill(&[&engines[..], &[primary, Victim::Postgres, Victim::Broker]].concat());
            }
            Fault::PauseEngine => {
                let engine = Victim::Engine(self.rng.below(self.world.seats.len()));
                self.pause(engine, (LOCK_TTL_MS + 200, 2 * LOCK_TTL_MS));
            }
            Fault::PauseRedis => self.pause(primary, (100, 2 * LOCK_TTL_MS)),
            Fault::Flush => self.flush(),
            Fault::RefuseWrites => self.refuse_writes(),
            Fault::FillDisk => self.fill_disk(),
            Fault::SetClock => self.set_clock(),
            Fault::CutLink => self.cut_link(),
            Fault::SpoilLink => self.spoil_link(),
            Fault::Lies => self.lie(),
            Fault::TimeEngine => {
                let engine = self.draw_engine();
                self.time_engine(engine);
            }
            Fault::TimeRedis => self.time_redis(),
            Fault::CrashPoint => {
                let engine = self.draw_engine();
                self.crash_point(engine);
            }
        }
    }

    pub(super) fn note(&mut self, what: &str) {
        let line = format!("{:9.3} s ({}) {what}", self.started.elapsed().as_secs_f64(), now_ms());
        println!("{line}");
        self.tally.story.push(line);
    }

    pub(super) fn later(&mut self, range: (i64, i64), repair: Repair) -> Duration {
        let after = Duration::from_millis(self.rng.between(range.0, range.1).unsigned_abs());
        self.repairs.push((Instant::now() + after, repair));
        after
    }

    /// All at the same instant, each back after a while of its own.
    fn kill(&mut self, victims: &[Victim]) {
        for &victim in victims {
            if !self.away.insert(victim) {
                continue;
            }
            match victim {
                Victim::Engine(engine) => self.kill_engine(engine),
                Victim::Redis(at) => self.world.store.server(at).kill_9(),
                Victim::Postgres => self.world.postgres.kill_9(),
                Victim::Broker => self.world.broker.kill_9(),
            }
            self.note_loss(victim);
            let name = self.world.name(victim);
            self.tally.killed(name);
            let after = self.later(self.away(victim), Repair::Start(victim));
            self.note(&format!("kill -9 {name} for {after:?}"));
        }
    }

    pub(super) fn kill_engine(&mut self, engine: usize) {
        self.note_holder(engine);
        self.world.seats[engine].engine.kill_9();
        self.world.market.interrupt(engine);
    }

    fn pause(&mut self, victim: Victim, range: (i64, i64)) {
        if !self.away.insert(victim) {
            return;
        }
        match victim {
            Victim::Engine(engine) => self.world.seats[engine].engine.pause(),
            Victim::Redis(at) => self.world.store.server(at).pause(),
            // Nobody pauses these.
            Victim::Postgres | Victim::Broker => {}
        }
        self.note_loss(victim);
        self.tally.pauses += 1;
        let after = self.later(range, Repair::Resume(victim));
        self.note(&format!("SIGSTOP {} for {after:?}", self.world.name(victim)));
    }

    /// A primary that is gone for a moment may take with it what its replica has not got.
    pub(super) fn note_loss(&mut self, victim: Victim) {
        if matches!(victim, Victim::Redis(_)) && self.world.store.may_fail_over() {
            self.tally.losses_ms.push(now_ms());
        }
    }

    /// Sentinels wait a while before they hold a server for dead.
    pub(super) fn away(&self, victim: Victim) -> (i64, i64) {
        if matches!(victim, Victim::Redis(_)) && self.world.store.may_fail_over() { AWAY_WATCHED } else { AWAY }
    }

    /// Repairs what is due.
    fn repair(&mut self, now: Instant) {
        self.world.supervise(&self.away);
        while let Some(place) = self.repairs.iter().position(|(due, _)| *due <= now) {
            match self.repairs.swap_remove(place).1 {
                Repair::Start(victim) => {
                    self.start(victim);
                    self.away.remove(&victim);
                }
                Repair::Resume(victim) => {
                    match victim {
                        Victim::Engine(engine) => self.world.seats[engine].engine.resume(),
                        Victim::Redis(at) => self.world.store.server(at).resume(),
                        Victim::Postgres | Victim::Broker => {}
                    }
                    self.away.remove(&victim);
                }
                Repair::Link(link) => self.repair_link(link),
                Repair::Writes(at) => self.take_writes(at),
                Repair::Disk(at) => self.free_disk(at),
                Repair::Clock(name) => self.set_clock_right(name),
                Repair::Honesty => drop(self.world.broker.set_lies(USUAL_LIES)),
                Repair::CrashPoint(engine, point) => self.end_of_crash_point(engine, point),
            }
        }
    }

    fn start(&mut self, victim: Victim) {
        match victim {
            Victim::Engine(engine) => self.world.seats[engine].engine.start_again(),
            Victim::Redis(at) => self.world.store.start_again(at),
            Victim::Postgres => self.world.postgres.start_again(),
            Victim::Broker => self.world.broker.start_again(),
        }
    }
}
