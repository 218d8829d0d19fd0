//! A model of Redis with the module: as thin over `strat_core` as the module's commands are.

use crate::data::{Data, Fields, Health, Item, Published};
use crate::stream::Id;
use std::sync::Arc;
use strat_client::{JournalEntry, ReportRequest};
use strat_core::book::Book;
use strat_core::lock::{Lock, Token};
use strat_core::planted::{self, Mistake};
use strat_core::strategy::{Backoff, Change, Report, SetInput};
use strat_core::{Action, Code, EventType, Leg, Price, Refusal, Side, Strategy, StrategyKey};

/// Waits of dead exits.
pub(crate) const BACKOFF: Backoff = Backoff { base_ms: 500, max_ms: 4_000 };

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) data: Data,
    pub(crate) book: Book,
    pub(crate) health: Health,
    pub(crate) epoch: Arc<str>,
    epochs: u64,
    last_token: Token,
    pub(crate) published: Vec<Published>,
    /// Broken promises noticed here.
    pub(crate) wrong: Vec<String>,
}

impl Redis {
    pub(crate) fn new(now_ms: i64) -> Self {
        let mut redis = Self {
            data: Data::default(),
            book: Book::default(),
            health: Health::Up,
            epoch: "".into(),
            epochs: 0,
            last_token: Token::default(),
            published: Vec::new(),
            wrong: Vec::new(),
        };
        redis.new_epoch(now_ms);
        redis
    }

    pub(crate) fn new_epoch(&mut self, now_ms: i64) {
        self.epochs += 1;
        self.epoch = format!("{now_ms}-{:x}", self.epochs).into();
    }

    /// Starts with these data: a restart, a promotion, or a flush with none.
    pub(crate) fn load(&mut self, data: Data, now_ms: i64) {
        self.data = data;
        self.book = Book::default();
        let keys: Vec<_> = self.data.hashes.keys().cloned().collect();
        keys.iter().for_each(|key| self.follow(key));
        self.new_epoch(now_ms);
    }

    pub(crate) fn strategy(&self, key: &str) -> Option<Strategy> {
        let fields = self.data.hashes.get(key)?;
        Strategy::read(|name| fields.get(name).map(String::as_bytes)).ok()
    }

    fn required(&self, key: &str) -> Result<Strategy, Refusal> {
        self.strategy(key).ok_or_else(|| Refusal::new(Code::NoStrat, format!("there is no strategy at {key}")))
    }

    fn follow(&mut self, key: &str) {
        let Some(id) = StrategyKey::parse(key) else { return };
        match self.strategy(key) {
            Some(strategy) => drop(self.book.put(&id, &strategy)),
            None => drop(self.book.remove(&id)),
        }
    }

    /// `STRAT.SET`.
    pub(crate) fn set(&mut self, key: &str, fields: &Fields, nx: bool, now_ms: i64) -> Result<Option<u64>, Refusal> {
        let Some(id) = StrategyKey::parse(key) else { return Ok(None) };
        if nx && self.data.hashes.contains_key(key) {
            return Ok(None);
        }
        let old = self.strategy(key);
        if old.is_some() && self.lock_of(key, now_ms).is_some() {
            return Err(Refusal::new(Code::Busy, "an order is being placed for the strategy"));
        }
        self.put(id, fields, old.as_ref(), now_ms).map(Some)
    }

    /// `STRAT.SET … RESTORE`: in place of this version only, 0 for none.
    pub(crate) fn restore(
        &mut self,
        key: &str,
        fields: &Fields,
        (epoch, version): (&str, u64),
        now_ms: i64,
    ) -> Result<u64, Refusal> {
        let id = StrategyKey::parse(key).ok_or_else(|| Refusal::new(Code::Err, "no key"))?;
        if epoch != &*self.epoch {
            return Err(Refusal::new(Code::Unsynced, "the epoch is over"));
        }
        if self.strategy(key).map_or(0, |strategy| strategy.version) != version {
            return Err(Refusal::new(Code::BadVersion, "the strategy has moved on"));
        }
        self.put(id, fields, None, now_ms)
    }

    /// Writes a whole hash.
    fn put(
        &mut self,
        id: StrategyKey<'_>,
        fields: &Fields,
        old: Option<&Strategy>,
        now_ms: i64,
    ) -> Result<u64, Refusal> {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let (change, version) = Strategy::set(&SetInput { key: id, fields: &pairs, old, salvaged: None, now_ms })?;
        let key = &id.hash();
        let side = if fields.get("side").is_some_and(|side| side == "SHORT") { Side::Short } else { Side::Long };
        self.data.hashes.remove(key);
        self.apply(key, change, version, side, now_ms, true);
        Ok(version)
    }

    /// `STRAT.UPDATE`.
    pub(crate) fn update(&mut self, key: &str, fields: &[(&str, String)], now_ms: i64) -> Result<(), Refusal> {
        let Some(strategy) = self.strategy(key) else { return Ok(()) };
        let pairs: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let current = self.data.hashes.get(key).cloned().unwrap_or_default();
        let Some(change) = strategy.update(&pairs, |name| current.get(name).map(String::as_bytes), now_ms)? else {
            return Ok(());
        };
        self.apply(key, change, strategy.next_version(), strategy.side, now_ms, false);
        Ok(())
    }

    /// `STRAT.SLCHECK` of one price: the strategies that it crosses by the hash, and those that it fired.
    pub(crate) fn slcheck(&mut self, symbol: &str, (price, text): (Price, &str), now_ms: i64) -> Vec<(String, u64)> {
        let mut keys = Vec::new();
        self.book.crossed(symbol, price, usize::MAX, &mut keys);
        let mut fired = Vec::new();
        for key in keys {
            let Some(strategy) = self.strategy(&key) else { continue };
            let Some(change) = strategy.fire(price, None, text, now_ms) else { continue };
            if strategy.exit_in_flight() {
                self.wrong.push(format!("2: {key} fired although its exit is in flight"));
            }
            fired.push((key.to_string(), strategy.cycle));
            self.apply(&key, change, strategy.next_version(), strategy.side, now_ms, false);
        }
        fired
    }

    /// `STRAT.DUE`.
    pub(crate) fn due(&mut self, due_ms: i64, now_ms: i64) {
        for key in self.book.due("", due_ms, 1_000) {
            let Some(strategy) = self.strategy(&key) else { continue };
            let Some(change) = strategy.due(due_ms) else { continue };
            self.apply(&key, change, strategy.next_version(), strategy.side, now_ms, false);
        }
    }

    /// `STRAT.LOCK`. `known`: the epoch that the caller was reconciled for.
    pub(crate) fn lock(
        &mut self,
        key: &str,
        (action, owner): (Action, &str),
        ttl_ms: i64,
        known: &str,
        now_ms: i64,
    ) -> Result<Option<String>, Refusal> {
        let stale = known != &*self.epoch;
        if stale && !planted::is(Mistake::StaleEpoch) {
            return Err(Refusal::new(Code::Unsynced, "the epoch is over"));
        }
        let strategy = self.required(key)?;
        if self.lock_of(key, now_ms).is_some() {
            return Ok(None);
        }
        strategy.check_claim(action)?;
        if stale {
            self.wrong.push(format!("4: {key} was claimed with an epoch that is over"));
        }
        self.last_token = self.last_token.next(now_ms);
        let token = self.last_token.to_string();
        let value = Lock { action, owner, token: &token }.to_string();
        self.data.locks.insert(key.to_owned(), (value, now_ms + ttl_ms));
        Ok(Some(token))
    }

    /// The value of a lock that has not run out.
    pub(crate) fn lock_of(&self, key: &str, now_ms: i64) -> Option<&str> {
        self.data.locks.get(key).filter(|(_, until)| *until > now_ms).map(|(value, _)| value.as_str())
    }

    pub(crate) fn locks(&self, now_ms: i64) -> impl Iterator<Item = &str> {
        self.data.locks.iter().filter(move |(_, (_, until))| *until > now_ms).map(|(key, _)| key.as_str())
    }

    fn holds(&self, key: &str, token: &str, now_ms: i64) -> bool {
        let lock = self.lock_of(key, now_ms).and_then(|value| Lock::parse(value.as_bytes()));
        lock.is_some_and(|lock| lock.is_held_by(token))
    }

    /// `STRAT.EXTEND`.
    pub(crate) fn extend(&mut self, key: &str, token: &str, ttl_ms: i64, now_ms: i64) -> bool {
        let holds = self.holds(key, token, now_ms);
        if let Some(lock) = self.data.locks.get_mut(key).filter(|_| holds) {
            lock.1 = now_ms + ttl_ms;
        }
        holds
    }

    /// `STRAT.UNLOCK`.
    pub(crate) fn unlock(&mut self, key: &str, token: &str, now_ms: i64) {
        if self.holds(key, token, now_ms) {
            self.data.locks.remove(key);
        }
    }

    /// `STRAT.REPORT`.
    pub(crate) fn report(&mut self, key: &str, token: &str, given: &ReportRequest, now_ms: i64) -> Result<(), Refusal> {
        let id = StrategyKey::parse(key).ok_or_else(|| Refusal::new(Code::Err, "no key"))?;
        let strategy = self.required(key)?;
        let value = self.lock_of(key, now_ms).unwrap_or_default().to_owned();
        let lock = Lock::check(Lock::parse(value.as_bytes()), token, &id)?;
        let (claimed, really) = (lock.action, lock.token == token);
        let action = given.action_reported().unwrap_or(claimed);
        let report = Report {
            exec_type: given.exec_type(),
            filled: given.filled(),
            order_id: given.order().unwrap_or_default().to_owned(),
            text: given.words().to_owned(),
            ts_ms: given.at_ms().unwrap_or(now_ms),
        };
        strategy.check_attempt(id, action, &report.order_id)?;
        if let Some(mut change) = strategy.report(action, &report, BACKOFF)? {
            change.release_lock &= action == claimed;
            if !really {
                self.wrong.push(format!("4: {key} was changed with a token that does not hold its lock"));
            }
            self.apply(key, change, strategy.next_version(), strategy.side, now_ms, false);
        }
        if let Some((stream, entry)) = given.entry().and_then(|(stream, id)| Some((stream, parse_id(id)?))) {
            self.acknowledge(stream, entry);
        }
        Ok(())
    }

    /// `XACK` and `XDEL` of a queue entry.
    pub(crate) fn acknowledge(&mut self, stream: &str, id: Id) {
        let queue = if stream.ends_with("exits") { &mut self.data.exits } else { &mut self.data.orders };
        queue.acknowledge(id, true);
    }

    fn apply(&mut self, key: &str, change: Change, version: u64, side: Side, now_ms: i64, replace: bool) {
        let mut data = change.record();
        data.insert("version".to_owned(), version.to_string().into());
        data.insert("updated_at".to_owned(), now_ms.to_string().into());
        let item = change.enqueue.as_ref().map(|order| {
            let item = Item { key: key.to_owned(), action: order.action, cycle: order.cycle, version, ts_ms: order.ts };
            let exit = order.action.leg(side) == Leg::Exit;
            let queue = if exit { &mut self.data.exits } else { &mut self.data.orders };
            (queue.add(now_ms, |_| item.clone()), item)
        });
        let hash = self.data.hashes.entry(key.to_owned()).or_default();
        for (name, value) in change.fields.iter().map(|(name, value)| (name.as_str(), value.clone())) {
            hash.insert(name.to_owned(), value);
        }
        hash.insert("version".to_owned(), version.to_string());
        hash.insert("updated_at".to_owned(), now_ms.to_string());
        self.follow(key);
        if change.release_lock {
            self.data.locks.remove(key);
        }
        // A refused order alone is nothing that somebody must do something about.
        let error = change.fields.iter().find(|(name, _)| name == "error").map_or("", |(_, text)| text.as_str());
        let grave = ["unguarded_quantity", "oversold_quantity"].iter().any(|name| change.context.contains_key(*name));
        let alarm = change.publish.contains(&EventType::StrategyError) && (grave || error.contains("used before"));
        let kind = change.journal;
        self.data.journal.add(now_ms, |id| {
            Arc::new(JournalEntry {
                id: format!("{}-{}", id.0, id.1),
                deliveries: 1,
                key: key.to_owned(),
                version,
                kind: kind.as_str().to_owned(),
                ts_ms: now_ms,
                data,
                order: change.order,
                replace,
            })
        });
        self.published.push(Published { key: key.to_owned(), kind, alarm, enqueued: item });
    }
}

pub(crate) fn parse_id(id: &str) -> Option<Id> {
    let (ms, n) = id.split_once('-')?;
    Some((ms.parse().ok()?, n.parse().ok()?))
}
