//! Machines that wait, watch and end, and what wakes them.

use crate::engine::{Life, Name, Run, Standing};
use crate::world::World;
use std::sync::Arc;
use strat_client::LockToken;
use strat_engine::broker::OrderState;
use strat_engine::executor::Job;
use strat_engine::executor::machine::{Input, OrderMachine, Waits};

/// An order that the broker has not spoken of for so long is looked up, ms.
const SILENCE_MS: i64 = 5_000;
/// An exit that rests for so long is given up for the next attempt, ms.
const REST_MS: i64 = 1_000;

impl World {
    pub(crate) fn stand(&mut self, engine: usize, number: u64, standing: Standing) {
        if let Some(run) = self.engines[engine].runs.get_mut(&number) {
            run.standing = standing;
        }
    }

    pub(crate) fn run_waits(&mut self, engine: usize, number: u64, ms: i64, waits: Waits, why: &str) {
        let ended = self.engines[engine].ended;
        let Some(run) = self.engines[engine].runs.get_mut(&number) else { return };
        run.standing = Standing::Waiting(waits);
        let (wait, key) = (run.wait, run.machine.job().key.clone());
        let at_once = waits == Waits::AnotherOrder && run.ended_before != ended;
        if waits == Waits::Person {
            self.alarm(&key, why);
        }
        // Said by a machine that got an input which does not fit; with debug assertions it panics.
        if why == "starts again" {
            self.watch.wrong(format!("P: the machine of {key} lost its way"));
        }
        self.later(engine, if at_once { 0 } else { ms.max(1) }, Life::Go(number, wait));
    }

    pub(crate) fn run_watches(&mut self, engine: usize, number: u64) {
        let gate = self.engines[engine].gate.clone();
        let Some(run) = self.engines[engine].runs.get_mut(&number) else { return };
        run.standing = Standing::Watching;
        let wait = run.wait;
        if let Some(news) = run.news.take() {
            return self.step(engine, number, Input::Execution(news));
        }
        if std::mem::take(&mut run.lost) {
            return self.step(engine, number, Input::LockLost);
        }
        if gate.is_some() && gate != run.epoch {
            return self.step(engine, number, Input::EpochChanged);
        }
        let patience = if run.machine.may_rest() { REST_MS } else { SILENCE_MS };
        self.later(engine, patience, Life::Silent(number, wait));
    }

    pub(crate) fn run_done(&mut self, engine: usize, number: u64) {
        let Some(run) = self.engines[engine].runs.remove(&number) else { return };
        let own = &mut self.engines[engine];
        match run.name {
            Name::Entry(ack) => drop(own.under_way.remove(&ack)),
            Name::Adopted(order) => drop(own.adopted.remove(&order)),
            Name::Alone(id) => drop(own.alone.remove(&id)),
        }
        own.ended += 1;
        let waiting = |run: &Run| run.standing == Standing::Waiting(Waits::AnotherOrder);
        let others: Vec<_> =
            own.runs.iter().filter(|(_, run)| waiting(run)).map(|(number, run)| (*number, run.wait)).collect();
        for (number, wait) in others {
            self.later(engine, 0, Life::Go(number, wait));
        }
    }

    /// The broker said something: every machine whose order it is hears the newest of it.
    pub(crate) fn hear_news(&mut self, engine: usize, state: &OrderState) {
        let mut ring = Vec::new();
        for (number, run) in &mut self.engines[engine].runs {
            if run.machine.order().is_none_or(|order| order.client_order_id != state.client_order_id) {
                continue;
            }
            let older = run.news.as_ref().is_some_and(|known| {
                known.cum_qty > state.cum_qty
                    || (known.cum_qty == state.cum_qty && known.status.is_terminal() && !state.status.is_terminal())
            });
            if !older {
                run.news = Some(state.clone());
            }
            if run.standing == Standing::Watching {
                ring.push(*number);
            }
        }
        ring.into_iter().for_each(|number| self.run_watches(engine, number));
    }

    pub(crate) fn locks_lost(&mut self, engine: usize, lost: Vec<(u64, LockToken)>) {
        for (number, token) in lost {
            let Some(run) = self.engines[engine].runs.get_mut(&number) else { continue };
            if run.held.as_ref() != Some(&token) {
                continue;
            }
            (run.held, run.lost) = (None, true);
            if run.standing == Standing::Watching {
                self.run_watches(engine, number);
            }
        }
    }

    /// The gate opened: whoever waited for it goes on.
    pub(crate) fn open_gate(&mut self, engine: usize, epoch: &Arc<str>) {
        self.engines[engine].gate = Some(Arc::clone(epoch));
        self.engines[engine].opened_ms = Some(self.now_ms);
        self.say(|| format!("e{engine}: gate open for {epoch}"));
        let runs = &self.engines[engine].runs;
        let waiting: Vec<_> =
            runs.iter().filter(|(_, run)| run.standing == Standing::Gate).map(|(number, _)| *number).collect();
        waiting.into_iter().for_each(|number| self.go(engine, number));
        let watching = |run: &Run| run.standing == Standing::Watching;
        let runs = &self.engines[engine].runs;
        let moved: Vec<_> = runs.iter().filter(|(_, run)| watching(run)).map(|(number, _)| *number).collect();
        moved.into_iter().for_each(|number| self.run_watches(engine, number));
        self.later(engine, 1, Life::Read);
        self.later(engine, 2, Life::Follow);
    }

    /// Starts the job of an order that no queue entry speaks for.
    pub(crate) fn adopt(&mut self, engine: usize, job: Job) {
        if self.may_trade(engine) && self.engines[engine].adopted.insert((job.key.clone(), job.action)) {
            let name = Name::Adopted((job.key.clone(), job.action));
            let machine = OrderMachine::new(job, self.rules());
            self.start_run(engine, machine, name);
        }
    }
}
