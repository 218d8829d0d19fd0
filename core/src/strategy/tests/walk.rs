//! Random walks of the machine with an honest broker, an engine that may crash at any point, and scripts that place
//! an exit without waiting for the end of the entry.

mod promises;
mod steps;

use super::*;
use proptest::prelude::{ProptestConfig, proptest};
use proptest::sample::select;

#[derive(Debug, Clone)]
enum Step {
    /// A tick of the symbol.
    Tick(i64),
    /// Time passes, then DUE.
    Wait(i64),
    /// The engine takes the n-th queue entry.
    Claim(usize),
    /// A script takes it, and leaves an entry that works alone.
    Rude(usize),
    /// That entry fills on, or ends.
    Entry(i64, bool),
    /// A script trades by hand.
    Hand(Action),
    /// The order in flight: accepted (again), part filled, filled, ended, an old report once more.
    Accept,
    Part(i64),
    Fill,
    End(ExecType),
    Stale(i64),
    /// The engine dies with the lock; its queue entry comes again.
    Crash,
    /// Everything in Redis is lost and restored from a copy of the hash.
    Restore,
    Update(Vec<(&'static str, &'static str)>),
    /// The user starts the next day.
    Again(bool),
}

/// An order id: cycle, leg, attempt.
type Id = (u64, Leg, u64);

#[derive(Debug, Clone)]
struct Order {
    action: Action,
    size: i64,
    filled: i64,
    alive: bool,
    /// Its end was reported and taken in: the id is used up.
    concluded: bool,
}

#[derive(Debug)]
struct World {
    hash: Hash,
    now: i64,
    queue: Vec<Action>,
    /// Action of the lock, the order that it is for, and the queue entry behind it.
    lock: Option<(Action, Id, bool)>,
    orders: BTreeMap<Id, Order>,
    /// Held by adoption, not by an entry: cycle and quantity.
    adopted: BTreeMap<u64, i64>,
    /// A script was at it: an entry and an exit may both be alive.
    rude: bool,
}

fn whole(quantity: Quantity) -> i64 {
    quantity.units() / crate::decimal::SCALE
}

impl World {
    fn new(side: &'static str) -> Self {
        let mut hash = Hash::default();
        let (stop, target) = if side == "LONG" { ("95", "105") } else { ("105", "95") };
        let (entry, exit) = if side == "LONG" { ("buy_at", "sell_at") } else { ("sell_at", "buy_at") };
        let fields = [
            ("symbol", "IBM"),
            ("quantity", "10"),
            ("side", side),
            ("stop_loss", stop),
            ("take_profit", target),
            (entry, "1100"),
            (exit, "5000"),
        ];
        hash.set(&fields).unwrap();
        let (orders, adopted) = (BTreeMap::new(), BTreeMap::new());
        Self { hash, now: NOW, queue: Vec::new(), lock: None, orders, adopted, rude: false }
    }

    fn state(&self) -> Strategy {
        self.hash.state()
    }

    fn take(&mut self, change: Option<Change>) {
        if let Some(change) = change {
            let order = change.enqueue.clone();
            self.hash.apply(change);
            if let Some(order) = &order {
                assert_eq!((Some(order.action), order.cycle), (self.state().pending, self.state().cycle));
            }
            self.queue.extend(order.map(|order| order.action));
        }
    }

    /// The engine reports `exec_type` of `action` as the holder of the lock.
    fn report(&mut self, action: Action, exec_type: ExecType, filled: i64) {
        let Some((held, _, _)) = self.lock else { return };
        let filled =
            (filled > 0).then(|| (Quantity::from_units(filled * crate::decimal::SCALE), "100".parse().unwrap()));
        let report = Report { exec_type, filled, order_id: "ID".to_owned(), text: String::new(), ts_ms: self.now };
        let mut answer = self.state().report(action, &report, BACKOFF);
        if let Err(refusal) = &answer {
            assert_eq!((refusal.code, action.leg(self.state().side), self.rude), (Code::Busy, Leg::Exit, true));
            self.entry(3, true);
            answer = self.state().report(action, &report, BACKOFF);
        }
        let change = answer.unwrap();
        let ended = change.as_ref().is_some_and(|change| change.release_lock) && action == held;
        self.take(change);
        if ended {
            self.lock = None;
        }
    }

    /// Says how the order stands at the broker.
    fn report_order(&mut self, id: Id) {
        let Some(order) = self.orders.get_mut(&id) else { return };
        let exec_type = match (order.alive, order.filled) {
            (false, filled) if filled == order.size => ExecType::Fill,
            (false, _) => ExecType::Canceled,
            (true, 0) => ExecType::New,
            (true, _) => ExecType::PartialFill,
        };
        assert!(!order.concluded, "order {id:?} is looked up after its end was taken in: its id is used twice");
        order.concluded = !order.alive;
        let (action, filled) = (order.action, order.filled);
        self.report(action, exec_type, filled);
    }

    /// An old report comes once more. What is known already changes nothing.
    fn report_late(&mut self, id: Id, filled: i64) {
        let (before, action) = (self.state(), self.orders[&id].action);
        let known = match id.1 {
            Leg::Entry => before.filled,
            Leg::Exit => before.exited.minus(before.prior_exit.0),
        };
        let exec_type = if filled > 0 { ExecType::PartialFill } else { ExecType::New };
        self.report(action, exec_type, filled);
        if before.working == Some(action) && filled <= whole(known) {
            assert_eq!(self.state(), before, "a repeat changed something");
        }
    }

    /// The entry fills on at the broker while an exit's lock is held, and its holder says so.
    fn entry(&mut self, quantity: i64, ends: bool) {
        let id = (self.state().cycle, Leg::Entry, 0);
        let exits = self.lock.is_some_and(|(_, (_, leg, _), _)| leg == Leg::Exit);
        let Some(order) = self.orders.get_mut(&id).filter(|order| exits && !order.concluded) else { return };
        if order.alive {
            order.filled = (order.filled + quantity).min(order.size);
            order.alive = !ends && order.filled < order.size;
        }
        self.report_order(id);
    }

    fn claim(&mut self, index: usize, rude: bool) {
        if self.lock.is_some() || self.queue.is_empty() {
            return;
        }
        let action = self.queue.remove(index % self.queue.len());
        let state = self.state();
        // The engine drops what the hash does not ask for.
        if state.check_claim(action).is_err() || ![state.pending, state.working].contains(&Some(action)) {
            return;
        }
        let leg = action.leg(state.side);
        let attempt = if leg == Leg::Exit { state.attempt } else { 0 };
        // Somebody must be there to go on with the entry.
        let rude = rude && state.working_entry().is_some_and(|entry| self.queue.contains(&entry));
        self.rude |= rude;
        self.execute(action, (state.cycle, leg, attempt), true, rude && state.open_quantity() > Quantity::ZERO);
    }

    fn hand(&mut self, action: Action) {
        let state = self.state();
        let idle = state.pending.is_none() && state.working.is_none() && self.lock.is_none();
        if !idle || state.check_claim(action).is_err() {
            return;
        }
        match action.leg(state.side) {
            Leg::Entry => self.execute(action, (state.cycle + 1, Leg::Entry, 0), false, false),
            Leg::Exit => self.execute(action, (state.cycle, Leg::Exit, state.attempt), false, false),
        }
        if let Some((_, id, _)) = self.lock {
            self.report_order(id);
        }
    }

    /// With the lock: kill the entry before an exit, look the order up, submit what is not there.
    fn execute(&mut self, action: Action, id: Id, queued: bool, rude: bool) {
        self.lock = Some((action, id, queued));
        if id.1 == Leg::Exit && !rude {
            let entry = (id.0, Leg::Entry, 0);
            if let Some(order) = self.orders.get_mut(&entry).filter(|order| !order.concluded) {
                order.alive = false;
                self.report_order(entry);
            } else if self.state().entry_in_flight() {
                self.report(Action::entry(self.state().side), ExecType::Canceled, 0);
            }
        }
        let state = self.state();
        if queued && ![state.pending, state.working].contains(&Some(action)) {
            // It was wanted for the entry's end only.
            self.lock = None;
            return;
        }
        if let Some(order) = self.orders.get(&id).filter(|order| !order.concluded) {
            // A crash lies behind. What was placed as another exit of this leg is still this order.
            assert_eq!(order.action.leg(self.state().side), action.leg(self.state().side));
            self.orders.entry(id).and_modify(|order| order.action = action);
            return self.report_order(id);
        }
        let size = match id.1 {
            Leg::Entry => whole(state.quantity),
            Leg::Exit => whole(state.open_quantity()),
        };
        if size == 0 {
            return self.report(action, ExecType::Canceled, 0);
        }
        assert!(!self.orders.contains_key(&id), "order {id:?} is placed twice");
        self.orders.insert(id, Order { action, size, filled: 0, alive: true, concluded: false });
    }

    /// What the broker does with the order in flight; honest, so never more than its size.
    fn broker(&mut self, step: &Step) {
        let Some((_, id, _)) = self.lock else { return };
        let Some(order) = self.orders.get_mut(&id).filter(|order| order.alive) else { return };
        match step {
            Step::Part(quantity) => order.filled = (order.filled + quantity).min(order.size),
            Step::Fill => order.filled = order.size,
            Step::End(exec_type) if *exec_type != ExecType::Rejected || order.filled == 0 => order.alive = false,
            Step::Stale(filled) => {
                let filled = (*filled).min(order.filled);
                return self.report_late(id, filled);
            }
            _ => {}
        }
        order.alive &= order.filled < order.size;
        if let (false, Step::End(exec_type)) = (order.alive, step) {
            order.concluded = true;
            let (action, filled) = (order.action, order.filled);
            return self.report(action, *exec_type, filled);
        }
        self.report_order(id);
    }

    /// The engine dies between the broker's doing and the report.
    fn crash(&mut self) {
        let Some((action, id, true)) = self.lock else { return };
        if let Some(order) = self.orders.get_mut(&id).filter(|order| order.alive) {
            order.filled = (order.filled + 3).min(order.size);
            order.alive = order.filled < order.size;
        }
        self.lock = None;
        self.queue.push(action);
    }

    fn restore(&mut self) {
        if matches!(self.lock, Some((_, _, false))) {
            return;
        }
        let copy = std::mem::take(&mut self.hash.fields);
        let fields: Vec<(&str, &str)> = copy.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let change = self.hash.set(&fields).unwrap();
        (self.lock, self.queue) = (None, change.enqueue.map(|order| order.action).into_iter().collect());
    }

    fn update(&mut self, fields: &[(&str, &str)]) {
        let bytes: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let current = |name: &str| self.hash.fields.get(name).map(String::as_bytes);
        let change = self.state().update(&bytes, current, self.now);
        self.take(change.unwrap_or_default());
    }

    fn again(&mut self, adopt: bool) {
        let state = self.state();
        if !state.is_idle() || self.lock.is_some() {
            return;
        }
        let (entry, exit) = match state.side {
            Side::Long => ("buy_at", "sell_at"),
            Side::Short => ("sell_at", "buy_at"),
        };
        let (soon, later) = ((self.now + 100).to_string(), (self.now + 4_000).to_string());
        let position = if adopt { Position::opened(state.side) } else { Position::None };
        self.update(&[("status", "RUNNING"), ("position", position.as_str()), (entry, &soon), (exit, &later)]);
        if adopt && self.state().position.is_open() {
            self.adopted.insert(self.state().cycle, whole(self.state().open_quantity()));
            assert!(self.state().open_quantity() > Quantity::ZERO, "adopted, but nothing is open");
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Tick(price) => {
                let change = self.state().fire(Price::from_units(price * crate::decimal::SCALE), None, "x", self.now);
                self.take(change);
            }
            Step::Wait(ms) => {
                self.now += ms;
                let change = self.state().due(self.now);
                self.take(change);
                assert!(self.state().due(self.now).is_none(), "what is due is due once");
            }
            Step::Claim(index) => self.claim(*index, false),
            Step::Rude(index) => self.claim(*index, true),
            Step::Entry(quantity, ends) => self.entry(*quantity, *ends),
            Step::Hand(action) => self.hand(*action),
            Step::Crash => self.crash(),
            Step::Restore => self.restore(),
            Step::Update(fields) => self.update(fields),
            Step::Again(adopt) => self.again(*adopt),
            Step::Accept | Step::Part(_) | Step::Fill | Step::End(_) | Step::Stale(_) => self.broker(step),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_random_life_keeps_every_promise(
        side in select(vec!["LONG", "SHORT"]),
        steps in proptest::collection::vec(steps::step(), 1..80),
    ) {
        let mut world = World::new(side);
        for step in &steps {
            let before = world.state();
            world.step(step);
            world.check(&before);
        }
    }
    /// An exit goes out beside an entry of which 6 are filled and 3 are known, and is reported by a script.
    #[test]
    fn an_exit_beside_its_entry_keeps_every_promise(
        side in select(vec!["LONG", "SHORT"]),
        steps in proptest::collection::vec(steps::beside(), 1..40),
    ) {
        let mut world = World::new(side);
        let stop = if side == "LONG" { 94 } else { 106 };
        let begin = [Step::Wait(100), Step::Claim(0), Step::Part(3), Step::Crash, Step::Tick(stop), Step::Rude(1)];
        for step in begin.iter().chain(&steps) {
            let before = world.state();
            world.step(step);
            world.check(&before);
        }
        assert!(world.rude);
    }
}
