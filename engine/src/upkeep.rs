//! Redis kept in order on a schedule: keys without an end, big keys, memory that runs short.
//!
//! One engine does it: the one that reads the journal. While Postgres is away nobody reads it and every engine does, for that is
//! when the journal grows; a second one finds nothing left to put right, and says a second time that memory is short.

use crate::clock::Clock;
use crate::config::UpkeepConfig;
use crate::failure::OrFail as _;
use crate::metrics;
use crate::sync::{SyncHandle, SyncStatus};
use color_eyre::Result;
use std::sync::Arc;
use std::time::Duration;
use strat_client::Connection;
use strat_client::upkeep::{
    CleanAction, KeyPattern, KeyReport, Level, MemoryEvent, MemoryThresholds, Rule, RuleOutcome, RunReport, Upkeep,
    UpkeepSettings,
};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Keys looked at in one run: a few hundred steps of about a hundred, each a few round trips.
const SLICES_PER_RUN: usize = 200;
/// How often an engine looks whether the work is its own now.
const DUTY_EVERY: Duration = Duration::from_secs(1);
/// Families and keys named in one line of the log.
const NAMED_MAX: usize = 5;

/// Families that have an end by their own rules. One without was written by another hand, and gets what its family has at most.
const ENDS: [(&str, u64); 14] = [
    ("price:*", 10),
    ("tick:*", 300),
    ("trades:*", 3_600),
    ("market:**", 300),
    ("symbol:info:*", 3_600),
    ("history:*", 86_400),
    ("candle:**", 3_600),
    ("cache:**", 3_600),
    ("calm:**", 3_600),
    ("session:**", 86_400),
    ("subscriptions:**", 60),
    ("token_blacklist:*", 86_400),
    ("reset:**", 900),
    ("ratelimit:**", 86_400),
];

/// Looks after the keys of Redis.
pub struct Keeper {
    upkeep: Upkeep<Connection>,
    sync: SyncHandle,
    clock: Arc<dyn Clock>,
    every: Duration,
}

impl Keeper {
    /// Over a connection of its own.
    ///
    /// # Errors
    /// Where the thresholds cannot be.
    pub fn new(connection: Connection, config: &UpkeepConfig, sync: SyncHandle, clock: Arc<dyn Clock>) -> Result<Self> {
        let upkeep = Upkeep::new(connection, settings(config)?).or_fail(
            "the settings of the upkeep cannot be",
            "set upkeep.memory_warn_percent above 5 and below upkeep.memory_critical_percent",
        )?;
        Ok(Self { upkeep, sync, clock, every: config.interval })
    }

    /// Works until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut duty = Duty::new(self.every, self.sync, cancel.clone());
        while duty.comes().await {
            // Cancel-safe: the next start begins anew.
            match cancel.run_until_cancelled(self.upkeep.run_once(self.clock.now_ms())).await {
                None => return,
                Some(Ok(report)) => tell(&report),
                Some(Err(error)) => {
                    metrics::upkeep_failed();
                    tracing::warn!(%error, "Redis could not be looked after; the next run tries again");
                }
            }
        }
    }
}

/// Work that one engine of several does again and again.
pub(crate) struct Duty {
    ticks: Interval,
    sync: SyncHandle,
    cancel: CancellationToken,
}

impl Duty {
    pub(crate) fn new(every: Duration, sync: SyncHandle, cancel: CancellationToken) -> Self {
        let mut ticks = interval(every.max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, sync, cancel }
    }

    /// Waits until there is work for this engine; `false`: it ends.
    pub(crate) async fn comes(&mut self) -> bool {
        while self.cancel.run_until_cancelled(self.ticks.tick()).await.is_some() {
            if is_on_duty(&self.sync.status()) {
                return true;
            }
            self.ticks.reset_after(self.ticks.period().min(DUTY_EVERY));
        }
        false
    }
}

/// Whether this engine is the one, or nobody is.
const fn is_on_duty(sync: &SyncStatus) -> bool {
    sync.leader || sync.trouble.is_some()
}

fn settings(config: &UpkeepConfig) -> Result<UpkeepSettings> {
    let rule = |(pattern, seconds): (&str, u64)| {
        let action = CleanAction::GiveTtl(Duration::from_secs(seconds));
        Ok(Rule { pattern: KeyPattern::new(pattern)?, action })
    };
    let rules: strat_client::Result<Vec<Rule>> = ENDS.into_iter().map(rule).collect();
    Ok(UpkeepSettings {
        slices_per_run: SLICES_PER_RUN,
        rules: rules?,
        dry_run: !config.clean,
        memory: MemoryThresholds {
            used_warn: config.memory_warn_percent,
            used_critical: config.memory_critical_percent,
            limit_bytes: (config.memory_limit_mb > 0).then_some(config.memory_limit_mb << 20),
            ..MemoryThresholds::default()
        },
        ..UpkeepSettings::default()
    })
}

/// Logs and counts what a run has shown.
fn tell(report: &RunReport) {
    metrics::memory(&report.memory);
    report.events.iter().for_each(tell_event);
    report.cleaned.iter().filter(|outcome| outcome.keys > 0).for_each(|outcome| tell_cleaned(outcome, report.dry_run));
    if let Some(error) = &report.stopped_by {
        metrics::upkeep_failed();
        tracing::warn!(%error, "the look at Redis' keys was cut short; the next run goes on from there");
    }
    if let Some(keys) = &report.finished {
        metrics::upkeep_finished(keys);
        tell_keys(keys);
    }
}

fn tell_event(event: &MemoryEvent) {
    let (kind, from, to, value) = (event.kind.as_str(), event.from.as_str(), event.to.as_str(), event.value);
    metrics::memory_level(event);
    match event.to {
        Level::Normal => tracing::info!(kind, from, to, value, "Redis' memory is in order again"),
        Level::Warn => {
            tracing::warn!(kind, from, to, value, "REDIS' MEMORY RUNS SHORT: see what grows, or give it more");
        }
        Level::Critical => tracing::error!(
            kind,
            from,
            to,
            value,
            "REDIS' MEMORY IS NEARLY USED UP: writes will be refused and stops not be fired; act now"
        ),
    }
}

fn tell_cleaned(outcome: &RuleOutcome, dry_run: bool) {
    let (family, keys, example) = (outcome.rule.pattern.as_str(), outcome.keys, outcome.examples.first());
    if dry_run {
        tracing::info!(family, keys, example, "keys without an end that upkeep.clean would give one");
    } else {
        metrics::cleaned(keys);
        tracing::info!(family, keys, example, "keys without an end were given one");
    }
}

fn tell_keys(report: &KeyReport) {
    for group in report.without_ttl.iter().take(NAMED_MAX) {
        let (family, keys, bytes, example) = (&group.family, group.keys, group.bytes, &group.example);
        tracing::info!(family, keys, bytes, example, "keys without an end, of which nobody knows why");
    }
    for big in report.big.iter().take(NAMED_MAX) {
        let (key, kind, bytes, length) = (&big.key, &big.kind, big.bytes, big.length);
        tracing::info!(key, kind, bytes, length, "a big key");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_permanent_has_no_rule_and_every_rule_can_be() {
        let config = UpkeepConfig::default();
        let settings = settings(&config).unwrap();
        assert!(settings.dry_run, "nothing is changed unless somebody says so");
        for rule in &settings.rules {
            assert!(!settings.permanent.contains(&rule.pattern), "{}", rule.pattern);
        }
        for kept in ["user:a:strategy:s", "user:a:alert:x", "journal", "queue:exits", "drain:IBM", "trail:IBM"] {
            assert!(!settings.rules.iter().any(|rule| rule.pattern.matches(kept)), "{kept}");
        }
    }

    #[test]
    fn one_engine_is_on_duty_and_all_are_while_nobody_reads_the_journal() {
        let status = SyncStatus::default();
        assert!(!is_on_duty(&status));
        assert!(is_on_duty(&SyncStatus { leader: true, ..status.clone() }));
        assert!(is_on_duty(&SyncStatus { trouble: Some("away".to_owned()), ..status }));
    }
}
