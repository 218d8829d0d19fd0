//! How faults, users and the broker's orders take their course.

use crate::data::{Data, Fields, Health};
use crate::engine::Engine;
use crate::faults::{Fault, START_MS, Wish};
use crate::world::{Event, World, price_text};
use strat_core::{ExecType, Leg, Quantity};
use strat_engine::broker::{BrokerError, OrderRequest, OrderState};

/// Postgres ends a session that says nothing for so long, ms.
const IDLE_SESSION_MS: i64 = 10_000;

impl Wish {
    /// The hash of a strategy as its user writes it.
    pub(crate) fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        let mut put = |name: &str, value: String| drop(fields.insert(name.to_owned(), value));
        put("symbol", self.symbol.to_owned());
        put("quantity", self.quantity.clone());
        put("side", if self.short { "SHORT" } else { "LONG" }.to_owned());
        put("on_stop", if self.leave { "LEAVE" } else { "SQUAREOFF" }.to_owned());
        let (enter, exit) = if self.short { ("sell_at", "buy_at") } else { ("buy_at", "sell_at") };
        put(enter, (START_MS + self.enter_ms).to_string());
        if let Some(ms) = self.exit_ms {
            put(exit, (START_MS + ms).to_string());
        }
        if let Some(level) = self.stop {
            put("stop_loss", price_text(level));
        }
        if let Some(level) = self.target {
            put("take_profit", price_text(level));
        }
        fields
    }
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        self.outcome.faults += 1;
        self.say(|| format!("FAULT {fault:?}"));
        let now = self.now_ms;
        match fault {
            Fault::Crash { engine, ms } => self.crash(engine, ms),
            Fault::Pause { engine, ms } => {
                let life = self.engines[engine].life;
                self.engines[engine].paused_until = now + ms;
                if ms > IDLE_SESSION_MS {
                    self.at(now + IDLE_SESSION_MS, Event::SessionEnds((engine, life)));
                }
            }
            Fault::Clock { engine, ms } => self.engines[engine].offset_ms = ms,
            Fault::Restart { ms } => {
                self.redis.health = Health::Down;
                self.at(now + ms, Event::RedisUp(None));
            }
            Fault::Replica => self.replica = Some(Box::new(self.redis.data.clone())),
            Fault::Failover { ms } => {
                self.redis.health = Health::Down;
                let picture = self.replica.take();
                self.at(now + ms, Event::RedisUp(picture));
            }
            Fault::Flush if self.redis.health == Health::Up => {
                self.redis.load(Data::default(), now);
                self.redis_lost_data();
            }
            Fault::Flush => {}
            Fault::Refuse { ms } => {
                if self.redis.health == Health::Up {
                    self.redis.health = Health::Refusing;
                    self.at(now + ms, Event::RedisTakesWrites);
                }
            }
            Fault::Cut { engine, ms } => {
                self.engines[engine].cut = true;
                self.at(now + ms, Event::Joined(engine));
            }
            Fault::Postgres { ms } => {
                self.postgres.down = true;
                self.postgres.leader = None;
                self.at(now + ms, Event::PostgresUp);
            }
            Fault::Broker { ms } => {
                self.broker.down = true;
                self.at(now + ms, Event::BrokerUp);
            }
            Fault::Stop { strategy } => self.user(strategy, &[("status", "STOPPED".to_owned())]),
            Fault::Move { strategy } => {
                let level = self.prices[self.plan.wishes[strategy].symbol] + self.random.around(250);
                self.user(strategy, &[("stop_loss", price_text(level))]);
            }
            Fault::Again { strategy } => self.again(strategy),
        }
    }

    fn user(&mut self, strategy: usize, fields: &[(&str, String)]) {
        if self.redis.health != Health::Up {
            return;
        }
        let key = self.plan.wishes[strategy].key.clone();
        let done = self.redis.update(&key, fields, self.now_ms);
        self.say(|| format!("user: {key} {fields:?}: {done:?}"));
    }

    /// A strategy that has ended is started once more: another cycle.
    fn again(&mut self, strategy: usize) {
        let wish = self.plan.wishes[strategy].clone();
        let idle = self.redis.strategy(&wish.key).is_some_and(|known| known.is_idle());
        if self.redis.health != Health::Up || !idle {
            return;
        }
        let since = self.now_ms - START_MS;
        let wish = Wish { enter_ms: since + 200, exit_ms: wish.exit_ms.map(|ms| ms.max(since + 2_000)), ..wish };
        self.begins_anew(&wish.key);
        let done = self.redis.set(&wish.key, &wish.fields(), false, self.now_ms);
        self.say(|| format!("user: {} again: {done:?}", wish.key));
    }

    pub(crate) fn redis_up(&mut self, picture: Option<Box<Data>>) {
        if self.redis.health != Health::Down {
            return;
        }
        let lost = picture.is_some();
        let data = picture.map_or_else(|| std::mem::take(&mut self.redis.data), |picture| *picture);
        self.redis.health = Health::Up;
        self.redis.load(data, self.now_ms);
        if lost {
            self.redis_lost_data();
        }
        // Every connection was cut: the journal's reader begins its session anew.
        self.engines.iter_mut().for_each(|engine| engine.syncing.begin_anew());
        self.say(|| "redis is up with a new epoch".to_owned());
    }

    pub(crate) fn crash(&mut self, engine: usize, ms: i64) {
        let dead = &mut self.engines[engine];
        if !dead.up {
            return;
        }
        let session = (engine, dead.life);
        *dead = Engine { life: dead.life + 1, offset_ms: dead.offset_ms, cut: dead.cut, ..Engine::default() };
        self.outcome.crashes += 1;
        self.watch.forget_alone(engine);
        let gone = self.now_ms + self.draw(800);
        self.at(gone, Event::SessionEnds(session));
        self.at(self.now_ms + ms, Event::Start(engine));
        self.say(|| format!("e{engine}: DEAD"));
    }

    /// Everything works again, and the broker tells the truth.
    pub(crate) fn heal(&mut self) {
        self.say(|| "HEALED".to_owned());
        self.healed = true;
        self.plan.odds = crate::faults::Odds::default();
        self.postgres.down = false;
        self.broker.down = false;
        self.broker.honest = true;
        if self.redis.health == Health::Down {
            self.redis_up(None);
        }
        self.redis.health = Health::Up;
        for engine in &mut self.engines {
            (engine.cut, engine.offset_ms) = (false, 0);
            engine.paused_until = engine.paused_until.min(self.now_ms);
        }
        for engine in 0..self.engines.len() {
            self.start(engine);
        }
        for order in 0..self.broker.orders.len() {
            let ms = 10 + self.draw(1_500);
            self.at(self.now_ms + ms, Event::Progress(order));
        }
        self.at(self.now_ms + 500, Event::Look);
    }

    /// A request reaches the broker.
    pub(crate) fn place(&mut self, request: &OrderRequest, sent: (i64, bool)) -> Result<OrderState, BrokerError> {
        let (answer, order) = self.broker.accept(request, sent, self.now_ms, &mut self.random);
        let id = &request.client_order_id;
        let what = format!("broker: {} {:?} {} of {}", id, request.side, request.quantity, request.symbol);
        self.say(|| format!("{what}: {answer:?}"));
        if let Some(order) = order {
            self.accepted(order);
            let ms = 2 + self.draw(300);
            self.at(self.now_ms + ms, Event::Progress(order));
            if self.random.chance(60) {
                self.emit(order);
            }
        }
        answer
    }

    pub(crate) fn cancel_now(&mut self, order: usize) {
        if self.broker.orders[order].is_open() {
            self.broker.end(order, ExecType::Canceled, self.now_ms);
            self.emit(order);
        }
    }

    /// An open order is filled, in part, or ended by the exchange; or nothing happens for a while.
    pub(crate) fn progress(&mut self, at: usize) {
        let order = &self.broker.orders[at];
        if !order.is_open() {
            return;
        }
        let (whole, filled) = (order.request.quantity, order.state.cum_qty);
        let id = &order.request.client_order_id;
        let entry = self.broker.owners.get(id).is_none_or(|(_, _, leg)| *leg == Leg::Entry);
        let thin = order.thin && entry;
        let price = self.price(&order.request.symbol.clone());
        let part = part_of(whole, filled);
        let draw = if self.healed { 0 } else { self.random.below(12) };
        match draw {
            _ if thin && filled > Quantity::ZERO => return,
            0..=4 if !thin => self.broker.fill(at, whole, price, self.now_ms),
            0..=7 => match part {
                Some(cum) => self.broker.fill(at, cum, price, self.now_ms),
                None => self.broker.fill(at, whole, price, self.now_ms),
            },
            8 if filled == Quantity::ZERO => self.broker.end(at, ExecType::Rejected, self.now_ms),
            8 => self.broker.end(at, ExecType::Canceled, self.now_ms),
            9 => self.broker.end(at, ExecType::Expired, self.now_ms),
            _ => {
                let ms = 200 + self.draw(3_000);
                return self.at(self.now_ms + ms, Event::Progress(at));
            }
        }
        self.emit(at);
        self.filled(at);
        if self.broker.orders[at].is_open() && !thin {
            let ms = 20 + self.draw(1_500);
            self.at(self.now_ms + ms, Event::Progress(at));
        }
    }
}

/// About half of what is left, in steps of a half; `None` where that is not less than all.
fn part_of(whole: Quantity, filled: Quantity) -> Option<Quantity> {
    let step: Quantity = "0.5".parse().ok()?;
    let cum = filled.plus(step);
    (cum < whole).then_some(cum)
}
