//! Machines' effects reach Redis and the broker, or do not.

use crate::data::Health;
use crate::engine::{Errand, Life, Work};
use crate::redis::parse_id;
use crate::world::{Event, World};
use std::time::Duration;
use strat_client::{LockToken, ReportRequest};
use strat_core::lock::Lock;
use strat_core::planted::{self, Mistake};
use strat_core::{Code, Leg, Side, Strategy, StrategyKey};
use strat_engine::broker::{BrokerError, OrderRequest};
use strat_engine::executor::machine::{
    Claim, Effect, Found, Holder, Input, ReportFailure, Seen, Verdict, intent_of, is_restored,
};

/// How long an answer of Redis or the broker is waited for, ms.
const TIMEOUT_MS: i64 = 1_000;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It never arrived.
    Lost,
    /// It was carried out, and nobody heard of it.
    Mute,
    /// The server is known to be away: it was not carried out.
    Away,
}

impl Fate {
    pub(crate) const fn happens(self) -> bool {
        matches!(self, Self::Answered | Self::Mute)
    }

    /// How long it takes until the sender knows.
    pub(crate) const fn ms(self) -> i64 {
        match self {
            Self::Answered => 1,
            Self::Away => 20,
            Self::Lost | Self::Mute => TIMEOUT_MS,
        }
    }
}

impl World {
    /// What becomes of a request to Redis.
    pub(crate) fn fate_at_redis(&mut self, engine: usize, writes: bool) -> Fate {
        let health = self.redis.health;
        if health == Health::Down || (health == Health::Refusing && writes) {
            return Fate::Away;
        }
        let odds = self.plan.odds.redis_lost;
        match (self.engines[engine].cut, self.random.chance(odds)) {
            (false, false) => Fate::Answered,
            _ if self.random.chance(50) => Fate::Lost,
            (true, _) => Fate::Lost,
            _ => Fate::Mute,
        }
    }

    pub(crate) fn arrive(&mut self, engine: usize, life: u64, work: Work) {
        // The sender died: what it had sent may have been on the wire, or not.
        let orphan = self.engines[engine].life != life;
        if orphan && self.random.chance(50) {
            return;
        }
        let (ms, answer) = match work {
            Work::Machine(errand) => {
                let run = errand.run;
                let (ms, input) = self.carry_out(engine, *errand);
                (ms, Life::Done(run, Box::new(input)))
            }
            Work::Read => self.read_at_redis(engine),
            Work::TakeOver => self.claim_at_redis(engine),
            Work::Keep(locks) => self.keep_at_redis(engine, locks),
            Work::Due(now_ms) => {
                if self.fate_at_redis(engine, true).happens() {
                    self.redis.due(now_ms, self.now_ms);
                }
                return;
            }
            Work::Epoch => {
                if self.fate_at_redis(engine, false) != Fate::Answered {
                    return;
                }
                (1, Life::Epoch(self.redis.epoch.clone()))
            }
            Work::Prices(batch) => self.prices_at_redis(engine, batch),
            Work::Follow(from) => self.journal_at_redis(engine, from),
            Work::Sync(batch) => self.sync_at_servers(engine, life, batch),
            Work::Pass(pass) => self.pass_at_servers(engine, *pass),
        };
        if orphan {
            return;
        }
        if self.random.below(1_000) < self.plan.odds.crash_thousandth {
            let ms = 50 + self.draw(1_500);
            return self.crash(engine, ms);
        }
        let ms = ms + self.draw(3);
        self.at(self.now_ms + ms, Event::Engine(engine, life, answer));
    }

    fn carry_out(&mut self, engine: usize, errand: Errand) -> (i64, Input) {
        match errand.effect {
            Effect::Submit(ref request) => {
                let (id, run) = (request.client_order_id.clone(), errand.run);
                let answer = self.at_broker(errand);
                if let Input::Submitted(outcome) = &answer.1 {
                    self.engines[engine].sent.answered(&id, run, outcome);
                }
                answer
            }
            Effect::Lookup(ref name) => {
                let (id, run, asked_ms) = (name.client_order_id.clone(), errand.run, errand.sent_ms);
                let answer = self.at_broker(errand);
                let own = self.engines[engine].is_order_of(run, &id).then_some(run);
                let denied = matches!(answer.1, Input::Looked(Ok(None)));
                if denied && self.engines[engine].sent.may_hide(&id, own, asked_ms, self.rules()) {
                    let error = BrokerError::Unknown("another job of this engine sent it a moment ago".to_owned());
                    return (answer.0, Input::Looked(Err(error)));
                }
                answer
            }
            Effect::Cancel(_) => self.at_broker(errand),
            _ => self.at_redis(engine, errand),
        }
    }

    fn at_redis(&mut self, engine: usize, errand: Errand) -> (i64, Input) {
        let writes = !matches!(errand.effect, Effect::Inspect | Effect::Read);
        let fate = self.fate_at_redis(engine, writes);
        let done = fate.happens().then(|| self.perform(engine, &errand));
        let input = match (done, fate) {
            (Some(input), Fate::Answered) => input,
            _ => trouble(&errand.effect),
        };
        (fate.ms(), input)
    }

    fn perform(&mut self, engine: usize, errand: &Errand) -> Input {
        let Errand { key, action, token, ack, effect, .. } = errand;
        let (now, token) = (self.now_ms, token.as_ref().map(LockToken::as_str).unwrap_or_default());
        match effect {
            Effect::Claim { epoch } => {
                let owner = format!("e{engine}");
                let lock = self.redis.lock(key, (*action, &owner), crate::engine::TTL_MS, epoch, now);
                Input::Claimed(match lock {
                    Ok(Some(token)) => Claim::Token(LockToken::new(token)),
                    Ok(None) => Claim::Held,
                    Err(refusal) => match refusal.code {
                        Code::Busy | Code::NoStrat => Claim::NotWanted(refusal.to_string()),
                        Code::Unsynced => {
                            self.shut_gate(engine, epoch);
                            Claim::Unsynced
                        }
                        _ => Claim::Broken(refusal.to_string()),
                    },
                })
            }
            Effect::Inspect => {
                let lock = self.redis.lock_of(key, now).and_then(|value| Lock::parse(value.as_bytes()));
                let own = lock.is_some_and(|lock| lock.owner == format!("e{engine}"));
                let action = lock.map(|lock| lock.action);
                Input::Inspected(Some(Holder { action, own, strategy: self.redis.strategy(key) }))
            }
            Effect::Read => Input::Read(match self.redis.strategy(key) {
                None => Found::Gone,
                Some(strategy) => Found::Strategy(Box::new(Seen {
                    grace_ms: self.plan.grace_ms,
                    entries_wait: self.entries_wait(errand, &strategy),
                    risk: no_limits(key, &strategy),
                    sent_alone: self.sent_alone(engine, key, &strategy),
                    restored: is_restored(&strategy, self.engines[engine].began_ms(), self.rules().skew_ms),
                    strategy,
                })),
            }),
            Effect::Extend => Input::Extended(Ok(self.redis.extend(key, token, crate::engine::TTL_MS, now))),
            Effect::Report(report) => Input::Reported(self.report(errand, token, report)),
            Effect::Release => {
                self.redis.unlock(key, token, now);
                Input::Released
            }
            Effect::Discard { .. } => {
                if let Some((stream, id)) = ack.as_ref().and_then(|(stream, id)| Some((stream, parse_id(id)?))) {
                    self.redis.acknowledge(stream, id);
                }
                Input::Discarded(Ok(()))
            }
            other => unreachable!("{other:?} is not for Redis"),
        }
    }

    /// An entry waits until Postgres knows of its cycle: what it has not heard of would be lost with Redis.
    fn entries_wait(&self, errand: &Errand, strategy: &Strategy) -> Option<i64> {
        if errand.action.leg(strategy.side) == Leg::Exit {
            return None;
        }
        let behind = || self.postgres.row(&errand.key).is_none_or(|row| row.cycle().cast_unsigned() < errand.cycle);
        (self.postgres.down || behind()).then_some(if self.postgres.down { 500 } else { 20 })
    }

    fn report(&mut self, errand: &Errand, token: &str, report: &ReportRequest) -> Result<(), ReportFailure> {
        let done = self.redis.report(&errand.key, token, report, self.now_ms);
        match done {
            Ok(()) => {
                self.declared(report);
                Ok(())
            }
            Err(refusal) if matches!(refusal.code, Code::BadToken | Code::NoStrat) => {
                Err(ReportFailure::NotOurs(refusal.to_string()))
            }
            Err(refusal) => Err(ReportFailure::Trouble(refusal.to_string())),
        }
    }

    /// What becomes of a request to the broker.
    pub(crate) fn fate_at_broker(&mut self) -> Fate {
        if self.broker.down {
            return Fate::Away;
        }
        let odds = self.plan.odds.broker_lost;
        match self.random.chance(odds) {
            false => Fate::Answered,
            true if self.random.chance(50) => Fate::Lost,
            true => Fate::Mute,
        }
    }

    fn at_broker(&mut self, errand: Errand) -> (i64, Input) {
        let fate = self.fate_at_broker();
        // A server error comes at once, a time-out late; neither says whether the request was carried out.
        let ms = if fate == Fate::Answered || self.random.chance(40) { 1 } else { fate.ms() };
        let unknown = || match fate {
            Fate::Away => BrokerError::Unavailable("away".to_owned()),
            _ => BrokerError::Unknown("no answer".to_owned()),
        };
        let now = self.now_ms;
        match &errand.effect {
            Effect::Submit(request) => {
                self.own(&errand, request);
                self.submit(&errand, request, fate, ms)
            }
            Effect::Lookup(name) => {
                if fate == Fate::Answered && !self.healed && self.random.chance(3) {
                    let error = BrokerError::RateLimited { retry_after: Duration::from_millis(300) };
                    return (1, Input::Looked(Err(error)));
                }
                let answer = self.broker.lookup(&name.client_order_id, now, &mut self.random);
                (ms, Input::Looked(if fate == Fate::Answered { Ok(answer) } else { Err(unknown()) }))
            }
            Effect::Cancel(name) => {
                if let Some(order) = self.broker.cancel(name).filter(|_| fate.happens()) {
                    let ms = 1 + self.draw(200);
                    self.at(now + ms, Event::Cancel(order));
                }
                (ms, Input::Canceled(if fate == Fate::Answered { Ok(()) } else { Err(unknown()) }))
            }
            other => unreachable!("{other:?} is not for the broker"),
        }
    }

    fn submit(&mut self, errand: &Errand, request: &OrderRequest, fate: Fate, ms: i64) -> (i64, Input) {
        if planted::is(Mistake::AckBeforeReport)
            && let Some((stream, id)) = errand.ack.as_ref().and_then(|(stream, id)| Some((stream, parse_id(id)?)))
        {
            self.redis.acknowledge(stream, id);
        }
        let sent = (errand.sent_ms, errand.token.is_none());
        let late = self.plan.odds.broker_late;
        if fate != Fate::Away && self.random.chance(late) {
            let settle = self.plan.settle_ms.unsigned_abs();
            let at = errand.sent_ms + self.draw(settle.max(1));
            self.at(at.max(self.now_ms), Event::Late(Box::new(request.clone()), sent));
            let error = BrokerError::Unknown("no answer in time".to_owned());
            return (if self.random.chance(30) { 1 } else { TIMEOUT_MS }, Input::Submitted(Err(error)));
        }
        if fate == Fate::Answered && !self.healed && self.random.chance(3) {
            let error = BrokerError::RateLimited { retry_after: Duration::from_millis(300) };
            return (1, Input::Submitted(Err(error)));
        }
        let answer = fate.happens().then(|| self.place(request, sent));
        let outcome = match (answer, fate) {
            (Some(answer), Fate::Answered) => answer,
            (_, Fate::Away) => Err(BrokerError::Unavailable("away".to_owned())),
            _ => Err(BrokerError::Unknown("no answer in time".to_owned())),
        };
        (ms, Input::Submitted(outcome))
    }

    /// Remembers whose order an id is.
    fn own(&mut self, errand: &Errand, request: &OrderRequest) {
        let short = self.plan.wishes.iter().any(|wish| wish.key == errand.key && wish.short);
        let leg = errand.action.leg(if short { Side::Short } else { Side::Long });
        let owner = (errand.key.clone(), errand.cycle, leg);
        self.broker.owners.insert(request.client_order_id.clone(), owner);
        if leg == Leg::Exit {
            self.watch.exit_sent(&errand.key, errand.cycle);
        }
    }
}

/// The simulator limits nothing.
fn no_limits(key: &str, strategy: &Strategy) -> Verdict {
    let key = StrategyKey::parse(key);
    key.map_or_else(Verdict::default, |key| Verdict::without_limits(intent_of(key, strategy, strategy.cycle)))
}

/// What a machine hears where Redis gave no usable answer.
fn trouble(effect: &Effect) -> Input {
    let why = || "Redis gave no answer".to_owned();
    match effect {
        Effect::Claim { .. } => Input::Claimed(Claim::Trouble(why())),
        Effect::Inspect => Input::Inspected(None),
        Effect::Read => Input::Read(Found::Trouble(why())),
        Effect::Extend => Input::Extended(Err(why())),
        Effect::Report(_) => Input::Reported(Err(ReportFailure::Trouble(why()))),
        Effect::Discard { .. } => Input::Discarded(Err(why())),
        _ => Input::Released,
    }
}
