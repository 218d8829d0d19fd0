//! What was done and what came of it, over all worlds of a run.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a deposed primary may go on for one, ms.
const DEMOTED_AFTER_MS: i64 = 30_000;

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Class of each, and whether with sentinels.
    worlds: Vec<String>,
    /// By the name of what was killed, or of the point at which it killed itself.
    kills_of: BTreeMap<&'static str, usize>,
    pub(super) pauses: usize,
    pub(super) flushes: usize,
    /// Times when Redis refused every write.
    pub(super) refusals: usize,
    /// Times when a write to the append-only file failed, and the server ended itself.
    pub(super) full_disks: usize,
    /// Clocks that were set.
    pub(super) clocks: usize,
    /// Hand-overs that were ordered; a primary that is away for long brings about others.
    pub(super) failovers: usize,
    /// Links cut or spoilt.
    pub(super) cuts: usize,
    pub(super) lies: usize,
    pub(super) strategies: usize,
    pub(super) orders: usize,
    pub(super) stops: usize,
    /// Stops that a tick crossed which an engine surely had.
    pub(super) crossed: usize,
    pub(super) alarmed: usize,
    /// Strategies that Redis lost before Postgres and the broker had heard of them.
    pub(super) never_traded: usize,
    /// When Redis was made to lose what it held, epoch ms.
    pub(super) losses_ms: Vec<i64>,
    /// From the start of a killed engine until it watches stops, from a Redis that is back until stops are watched,
    /// and from the end of all faults until all was quiet.
    pub(super) engine_recovery: Vec<Duration>,
    pub(super) redis_recovery: Vec<Duration>,
    pub(super) quiet_after: Vec<Duration>,
    /// What was done, line by line.
    pub(super) story: Vec<String>,
}

impl Tally {
    /// A world begins.
    pub(super) fn begin(&mut self, class: &str, sentinels: bool) {
        let with = if sentinels { " with sentinels" } else { "" };
        self.worlds.push(format!("{class}{with}"));
        println!("chaos: a world with a broker of class {class}{with}");
    }

    pub(super) fn killed(&mut self, name: &'static str) {
        *self.kills_of.entry(name).or_default() += 1;
    }

    /// All kills so far.
    pub(super) fn kills(&self) -> usize {
        self.kills_of.values().sum()
    }

    /// Whether what Redis acknowledged at this time may be lost. A primary that comes back beside the promoted one takes
    /// writes until the sentinels have noticed.
    pub(super) fn may_have_lost(&self, made_ms: Option<i64>, fails_over: bool) -> bool {
        let before = if fails_over { DEMOTED_AFTER_MS } else { 0 };
        made_ms.is_some_and(|made| self.losses_ms.iter().any(|&at_ms| at_ms + before >= made))
    }

    /// How many there were of each sort.
    fn worlds(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        self.worlds.iter().for_each(|world| *counts.entry(world).or_default() += 1);
        counts.iter().map(|(world, count)| format!("{world} {count}")).collect::<Vec<_>>().join(", ")
    }

    /// The summary, one line.
    pub(super) fn summary(&self, seed: u64) -> String {
        let kinds: Vec<_> = self.kills_of.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let slowest = |times: &[Duration]| {
            times.iter().max().map_or_else(|| "not measured".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
        };
        format!(
            "chaos seed {seed}: worlds {}; {} kills ({}), {} cuts, {} lies, {} pauses, {} flushes, {} times no writes, {} disks full, {} clocks set, {} failovers; {} strategies, {} orders, {} \
             ended by a level, {} stops proven crossed; 0 duplicates, 0 lost, {} alarmed, {} gone before they traded; slowest recovery: engine \
             {}, Redis {}, all quiet {}",
            self.worlds(),
            self.kills(),
            kinds.join(", "),
            self.cuts,
            self.lies,
            self.pauses,
            self.flushes,
            self.refusals,
            self.full_disks,
            self.clocks,
            self.failovers,
            self.strategies,
            self.orders,
            self.stops,
            self.crossed,
            self.alarmed,
            self.never_traded,
            slowest(&self.engine_recovery),
            slowest(&self.redis_recovery),
            slowest(&self.quiet_after),
        )
    }
}
