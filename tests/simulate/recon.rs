//! A model of the reconciliation: thin over the engine's own judgement, stage by stage as its requests go.

use crate::data::Fields;
use crate::effects::Fate;
use crate::engine::{Life, Work};
use crate::settle::{Claimed, Listed};
use crate::stream::Id;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use strat_core::{Code, Quantity, Strategy, StrategyKey};
use strat_engine::config::UnknownPolicy;
use strat_engine::executor::Job;
use strat_engine::reconcile::{Verdict, held_by_account, judge, to_load, to_replace};
use strat_engine::store::Row;

/// Time between two reconciliations, ms.
const INTERVAL_MS: i64 = 5_000;
/// How long the journal may take to reach Postgres, ms.
const DRAIN_MS: i64 = 10_000;
/// Pauses after failures, ms; the longest while the gate is open, and while it is shut.
const BACKOFF_MS: (i64, i64) = (200, 5_000);
const BACKOFF_SHUT_MS: i64 = 1_000;

/// What a user moves when a stop is moved.
const LEVELS: [&str; 2] = ["stop_loss", "take_profit"];

/// Where a reconciliation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Begin,
    Drain,
    Rows,
    Mend,
    Broker,
    /// One order of the broker's after another.
    Order,
    /// A lost attempt is reported dead.
    Dead,
    Close,
    Done,
}

/// A row and a hash that do not agree.
#[derive(Debug)]
struct Doubt {
    key: String,
    row: Option<Row>,
    hash: Option<Fields>,
    verdict: Verdict,
}

/// One reconciliation under way.
#[derive(Debug)]
pub(crate) struct Pass {
    stage: Stage,
    started_ms: i64,
    pub(crate) epoch: Arc<str>,
    hashes: BTreeMap<String, Fields>,
    /// What the strategies hold by account.
    pub(crate) held: BTreeMap<(String, String), Quantity>,
    target: Id,
    missing: Vec<Row>,
    doubts: Vec<Doubt>,
    flying: BTreeSet<String>,
    pub(crate) listed: VecDeque<Listed>,
    pub(crate) claimed: Option<Claimed>,
    pub(crate) jobs: Vec<Job>,
}

impl World {
    pub(crate) fn begin_pass(&mut self, engine: usize) {
        if std::mem::replace(&mut self.engines[engine].passing, true) {
            return;
        }
        let pass = Pass {
            stage: Stage::Begin,
            started_ms: self.now_ms,
            epoch: "".into(),
            hashes: BTreeMap::new(),
            held: BTreeMap::new(),
            target: (0, 0),
            missing: Vec::new(),
            doubts: Vec::new(),
            flying: BTreeSet::new(),
            listed: VecDeque::new(),
            claimed: None,
            jobs: Vec::new(),
        };
        self.send(engine, Work::Pass(Box::new(pass)));
    }

    pub(crate) fn passed(&mut self, engine: usize, pass: Option<Box<Pass>>) {
        let Some(mut pass) = pass else { return self.pass_failed(engine) };
        let jobs = std::mem::take(&mut pass.jobs);
        if pass.stage == Stage::Done {
            let epoch = Arc::clone(&pass.epoch);
            self.engines[engine].passing = false;
            self.engines[engine].pass_wait_ms = BACKOFF_MS.0;
            self.engines[engine].next_pass_ms = self.now_ms + INTERVAL_MS;
            self.engines[engine].reconciled_ms = pass.started_ms;
            if self.engines[engine].gate.as_ref() != Some(&epoch) {
                self.open_gate(engine, &epoch);
            }
            self.later(engine, 1, Life::Follow);
        } else if pass.stage == Stage::Drain && self.now_ms - pass.started_ms > DRAIN_MS {
            return self.pass_failed(engine);
        } else {
            self.send(engine, Work::Pass(pass));
        }
        for job in jobs {
            if !self.engines[engine].tracks_order(&job) {
                self.adopt(engine, job);
            }
        }
    }

    fn pass_failed(&mut self, engine: usize) {
        let own = &mut self.engines[engine];
        own.passing = false;
        let longest = if own.gate.is_some() { BACKOFF_MS.1 } else { BACKOFF_SHUT_MS };
        own.pass_wait_ms = (own.pass_wait_ms.max(BACKOFF_MS.0 / 2) * 2).min(longest);
        own.next_pass_ms = self.now_ms + own.pass_wait_ms;
        let wait = own.pass_wait_ms;
        self.later(engine, wait, Life::Pass);
    }

    /// One stage at the servers that it needs.
    pub(crate) fn pass_at_servers(&mut self, engine: usize, mut pass: Pass) -> (i64, Life) {
        let fate = self.fate_at_redis(engine, matches!(pass.stage, Stage::Mend));
        let postgres = matches!(pass.stage, Stage::Rows | Stage::Mend | Stage::Broker | Stage::Order);
        if fate != Fate::Answered || (postgres && self.postgres.down) {
            return (fate.ms(), Life::Passed(None));
        }
        let mut ms = 1;
        let done = match pass.stage {
            Stage::Begin => {
                pass.epoch = Arc::clone(&self.redis.epoch);
                pass.hashes = self.redis.data.hashes.iter().map(|(key, hash)| (key.clone(), filled(hash))).collect();
                pass.held = held_by_account(&pass.hashes);
                pass.target = self.redis.data.journal.last();
                let flying = pass.hashes.iter().filter(|(_, hash)| in_flight(hash)).map(|(key, _)| key.clone());
                pass.flying = flying.collect();
                Some(Stage::Drain)
            }
            Stage::Drain if self.redis.data.journal.drained_to(pass.target) => Some(Stage::Rows),
            Stage::Drain => {
                ms = 100;
                Some(Stage::Drain)
            }
            Stage::Rows => {
                self.compare(&mut pass);
                Some(Stage::Mend)
            }
            Stage::Mend => self.mend(engine, &mut pass).then_some(Stage::Broker),
            Stage::Broker => self.list_orders(engine, &mut pass).then_some(Stage::Order),
            Stage::Order => Some(self.settle_next(engine, &mut pass)),
            Stage::Dead => Some(self.tell_death(engine, &mut pass)),
            Stage::Close | Stage::Done => (pass.epoch == self.redis.epoch).then(|| {
                self.hand_over(&mut pass);
                Stage::Done
            }),
        };
        let Some(next) = done else { return (ms, Life::Passed(None)) };
        pass.stage = next;
        (ms, Life::Passed(Some(Box::new(pass))))
    }

    fn compare(&mut self, pass: &mut Pass) {
        let mut hashes = std::mem::take(&mut pass.hashes);
        for row in self.postgres.rows().into_iter().filter(|row| !row.removed) {
            let key = row.key();
            let hash = hashes.remove(&key);
            match judge(Some(&row), hash.as_ref(), UnknownPolicy::Adopt) {
                Verdict::Agree => {}
                Verdict::Load => pass.missing.push(row),
                verdict => pass.doubts.push(Doubt { key, row: Some(row), hash, verdict }),
            }
        }
        for (key, hash) in hashes {
            let row = self.postgres.row(&key);
            let verdict = judge(row.as_ref(), Some(&hash), UnknownPolicy::Adopt);
            pass.doubts.push(Doubt { key, row, hash: Some(hash), verdict });
        }
    }

    /// Acts on what was judged; false where the pass has to begin again.
    fn mend(&mut self, engine: usize, pass: &mut Pass) -> bool {
        if pass.epoch != self.redis.epoch {
            return false;
        }
        let open = self.engines[engine].gate.as_ref() == Some(&pass.epoch);
        for row in std::mem::take(&mut pass.missing) {
            let (key, now) = (row.key(), self.now_ms);
            if in_flight(&row.fields) {
                pass.flying.insert(key.clone());
            }
            let done = self.redis.restore(&key, &to_load(&row), (&pass.epoch, 0), now);
            self.say(|| format!("load {key} {:?}: {done:?}", row.fields));
            if done.is_err_and(|refusal| refusal.code == Code::Unsynced) {
                return false;
            }
        }
        for mut doubt in std::mem::take(&mut pass.doubts) {
            pass.flying.insert(doubt.key.clone());
            if !matches!(doubt.verdict, Verdict::HashWins(_)) {
                doubt.row = self.postgres.row(&doubt.key);
                let fresh = self.redis.data.hashes.get(&doubt.key).map(filled);
                let verdict = judge(doubt.row.as_ref(), fresh.as_ref(), UnknownPolicy::Adopt);
                if std::mem::discriminant(&verdict) != std::mem::discriminant(&doubt.verdict) {
                    if open || verdict == Verdict::Agree {
                        continue;
                    }
                    return false;
                }
                let version = |hash: &Option<Fields>| hash.as_ref().and_then(|hash| hash.get("version").cloned());
                if version(&fresh) != version(&doubt.hash) {
                    if open {
                        continue;
                    }
                    return false;
                }
                doubt.hash = fresh;
            }
            if !self.mend_one(doubt, &pass.epoch) {
                return false;
            }
        }
        true
    }

    fn mend_one(&mut self, doubt: Doubt, epoch: &str) -> bool {
        let Doubt { key, row, hash, verdict } = doubt;
        self.say(|| {
            let version = |fields: &Fields| fields.get("version").cloned().unwrap_or_default();
            let (kept, live) = (row.as_ref().map(|row| version(&row.fields)), hash.as_ref().map(version));
            format!("reconcile {key}: {verdict:?}, row {kept:?}, hash {live:?}")
        });
        match (verdict, row, hash) {
            (Verdict::RowWins(_), Some(row), Some(hash)) => {
                if !self.replace(&key, &row, &hash, epoch) {
                    return false;
                }
                if LEVELS.iter().any(|level| row.fields.get(*level) != hash.get(*level)) {
                    self.forget_fired(&key);
                }
            }
            (Verdict::HashWins(_), Some(row), Some(hash)) => {
                self.postgres.overwrite(&key, hash, Some(&row));
            }
            (Verdict::Adopt(_), _, Some(hash)) => drop(self.postgres.overwrite(&key, hash, None)),
            _ => {}
        }
        true
    }

    /// The row comes in the older hash's place, as `reconcile::mend` does it; false where it must not.
    fn replace(&mut self, key: &str, row: &Row, hash: &Fields, epoch: &str) -> bool {
        let version = hash.get("version").and_then(|version| version.parse().ok()).unwrap_or(0);
        self.redis.restore(key, &to_replace(row, hash), (epoch, version), self.now_ms).is_ok()
    }

    /// Orders in flight that no queue entry and no lock speaks for.
    fn hand_over(&mut self, pass: &mut Pass) {
        let data = &self.redis.data;
        let queued: BTreeSet<&str> =
            data.exits.iter().chain(data.orders.iter()).map(|(_, item)| item.key.as_str()).collect();
        for key in pass.flying.iter().filter(|key| !queued.contains(key.as_str())) {
            if self.redis.lock_of(key, self.now_ms).is_some() {
                continue;
            }
            let strategy = self.redis.strategy(key);
            pass.jobs.extend(strategy.and_then(|strategy| Job::adopt(key, &strategy)));
        }
    }
}

/// As a row has it: empty texts are left out.
pub(crate) fn filled(hash: &Fields) -> Fields {
    hash.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.clone(), text.clone())).collect()
}

fn in_flight(hash: &Fields) -> bool {
    let state = Strategy::read(|name| hash.get(name).map(String::as_bytes));
    state.is_ok_and(|state| state.pending.is_some() || state.working.is_some())
}

/// The user of a strategy's key.
pub(crate) fn user_of(key: &str) -> &str {
    StrategyKey::parse(key).map_or("", |key| key.user)
}
