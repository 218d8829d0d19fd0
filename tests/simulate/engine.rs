//! A model of the live driver: starts machines, carries their effects out, wakes them up.

use crate::data::Item;
use crate::follow::News;
use crate::guard::{Guarding, Range};
use crate::lease::Lease;
use crate::recon::Pass;
use crate::stream::Id;
use crate::sync::{Batch, Syncing};
use crate::world::{Event, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strat_client::{LockToken, QueueEntry, ReportRequest};
use strat_core::planted::{self, Mistake};
use strat_core::{Action, ExecType};
use strat_engine::broker::{BrokerError, OrderState};
use strat_engine::executor::Job;
use strat_engine::executor::machine::{Effect, Input, Now, OrderMachine, ReportFailure, Rules, Submissions, Waits};

/// Life of an order lock, ms.
pub(crate) const TTL_MS: i64 = 3_000;

/// Something that happens inside an engine; it waits while the engine is stopped, and is nothing once it is dead.
#[derive(Debug)]
pub(crate) enum Life {
    Beat,
    Tick(&'static str, i64),
    News(OrderState),
    Go(u64, u64),
    Silent(u64, u64),
    Done(u64, Box<Input>),
    Entries(Option<Vec<QueueEntry>>, bool),
    LocksLost(Vec<(u64, LockToken)>),
    Epoch(Arc<str>),
    Read,
    Follow,
    Followed(Option<News>),
    Prices(BTreeMap<&'static str, Range>, Option<Arc<str>>),
    Unanswered(u64),
    Sync,
    Synced(Option<Batch>),
    Pass,
    Passed(Option<Box<Pass>>),
    Heard(Id, Item),
}

/// A request under way.
#[derive(Debug)]
pub(crate) enum Work {
    Machine(Box<Errand>),
    Read,
    TakeOver,
    Keep(Vec<(u64, String, LockToken)>),
    Due(i64),
    Epoch,
    Prices(BTreeMap<&'static str, Range>),
    Follow(Option<Id>),
    Sync(Batch),
    Pass(Box<Pass>),
}

/// One effect of one machine, with what it takes to carry it out.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) run: u64,
    pub(crate) effect: Effect,
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) cycle: u64,
    pub(crate) token: Option<LockToken>,
    pub(crate) ack: Option<(String, String)>,
    pub(crate) sent_ms: i64,
}

/// What a job is listed under.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    Entry((String, String)),
    Adopted((String, Action)),
    Alone(String),
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) machine: OrderMachine,
    pub(crate) name: Name,
    /// Rises with every wait: an old alarm clock wakes nobody.
    pub(crate) wait: u64,
    pub(crate) standing: Standing,
    pub(crate) news: Option<OrderState>,
    pub(crate) lost: bool,
    pub(crate) held: Option<LockToken>,
    pub(crate) ended_before: u64,
    /// The epoch when it last began.
    pub(crate) epoch: Option<Arc<str>>,
    /// When the lock was last asked to be extended.
    pub(crate) extended_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Busy,
    Watching,
    Gate,
    Waiting(Waits),
}

#[derive(Debug, Default)]
pub(crate) struct Engine {
    pub(crate) life: u64,
    pub(crate) up: bool,
    pub(crate) paused_until: i64,
    pub(crate) offset_ms: i64,
    pub(crate) cut: bool,
    pub(crate) gate: Option<Arc<str>>,
    /// When the gate last opened.
    pub(crate) opened_ms: Option<i64>,
    pub(crate) lease: Lease,
    pub(crate) runs: BTreeMap<u64, Run>,
    pub(crate) next_run: u64,
    pub(crate) ended: u64,
    pub(crate) under_way: BTreeSet<(String, String)>,
    pub(crate) adopted: BTreeSet<(String, Action)>,
    pub(crate) alone: BTreeSet<String>,
    /// When it last sent an order.
    pub(crate) sent: Submissions,
    /// Exits beyond the attempt of their strategies that reconciliation found at the broker, and when first.
    pub(crate) found: BTreeMap<String, i64>,
    /// Orders whose end it has reported.
    pub(crate) ended_orders: BTreeSet<String>,
    pub(crate) guard: Guarding,
    pub(crate) syncing: Syncing,
    pub(crate) reading: bool,
    pub(crate) beats: u64,
    /// A reconciliation is under way.
    pub(crate) passing: bool,
    pub(crate) next_pass_ms: i64,
    pub(crate) pass_wait_ms: i64,
    /// When the last reconciliation that was finished had begun.
    pub(crate) reconciled_ms: i64,
    /// Accounts that differed in the last one.
    pub(crate) positions: BTreeMap<(String, String), (strat_core::Quantity, strat_core::Quantity)>,
}

impl Engine {
    /// Epoch ms at which the epoch began.
    pub(crate) fn began_ms(&self) -> Option<i64> {
        self.gate.as_deref()?.split('-').next()?.parse().ok()
    }

    /// Whether an id is that of a run's own order.
    pub(crate) fn is_order_of(&self, run: u64, id: &str) -> bool {
        let own = self.runs.get(&run).and_then(|run| run.machine.order());
        own.is_some_and(|order| order.client_order_id == id)
    }

    /// Whether an order of this strategy is in hand.
    pub(crate) fn tracks(&self, key: &str) -> bool {
        self.tracks_any(key, |_| true)
    }

    /// Whether a job for the same is at work.
    pub(crate) fn tracks_order(&self, job: &Job) -> bool {
        self.tracks_any(&job.key, |action| action == job.action)
    }

    fn tracks_any(&self, key: &str, wanted: impl Fn(Action) -> bool) -> bool {
        let mut jobs = self.runs.values().map(|run| run.machine.job()).map(|job| (&job.key, job.action));
        let mut adopted = self.adopted.iter().map(|(key, action)| (key, *action));
        jobs.any(|(own, action)| own == key && wanted(action))
            || adopted.any(|(own, action)| own == key && wanted(action))
    }
}

impl World {
    pub(crate) fn start(&mut self, engine: usize) {
        if std::mem::replace(&mut self.engines[engine].up, true) {
            return;
        }
        self.say(|| format!("e{engine}: starts"));
        self.later(engine, 0, Life::Beat);
        self.later(engine, 1, Life::Pass);
    }

    /// The engine's own clock.
    pub(crate) fn clock(&self, engine: usize) -> i64 {
        self.now_ms + self.engines[engine].offset_ms
    }

    pub(crate) fn in_engine(&mut self, engine: usize, life: u64, what: Life) {
        if self.engines[engine].life != life || !self.engines[engine].up {
            return;
        }
        let wakes = self.engines[engine].paused_until;
        if wakes > self.now_ms {
            // Healing wakes it too.
            let wakes = if self.healed { wakes } else { wakes.min(self.healed_ms()) };
            return self.at(wakes, Event::Engine(engine, life, what));
        }
        match what {
            Life::Beat => self.beat(engine),
            Life::Tick(symbol, price) => self.hear_price(engine, symbol, price),
            Life::News(state) => self.hear_news(engine, &state),
            Life::Go(run, wait) if self.is_waiting(engine, run, wait) => self.go(engine, run),
            Life::Silent(run, wait) if self.is_waiting(engine, run, wait) => self.step(engine, run, Input::Silent),
            Life::Go(..) | Life::Silent(..) => {}
            Life::Done(run, input) => self.step(engine, run, *input),
            Life::Entries(entries, new) => self.take_entries(engine, entries, new),
            Life::LocksLost(lost) => self.locks_lost(engine, lost),
            Life::Epoch(epoch) => self.epoch_seen(engine, &epoch),
            Life::Read => self.read_queues(engine),
            Life::Follow => self.follow_journal(engine),
            Life::Followed(news) => self.followed(engine, news),
            Life::Prices(batch, epoch) => self.prices_answered(engine, batch, epoch),
            Life::Unanswered(number) => self.prices_unanswered(engine, number),
            Life::Sync => self.sync(engine),
            Life::Synced(batch) => self.synced(engine, batch),
            Life::Pass => self.begin_pass(engine),
            Life::Passed(pass) => self.passed(engine, pass),
            Life::Heard(id, item) => self.heard(engine, id, item),
        }
    }

    fn is_waiting(&self, engine: usize, run: u64, wait: u64) -> bool {
        self.engines[engine].runs.get(&run).is_some_and(|run| run.wait == wait && run.standing != Standing::Busy)
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            idempotency: self.broker.class,
            skew_ms: 1_000,
            settle_ms: self.plan.settle_ms,
            fresh_ms: TTL_MS / 4,
            ladder: self.plan.ladder,
        }
    }

    pub(crate) fn start_run(&mut self, engine: usize, machine: OrderMachine, name: Name) {
        let number = self.engines[engine].next_run;
        self.engines[engine].next_run += 1;
        let job = machine.job();
        let what = format!("e{engine}#{number}: takes {} {} cycle {} ({name:?})", job.action, job.key, job.cycle);
        self.say(|| what);
        let run = Run {
            machine,
            name,
            wait: 0,
            standing: Standing::Busy,
            news: None,
            lost: false,
            held: None,
            ended_before: 0,
            epoch: None,
            extended_ms: None,
        };
        self.engines[engine].runs.insert(number, run);
        self.go(engine, number);
    }

    pub(crate) fn go(&mut self, engine: usize, run: u64) {
        if self.is_overtaken(engine, run) {
            return self.run_done(engine, run);
        }
        let own = &self.engines[engine];
        let (ended, epoch) = (own.ended, own.gate.clone());
        let opened_ms = own.opened_ms.max(self.leased_since(engine));
        let redis_away = own.guard.is_away();
        if let Some(run) = self.engines[engine].runs.get_mut(&run) {
            run.ended_before = ended;
            run.epoch = epoch.clone();
        }
        self.step(engine, run, Input::Go { epoch, opened_ms, redis_away });
    }

    /// Notes a submission; false where another job of the engine made it so short a time ago that it may not show.
    fn first_to_send(&mut self, engine: usize, run: u64, id: &str) -> bool {
        let (now, rules) = (self.now_ms, self.rules());
        let asked = self.engines[engine].runs.get(&run).map_or(now, |run| run.machine.asked_ms());
        self.engines[engine].sent.may_send(id, run, (asked, now), rules)
    }

    /// Notes that a run tells Redis of a rejection; false where another one has just sent the order.
    fn may_tell(&mut self, engine: usize, run: u64, report: &ReportRequest) -> bool {
        let Some(id) = report.order().filter(|_| report.exec_type() == ExecType::Rejected) else { return true };
        let (now, rules) = (self.now_ms, self.rules());
        let asked = self.engines[engine].runs.get(&run).map_or(now, |run| run.machine.asked_ms());
        self.engines[engine].sent.telling(id, run, (asked, now), rules)
    }

    /// Whether another run has told Redis meanwhile that the attempt of one that works without is dead.
    fn is_told_dead(&self, engine: usize, run: u64, id: &str) -> bool {
        let own = &self.engines[engine];
        own.ended_orders.contains(id) && own.runs.get(&run).is_some_and(|run| run.machine.is_alone())
    }

    /// Whether another run of the engine works on a later attempt of an exit that this one has not sent.
    fn is_overtaken(&self, engine: usize, run: u64) -> bool {
        let Some(run) = self.engines[engine].runs.get(&run).filter(|run| run.machine.is_alone()) else { return false };
        let (job, known) = (run.machine.job(), &self.engines[engine].alone);
        let asks = |later| crate::guard::exit_id(&job.key, job.cycle, later).is_some_and(|id| known.contains(&id));
        run.machine.is_superseded(asks, |_| false)
    }

    /// Whether the engine knows of a later attempt of the exit that was not looked for.
    fn is_superseded(&self, engine: usize, run: u64) -> bool {
        let Some(run) = self.engines[engine].runs.get(&run) else { return false };
        let job = run.machine.job();
        let knows = |attempt| self.knows_exit(engine, &job.key, job.cycle, attempt);
        let hides = |attempt| {
            let (sent, asked_ms) = (&self.engines[engine].sent, run.machine.asked_ms());
            let id = crate::guard::exit_id(&job.key, job.cycle, attempt);
            id.is_some_and(|id| sent.may_hide(&id, None, asked_ms, self.rules()))
        };
        run.machine.is_superseded(knows, hides)
    }

    pub(crate) fn step(&mut self, engine: usize, number: u64, input: Input) {
        let now = Now { wall_ms: self.clock(engine), mono_ms: self.now_ms };
        let Engine { runs, sent, .. } = &mut self.engines[engine];
        let Some(run) = runs.get_mut(&number) else { return };
        if let (Input::Reported(_), Some(order)) = (&input, run.machine.order()) {
            sent.told(&order.client_order_id, number);
        }
        let shown = if self.trace.is_on() { format!("{input:?}") } else { String::new() };
        if planted::is(Mistake::AckBeforeReport) && matches!(input, Input::Submitted(Err(_))) {
            // Acknowledged when it was sent: whoever asks is told that it is in good hands.
            let order = (run.machine.job().key.clone(), run.machine.job().action);
            self.engines[engine].runs.remove(&number);
            self.engines[engine].adopted.insert(order);
            return;
        }
        let before = run.machine.order().cloned();
        let reported = matches!(input, Input::Reported(Ok(())));
        let effect = run.machine.step(now, input);
        if run.machine.order() != before.as_ref() {
            run.news = None;
        }
        if run.held.as_ref() != run.machine.lock() {
            (run.held, run.lost) = (run.machine.lock().cloned(), false);
        }
        run.wait += 1;
        run.standing = Standing::Busy;
        if let (true, Effect::Done, Some(order)) = (reported, &effect, run.machine.order()) {
            let id = order.client_order_id.clone();
            self.engines[engine].ended_orders.insert(id);
        }
        self.say(|| format!("e{engine}#{number}: {shown} -> {effect:?}"));
        self.drive(engine, number, effect);
    }

    fn drive(&mut self, engine: usize, number: u64, effect: Effect) {
        match effect {
            Effect::Done => self.run_done(engine, number),
            Effect::Wait { ms, waits, why } => self.run_waits(engine, number, ms, waits, &why),
            Effect::AwaitEpoch => {
                self.stand(engine, number, Standing::Gate);
                if self.engines[engine].gate.is_some() {
                    self.go(engine, number);
                }
            }
            Effect::Watch => self.run_watches(engine, number),
            Effect::Submit(ref request)
                if !self.may_send(engine, number)
                    || self.is_superseded(engine, number)
                    || self.is_told_dead(engine, number, &request.client_order_id) =>
            {
                let superseded = self.is_superseded(engine, number);
                if let Some(job) = self.engines[engine].runs.get(&number).map(|run| run.machine.job().clone())
                    && job.unasked
                    && !self.may_trade(engine)
                    && !superseded
                {
                    self.alarm_of(&job.key, job.cycle, "EXIT NOT SENT: another engine trades now");
                }
                let error = BrokerError::Unavailable("the lock or the right to trade has to be seen again".to_owned());
                self.later(engine, 1, Life::Done(number, Box::new(Input::Submitted(Err(error)))));
            }
            Effect::Submit(request) if !self.first_to_send(engine, number, &request.client_order_id) => {
                let error = BrokerError::Unknown("another job of this engine sent it a moment ago".to_owned());
                self.later(engine, 1, Life::Done(number, Box::new(Input::Submitted(Err(error)))));
            }
            Effect::Report(ref report) if !self.may_tell(engine, number, report) => {
                let failure = ReportFailure::Trouble("another job of this engine has just sent the order".to_owned());
                self.later(engine, 1, Life::Done(number, Box::new(Input::Reported(Err(failure)))));
            }
            effect => {
                self.note_extension(engine, number, &effect);
                let Some(run) = self.engines[engine].runs.get(&number) else { return };
                let job = run.machine.job();
                let errand = Errand {
                    run: number,
                    key: job.key.clone(),
                    action: job.action,
                    cycle: job.cycle,
                    token: run.machine.lock().cloned(),
                    ack: job.ack.clone(),
                    sent_ms: self.now_ms,
                    effect,
                };
                self.send(engine, Work::Machine(Box::new(errand)));
            }
        }
    }
}
