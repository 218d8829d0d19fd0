//! The market listener and the guard: prices go to Redis, and are checked by the engine itself while Redis is away.

use crate::effects::Fate;
use crate::engine::{Life, Name, Work};
use crate::faults::Limits;
use crate::invariants::Seer;
use crate::stream::Id;
use crate::world::{World, price_text};
use std::collections::BTreeMap;
use std::sync::Arc;
use strat_core::order::OrderIdentity;
use strat_core::{Leg, Strategy, StrategyKey};
use strat_engine::executor::machine::{OrderMachine, SentAlone};
use strat_engine::executor::{Job, Unclaimed};
use strat_engine::guard::shadow::Shadow;

/// Redis may leave a price unanswered for so long, ms.
const NOTICE_MS: i64 = 150;
/// Exits that wait are sent after so long without Redis, ms.
const PATIENCE_MS: i64 = 1_000;

/// Prices of a symbol since the last one that Redis took, in hundredths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    low: i64,
    high: i64,
    last: i64,
}

impl Range {
    fn prices(self) -> impl Iterator<Item = i64> {
        [self.low, self.high].into_iter().filter(move |price| *price != self.last).chain([self.last])
    }
}

type Batch = BTreeMap<&'static str, Range>;

#[derive(Debug, Default)]
pub(crate) struct Guarding {
    pub(crate) shadow: Shadow,
    pub(crate) fresh: bool,
    pub(crate) filled: Option<Arc<str>>,
    pub(crate) stood: Id,
    pub(crate) following: bool,
    /// When it last had everything that the journal had.
    pub(crate) heard_ms: i64,
    pub(crate) asked_ms: i64,
    away: Option<i64>,
    acting: bool,
    held_back: Vec<Unclaimed>,
    waiting: Batch,
    /// The batch on its way, and its number.
    sending: Option<Batch>,
    sent: u64,
}

impl Guarding {
    pub(crate) const fn is_away(&self) -> bool {
        self.away.is_some()
    }
}

impl World {
    pub(crate) fn knows_exit(&self, engine: usize, key: &str, cycle: u64, attempt: u64) -> bool {
        let own = &self.engines[engine];
        exit_id(key, cycle, attempt).is_some_and(|id| own.alone.contains(&id) || own.found.contains_key(&id))
    }

    pub(crate) fn sent_alone(&self, engine: usize, key: &str, strategy: &Strategy) -> SentAlone {
        SentAlone::of(strategy.attempt, |attempt| self.knows_exit(engine, key, strategy.cycle, attempt))
    }

    pub(crate) fn hear_price(&mut self, engine: usize, symbol: &'static str, price: i64) {
        let guard = &mut self.engines[engine].guard;
        let known = guard.waiting.entry(symbol).or_insert(Range { low: price, high: price, last: price });
        *known = Range { low: known.low.min(price), high: known.high.max(price), last: price };
        if guard.acting {
            self.check_alone(engine, symbol, [price]);
        }
        self.send_prices(engine);
    }

    fn send_prices(&mut self, engine: usize) {
        let guard = &mut self.engines[engine].guard;
        if guard.sending.is_some() || guard.waiting.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut guard.waiting);
        guard.sending = Some(batch.clone());
        guard.sent += 1;
        let number = guard.sent;
        self.later(engine, NOTICE_MS, Life::Unanswered(number));
        self.send(engine, Work::Prices(batch));
    }

    pub(crate) fn prices_at_redis(&mut self, engine: usize, batch: Batch) -> (i64, Life) {
        let fate = self.fate_at_redis(engine, true);
        let taken = fate == Fate::Answered;
        if fate.happens() {
            for (symbol, range) in &batch {
                for cents in range.prices() {
                    let text = price_text(cents);
                    let fired = self.redis.slcheck(symbol, (text.parse().unwrap_or_default(), &text), self.now_ms);
                    fired.iter().for_each(|(key, cycle)| self.watch.owe_exit(key, *cycle, Seer::Redis));
                }
            }
        }
        let epoch = self.redis.epoch.clone();
        (fate.ms(), Life::Prices(batch, taken.then_some(epoch)))
    }

    pub(crate) fn prices_unanswered(&mut self, engine: usize, number: u64) {
        let guard = &self.engines[engine].guard;
        if guard.sending.is_some() && guard.sent == number {
            self.lost_redis(engine);
        }
    }

    pub(crate) fn prices_answered(&mut self, engine: usize, batch: Batch, epoch: Option<Arc<str>>) {
        match epoch {
            Some(epoch) => {
                if !self.redis_took(engine, &epoch) {
                    self.lost_redis(engine);
                }
                self.engines[engine].guard.sending = None;
            }
            None => {
                self.lost_redis(engine);
                let guard = &mut self.engines[engine].guard;
                guard.sending = None;
                for (symbol, older) in batch {
                    let known = guard.waiting.entry(symbol).or_insert(older);
                    (known.low, known.high) = (known.low.min(older.low), known.high.max(older.high));
                }
            }
        }
        // What waits is sent with the next price or beat.
    }

    /// Redis took prices in this epoch. Whether it watches every stop.
    fn redis_took(&mut self, engine: usize, epoch: &Arc<str>) -> bool {
        let own = &mut self.engines[engine];
        if own.gate.as_ref() != Some(epoch) {
            return !own.guard.fresh;
        }
        if own.guard.away.take().is_some() {
            own.guard.acting = false;
            own.guard.held_back.clear();
            own.guard.shadow.forget_marks();
            self.say(|| format!("e{engine}: redis watches again"));
        }
        true
    }

    /// Redis does not watch: what is on its way and what waits is checked here, and every tick from now on.
    fn lost_redis(&mut self, engine: usize) {
        let now = self.now_ms;
        let guard = &mut self.engines[engine].guard;
        if guard.away.is_some() {
            return;
        }
        guard.away = Some(now);
        if Limits::get().unguarded {
            return;
        }
        guard.acting = true;
        let unseen: Vec<_> = guard.sending.iter().flatten().chain(&guard.waiting).map(|(s, r)| (*s, *r)).collect();
        self.say(|| format!("e{engine}: redis is away, the engine watches"));
        for (symbol, range) in unseen {
            self.check_alone(engine, symbol, range.prices());
        }
    }

    fn check_alone(&mut self, engine: usize, symbol: &str, prices: impl IntoIterator<Item = i64>) {
        let clock = self.clock(engine);
        let mut fired = Vec::new();
        for cents in prices {
            let text = price_text(cents);
            let price = text.parse().unwrap_or_default();
            self.engines[engine].guard.shadow.cross(symbol, (price, &text), clock, &mut fired);
        }
        fired.iter().for_each(|exit| self.watch.owe_exit(&exit.key, exit.strategy.cycle, Seer::Engine(engine)));
        self.hand_over_alone(engine, fired);
    }

    fn hand_over_alone(&mut self, engine: usize, exits: Vec<Unclaimed>) {
        for exit in exits {
            let Unclaimed { key, action, strategy, ts_ms, .. } = exit.clone();
            let Some(id) = exit_id(&key, strategy.cycle, strategy.attempt) else { continue };
            let own = &self.engines[engine];
            if own.alone.contains(&id) || own.ended_orders.contains(&id) {
                continue;
            }
            if !self.may_act(engine) {
                self.alarm_of(&key, strategy.cycle, "EXIT NOT SENT: another engine may act");
                self.engines[engine].guard.held_back.push(exit);
                continue;
            }
            self.engines[engine].alone.insert(id.clone());
            // Another job of this engine may have sent it a moment ago, or whoever the strategy says is at it.
            let works = strategy.working.is_some_and(|working| working.leg(strategy.side) == Leg::Exit);
            let doubtful = works || self.engines[engine].runs.values().any(|run| run.machine.job().key == key);
            let job = Job {
                key,
                action,
                cycle: strategy.cycle,
                ack: None,
                must_query: true,
                doubtful,
                sent_ms: None,
                entry_asked_ms: None,
                unasked: true,
                due_ms: Some(ts_ms),
            };
            let heard_ms = self.engines[engine].guard.heard_ms;
            let machine = OrderMachine::unclaimed(job, strategy, heard_ms, self.rules());
            self.start_run(engine, machine, Name::Alone(id));
        }
    }

    /// Twice a second: waiting prices, and what waits without Redis.
    pub(crate) fn beat_guard(&mut self, engine: usize) {
        self.send_prices(engine);
        let guard = &mut self.engines[engine].guard;
        if guard.sending.is_none() && guard.away.is_some() {
            // The probe: an empty batch says whether Redis would take one.
            guard.sending = Some(Batch::new());
            self.send(engine, Work::Prices(Batch::new()));
        }
        if !self.engines[engine].guard.acting {
            return;
        }
        if self.may_act(engine) {
            let held_back = std::mem::take(&mut self.engines[engine].guard.held_back);
            self.hand_over_alone(engine, held_back);
        }
        let (now, clock) = (self.now_ms, self.clock(engine));
        let guard = &mut self.engines[engine].guard;
        if guard.away.is_some_and(|since| now - since >= PATIENCE_MS) {
            let mut late = Vec::new();
            guard.shadow.due(clock, &mut late);
            guard.shadow.enqueued(clock, &mut late);
            self.hand_over_alone(engine, late);
        }
    }
}

pub(crate) fn exit_id(key: &str, cycle: u64, attempt: u64) -> Option<String> {
    let key = StrategyKey::parse(key)?;
    Some(OrderIdentity { key, cycle, leg: Leg::Exit, attempt }.client_order_id())
}
