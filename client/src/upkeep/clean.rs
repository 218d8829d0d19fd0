//! What to put right, and how.

use super::pattern::{KeyPattern, Name};
use super::scan::Found;
use super::settings::UpkeepSettings;
use crate::error::{Error, Result};
use crate::reply::one_line;
use crate::shared::in_time;
use redis::Script;
use redis::aio::ConnectionLike;
use std::sync::LazyLock;
use std::time::Duration;

/// Keys named in an outcome.
const EXAMPLES_MAX: usize = 5;

/// A script, because looking and changing must be one step.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("clean.lua")));

/// Which end of a list holds what is newest, and stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListEnd {
    /// Written with `LPUSH`.
    Head,
    /// Written with `RPUSH`.
    Tail,
}

/// What is done to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanAction {
    /// Gives a key without a time to live this one.
    GiveTtl(Duration),
    /// Deletes a key without a time to live.
    Delete,
    /// Trims a stream to about this many entries, the newest: up to a node's worth more may stay
    /// (`stream-node-max-entries`, 100), and entries that a consumer group has not read go too.
    TrimStream {
        /// Entries that stay.
        max: u64,
    },
    /// Trims a list.
    TrimList {
        /// Members that stay.
        max: u64,
        /// Which.
        newest: ListEnd,
    },
}

/// What is done to the keys of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The family.
    pub pattern: KeyPattern,
    /// What is done.
    pub action: CleanAction,
}

/// What a rule did in one run, or would have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleOutcome {
    /// The rule.
    pub rule: Rule,
    /// Keys that got a time to live, were deleted or trimmed.
    pub keys: u64,
    /// Entries and members that trimming removed.
    pub entries: u64,
    /// Some of the keys, each in one line.
    pub examples: Vec<String>,
}

impl Rule {
    pub(super) fn check(&self) -> Result<()> {
        let usable = match self.action {
            CleanAction::GiveTtl(ttl) => (1..=u128::from(u32::MAX) * 1_000).contains(&ttl.as_millis()),
            CleanAction::Delete => true,
            CleanAction::TrimStream { max } | CleanAction::TrimList { max, .. } => {
                (1..=u64::from(u32::MAX)).contains(&max)
            }
        };
        let pattern = &self.pattern;
        let complain =
            || Error::Config(format!("upkeep: the rule for {pattern} has a bound of 0 or one beyond reason"));
        usable.then_some(()).ok_or_else(complain)
    }

    /// How much there is to do to this key: 1 for its life, entries to trim; 0 for nothing.
    fn due(&self, found: &Found) -> u64 {
        let over = |kind: &str, max: u64| match found.length {
            Some(length) if found.kind == kind => length.saturating_sub(max),
            _ => 0,
        };
        match self.action {
            CleanAction::GiveTtl(_) | CleanAction::Delete => found.ttl.is_none().into(),
            CleanAction::TrimStream { max } => over("stream", max),
            CleanAction::TrimList { max, .. } => over("list", max),
        }
    }

    /// For the script.
    fn verb(&self) -> (&'static str, u64) {
        match self.action {
            CleanAction::GiveTtl(ttl) => ("ttl", u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            CleanAction::Delete => ("delete", 0),
            CleanAction::TrimStream { max } => ("stream", max),
            CleanAction::TrimList { max, newest: ListEnd::Head } => ("head", max),
            CleanAction::TrimList { max, newest: ListEnd::Tail } => ("tail", max),
        }
    }
}

/// A key to which something is to be done.
struct Job<'a> {
    /// Position of the rule.
    rule: usize,
    key: &'a str,
    /// As far as is known.
    amount: u64,
}

/// The first rule that fits, unless the key is permanent or another partition's.
fn job<'a>(found: &'a Found, settings: &UpkeepSettings) -> Option<Job<'a>> {
    let key = std::str::from_utf8(&found.key).ok()?;
    let name = Name::of(key, &settings.prefix).filter(|name| name.own && !settings.is_permanent(name.text))?;
    let rule = settings.rules.iter().position(|rule| rule.pattern.matches(name.text))?;
    let amount = settings.rules[rule].due(found);
    (amount > 0).then_some(Job { rule, key, amount })
}

/// Puts a slice right, or says what it would do.
pub(super) async fn clean<C: ConnectionLike>(
    connection: &mut C,
    slice: &[Found],
    settings: &UpkeepSettings,
    outcomes: &mut [RuleOutcome],
) -> Result<()> {
    let jobs: Vec<_> = slice.iter().filter_map(|found| job(found, settings)).collect();
    // As in the scan: a step may have given more.
    for jobs in jobs.chunks(settings.slice) {
        let done = if settings.dry_run {
            jobs.iter().map(|job| job.amount).collect()
        } else {
            carry_out(connection, jobs, settings).await?
        };
        for (job, done) in jobs.iter().zip(done).filter(|(_, done)| *done > 0) {
            let outcome = &mut outcomes[job.rule];
            outcome.keys += 1;
            if matches!(outcome.rule.action, CleanAction::TrimStream { .. } | CleanAction::TrimList { .. }) {
                outcome.entries += done;
            }
            if outcome.examples.len() < EXAMPLES_MAX {
                outcome.examples.push(one_line(job.key));
            }
        }
    }
    Ok(())
}

/// What was done to each.
async fn carry_out<C: ConnectionLike>(
    connection: &mut C,
    jobs: &[Job<'_>],
    settings: &UpkeepSettings,
) -> Result<Vec<u64>> {
    let mut call = SCRIPT.arg(settings.trim_per_slice);
    for job in jobs {
        let (verb, number) = settings.rules[job.rule].verb();
        call.key(job.key).arg(verb).arg(number);
    }
    in_time(settings.timeout, call.invoke_async(connection)).await
}

/// Nothing done yet.
pub(super) fn outcomes(rules: &[Rule]) -> Vec<RuleOutcome> {
    let outcome = |rule: &Rule| RuleOutcome { rule: rule.clone(), keys: 0, entries: 0, examples: Vec::new() };
    rules.iter().map(outcome).collect()
}
