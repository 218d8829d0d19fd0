//! What the engine itself knows of every live strategy: the module's trigger book once more, fed from the journal.
//! Pure: no IO, no clock.
//!
//! A strategy that neither runs nor is in the market is forgotten, so memory is bounded by the live ones.

mod answers;
mod texts;

pub use answers::ShadowStats;

use crate::executor::Unclaimed;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use strat_client::JournalEntry;
use strat_core::book::Book;
use strat_core::strategy::{Backoff, Report};
use strat_core::{Action, EventType, Leg, Price, Quantity, Refusal, Status, Strategy, StrategyKey};
use texts::{CALENDAR, Texts};

/// Triggers looked up at once; what a price crosses beyond that follows in the next round.
const CROSSED_MAX: usize = 256;

/// Entries are not tried again.
const NO_RETRY: Backoff = Backoff { base_ms: 0, max_ms: 0 };

/// What came of a journal entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was known already.
    Old,
    /// The shadow follows.
    Done,
    /// It does not follow from what is known: the hash must be read.
    Gap,
}

/// What the engine did about a strategy without Redis knowing. Taken back when Redis watches again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    /// Cycle and attempt of the exit that was handed over.
    exit: Option<(u64, u64)>,
    /// Its time has come and asks for nothing that may be done without Redis.
    waits: bool,
}

#[derive(Debug, Default)]
struct Known {
    fields: Texts,
    version: u64,
    mark: Mark,
}

impl Known {
    fn strategy(&self) -> Result<Strategy, Refusal> {
        Strategy::read(|name| self.fields.get(name).map(str::as_bytes))
    }

    fn calendar(&self) -> &str {
        self.fields.get(CALENDAR).unwrap_or_default()
    }

    /// The exit of this cycle and attempt is in good hands.
    fn is_handed(&self, strategy: &Strategy) -> bool {
        self.mark.exit == Some((strategy.cycle, strategy.attempt))
    }

    /// The strategy as the book is to hold it: what is in good hands, or waits, fires nothing.
    fn to_watch(&self, mut strategy: Strategy) -> Strategy {
        if self.mark.waits || self.is_handed(&strategy) {
            (strategy.stop_loss, strategy.take_profit, strategy.trail) = (None, None, None);
            (strategy.retry_at, strategy.retry_action) = (None, None);
            (strategy.buy_at, strategy.sell_at) = (None, None);
        }
        strategy
    }
}

/// Who holds something of a symbol.
#[derive(Debug, Default)]
struct Holders {
    keys: BTreeSet<String>,
    /// Calendars by which they trade, and how many by each; an empty name for none.
    calendars: BTreeMap<Box<str>, usize>,
}

impl Holders {
    fn add(&mut self, key: &str, calendar: &str) {
        if self.keys.insert(key.to_owned()) {
            *self.calendars.entry(calendar.into()).or_default() += 1;
        }
    }

    /// With the calendar that it was added with.
    fn remove(&mut self, key: &str, calendar: &str) {
        if self.keys.remove(key)
            && let Some(count) = self.calendars.get_mut(calendar)
        {
            *count -= 1;
            if *count == 0 {
                self.calendars.remove(calendar);
            }
        }
    }
}

/// Every live strategy, and what prices and times fire.
#[derive(Debug, Default)]
pub struct Shadow {
    book: Book,
    known: HashMap<String, Known>,
    /// Exits that wait in a queue, by key.
    enqueued: BTreeSet<String>,
    /// Strategies whose entry is enqueued or works at the broker.
    entering: BTreeSet<String>,
    /// Strategies that hold something, by symbol.
    open: BTreeMap<String, Holders>,
    /// Strategies with a mark.
    marked: BTreeSet<String>,
    /// While prices are checked here that Redis has not taken: what trailing stops follow by those that it took.
    held_trails: Option<HashMap<String, BTreeMap<String, String>>>,
}

impl Shadow {
    /// Takes over a journal entry, if it is the next one of its strategy.
    pub fn apply(&mut self, entry: &JournalEntry) -> Applied {
        if StrategyKey::parse(&entry.key).is_none() {
            return Applied::Old;
        }
        let version = self.known.get(&entry.key).map(|known| known.version);
        if entry.event_type() == Some(EventType::StrategyRemoved) {
            return match version {
                Some(version) if entry.version >= version => {
                    self.remove(&entry.key);
                    Applied::Done
                }
                _ => Applied::Old,
            };
        }
        match version {
            // It may have been deleted past the commands and begun to count anew.
            Some(version) if entry.version <= version && entry.replace => Applied::Gap,
            Some(version) if entry.version <= version => Applied::Old,
            Some(version) if entry.version != version + 1 && !entry.replace => Applied::Gap,
            None if !entry.replace => Applied::Gap,
            _ => {
                let mut known = self.take(&entry.key).unwrap_or_default();
                if entry.replace {
                    known.fields = Texts::default();
                }
                for (name, value) in &entry.data {
                    known.fields.set_json(name, value);
                }
                known.version = entry.version;
                known.mark.waits = false;
                self.put(&entry.key, known);
                Applied::Done
            }
        }
    }

    /// Takes over a hash as it was read; `None` where there is none.
    pub fn put_hash(&mut self, key: &str, hash: Option<&strat_client::Strategy>) {
        let mark = Mark { waits: false, ..self.take(key).unwrap_or_default().mark };
        let Some(hash) = hash else { return };
        let mut fields = Texts::default();
        for (name, value) in hash.fields() {
            fields.set(name, &String::from_utf8_lossy(value));
        }
        self.put(key, Known { fields, version: hash.version(), mark });
    }

    fn remove(&mut self, key: &str) {
        drop(self.take(key));
    }

    /// Takes a strategy out of every index.
    fn take(&mut self, key: &str) -> Option<Known> {
        let id = StrategyKey::parse(key)?;
        let known = self.known.remove(key)?;
        self.book.remove(&id);
        self.enqueued.remove(key);
        self.entering.remove(key);
        self.marked.remove(key);
        if let Some(symbol) = known.fields.get("symbol")
            && let Some(holders) = self.open.get_mut(symbol)
        {
            holders.remove(key, known.calendar());
            if holders.keys.is_empty() {
                self.open.remove(symbol);
            }
        }
        Some(known)
    }

    fn put(&mut self, key: &str, known: Known) {
        let Some(id) = StrategyKey::parse(key) else { return };
        match known.strategy() {
            Ok(strategy) if strategy.status != Status::Running && strategy.is_idle() => return,
            Ok(strategy) => {
                if strategy.open_quantity() > Quantity::ZERO {
                    self.open.entry(strategy.symbol.clone()).or_default().add(key, known.calendar());
                }
                if strategy.entry_in_flight() {
                    self.entering.insert(key.to_owned());
                }
                if waits_in_queue(&strategy) && !known.is_handed(&strategy) {
                    self.enqueued.insert(key.to_owned());
                }
                self.book.put(&id, &known.to_watch(strategy));
            }
            // As in the module: nothing guards it until its fields are mended.
            Err(refusal) => drop(self.book.put_invalid(&id, refusal.to_string())),
        }
        if known.mark != Mark::default() {
            self.marked.insert(key.to_owned());
        }
        self.known.insert(key.to_owned(), known);
    }

    /// A price came: trailing stops follow it.
    pub fn see(&mut self, symbol: &str, price: Price) {
        if self.book.raise(symbol, price) {
            // Redis keeps the durable copy.
            self.book.skip_trail_writes();
        }
    }

    /// Takes in what the durable key of a symbol knows.
    pub fn adopt_trail(&mut self, symbol: &str, fields: &[(&str, &str)]) {
        self.book.adopt_trail(symbol, fields);
    }

    /// From now on prices are checked here that Redis has not taken: what it has is kept apart, because a best price that
    /// it has not seen is none that it may be told before those that came first.
    pub fn hold_trails(&mut self) {
        let trails = self.book.trail_symbols().map(|symbol| (symbol.to_owned(), self.book.trail_fields(symbol)));
        self.held_trails = Some(trails.collect());
    }

    /// Redis takes every price again.
    pub fn let_trails_go(&mut self) {
        self.held_trails = None;
    }

    /// Forgets the prices that nobody follows any more.
    pub fn release_trails(&mut self) {
        while self.book.release_trail() {}
        self.book.skip_trail_writes();
    }

    /// The exits that a price fires, each once.
    pub fn cross(&mut self, symbol: &str, (price, text): (Price, &str), ts_ms: i64, fired: &mut Vec<Unclaimed>) {
        self.see(symbol, price);
        loop {
            let mut keys = Vec::new();
            self.book.crossed(symbol, price, CROSSED_MAX, &mut keys);
            if keys.is_empty() {
                return;
            }
            for key in keys {
                let exit = self.known.get(&*key).and_then(|known| known.strategy().ok()).and_then(|strategy| {
                    let best = strategy.trailing().and_then(|trailing| self.book.best_since(symbol, &trailing));
                    let action = strategy.fire(price, best, text, ts_ms)?.enqueue?.action;
                    Some(Unclaimed { key: key.to_string(), action, strategy, ts_ms, age_ms: 0 })
                });
                self.hand_over(&key, exit, fired);
            }
        }
    }

    /// The exits whose time has come, each once. Entries wait.
    pub fn due(&mut self, now_ms: i64, fired: &mut Vec<Unclaimed>) {
        loop {
            let keys = self.book.due("", now_ms, CROSSED_MAX);
            if keys.is_empty() {
                return;
            }
            for key in keys {
                let exit = self.known.get(&*key).and_then(|known| known.strategy().ok()).and_then(|strategy| {
                    let action = strategy.due(now_ms)?.enqueue?.action;
                    let exit = action.leg(strategy.side) == Leg::Exit;
                    exit.then(|| Unclaimed { key: key.to_string(), action, strategy, ts_ms: now_ms, age_ms: 0 })
                });
                self.hand_over(&key, exit, fired);
            }
        }
    }

    /// The exits that wait in a queue that nobody reads, each once.
    pub fn enqueued(&mut self, now_ms: i64, fired: &mut Vec<Unclaimed>) {
        for key in std::mem::take(&mut self.enqueued) {
            let exit = self.known.get(&key).and_then(|known| known.strategy().ok()).and_then(|strategy| {
                let action = strategy.pending?;
                Some(Unclaimed { key: key.clone(), action, strategy, ts_ms: now_ms, age_ms: 0 })
            });
            self.hand_over(&key, exit, fired);
        }
    }

    /// Takes over what the broker said of an entry while Redis could not be told. The journal will say the same.
    pub fn entry_reported(&mut self, key: &str, seen: &Strategy, report: &Report) {
        let Some(mut known) = self.take(key) else { return };
        // Something else was learned meanwhile: the next look asks again.
        if known.strategy().as_ref() == Ok(seen)
            && let Ok(Some(change)) = seen.report(Action::entry(seen.side), report, NO_RETRY)
        {
            for (name, value) in &change.fields {
                known.fields.set(name, value);
            }
        }
        self.put(key, known);
    }

    /// Marks a strategy so that it does not come again: its exit is in good hands, or there is none to be sent, and
    /// what its time asks for (an entry, a mere end) waits for Redis.
    fn hand_over(&mut self, key: &str, exit: Option<Unclaimed>, fired: &mut Vec<Unclaimed>) {
        let Some(mut known) = self.take(key) else { return };
        match &exit {
            Some(exit) => known.mark.exit = Some((exit.strategy.cycle, exit.strategy.attempt)),
            None => known.mark.waits = true,
        }
        self.put(key, known);
        fired.extend(exit);
    }

    /// Redis watches again: what it says counts, and what became of the exits it learns from the executor.
    pub fn forget_marks(&mut self) {
        for key in std::mem::take(&mut self.marked) {
            if let Some(mut known) = self.take(&key) {
                known.mark = Mark::default();
                self.put(&key, known);
            }
        }
    }
}

/// An exit that is enqueued, and not known to work at the broker.
fn waits_in_queue(strategy: &Strategy) -> bool {
    let exit = |action: Option<Action>| action.is_some_and(|action| action.leg(strategy.side) == Leg::Exit);
    exit(strategy.pending) && !exit(strategy.working)
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
