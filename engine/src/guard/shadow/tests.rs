//! The shadow against a Redis of a few lines: whatever the journal loses, after a reading both are the same.

use super::*;
use crate::random::SplitMix;
use serde_json::{Map, Value};
use strat_core::Action;

const SYMBOLS: [&str; 2] = ["IBM", "SPY"];

type Hash = BTreeMap<String, String>;

/// Hashes and a journal, as the module would write them.
#[derive(Default)]
struct Redis {
    hashes: BTreeMap<String, Hash>,
    journal: Vec<JournalEntry>,
}

impl Redis {
    fn version(&self, key: &str) -> u64 {
        self.hashes.get(key).and_then(|hash| hash.get("version")?.parse().ok()).unwrap_or(0)
    }

    fn log(&mut self, key: &str, kind: &str, version: u64, data: &[(&str, &str)], replace: bool) {
        let data: Map<String, Value> =
            data.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        self.journal.push(JournalEntry {
            id: format!("{}-0", self.journal.len() + 1),
            deliveries: 1,
            key: key.to_owned(),
            version,
            kind: kind.to_owned(),
            ts_ms: 1,
            data,
            order: None,
            replace,
        });
    }

    fn set(&mut self, key: &str, fields: &[(&str, &str)]) {
        let version = self.version(key) + 1;
        self.write(key, version, fields, true);
        self.log(key, "STRATEGY_STARTED", version, fields, true);
    }

    fn update(&mut self, key: &str, fields: &[(&str, &str)]) {
        let version = self.version(key) + 1;
        self.write(key, version, fields, false);
        self.log(key, "STRATEGY_UPDATED", version, fields, false);
    }

    fn write(&mut self, key: &str, version: u64, fields: &[(&str, &str)], replace: bool) {
        let hash = self.hashes.entry(key.to_owned()).or_default();
        if replace {
            hash.clear();
        }
        hash.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        hash.insert("version".to_owned(), version.to_string());
    }

    fn delete(&mut self, key: &str) {
        let version = self.version(key) + 1;
        self.hashes.remove(key);
        self.log(key, "STRATEGY_REMOVED", version, &[], false);
    }

    fn get(&self, key: &str) -> Option<strat_client::Strategy> {
        let hash = self.hashes.get(key)?;
        Some(strat_client::Strategy::new(key, hash.iter().map(|(name, value)| (name.clone(), value.clone()))))
    }

    /// A random command on a random strategy.
    fn step(&mut self, random: &mut SplitMix) {
        let key = format!("user:u{}:strategy:s{}", random.below(3), random.below(4));
        let level = (90 + random.below(20)).to_string();
        let pick = |random: &mut SplitMix, all: &[&'static str]| all[random.below(all.len() as u64) as usize];
        if !self.hashes.contains_key(&key) || random.chance(5) {
            let (symbol, side) = (pick(random, &SYMBOLS), pick(random, &["LONG", "SHORT"]));
            let held = if side == "LONG" { "BOUGHT" } else { "SHORTED" };
            let position = pick(random, &["NONE", held]);
            return self.set(
                &key,
                &[
                    ("symbol", symbol),
                    ("side", side),
                    ("quantity", "10"),
                    ("position", position),
                    ("stop_loss", &level),
                    ("note", "x"),
                ],
            );
        }
        match random.below(10) {
            0 => self.delete(&key),
            // Deleted past the commands: no entry tells.
            1 => drop(self.hashes.remove(&key)),
            2 => self.update(&key, &[("status", pick(random, &["RUNNING", "STOPPED", "COMPLETED"]))]),
            3 => self.update(&key, &[("pending", pick(random, &["", "STOPLOSS", "BUY"]))]),
            4 => self.update(&key, &[("symbol", pick(random, &SYMBOLS)), ("take_profit", "")]),
            5 => self.update(&key, &[("stop_loss", pick(random, &["abc", "95", ""]))]),
            6 => self.update(&key, &[("position", pick(random, &["NONE", "BOUGHT", "SOLD"])), ("sell_at", &level)]),
            7 => self.update(&key, &[("cycle", &level), ("attempt", "1"), ("exit_quantity", "3")]),
            _ => self.update(&key, &[("stop_loss", &level), ("take_profit", "120")]),
        }
    }
}

/// What prices and times fire, and what is open: everything that a guard is asked for.
fn answers(shadow: &Shadow) -> Vec<String> {
    let mut all = Vec::new();
    for symbol in SYMBOLS {
        for price in [1, 92, 95, 99, 104, 109, 121] {
            let mut keys = Vec::new();
            shadow.book.crossed(symbol, Price::from_units(price * 100_000_000), 1_000, &mut keys);
            keys.sort();
            all.push(format!("{symbol} {price} {keys:?}"));
        }
        all.push(format!("{symbol} {:?}", shadow.open_in(symbol, 1_000)));
    }
    all.push(format!("{:?}", shadow.book.due("", i64::MAX, 1_000).into_iter().collect::<BTreeSet<_>>()));
    all.push(format!("{:?} {:?} {:?}", shadow.enqueued, shadow.entering, shadow.stats().strategies));
    all
}

/// A shadow that has just read everything.
fn read_all(redis: &Redis) -> Shadow {
    let mut shadow = Shadow::default();
    for key in redis.hashes.keys() {
        shadow.put_hash(key, redis.get(key).as_ref());
    }
    shadow
}

fn walk(seed: u64) -> (usize, usize) {
    let mut random = SplitMix::new(seed);
    let (mut redis, mut shadow) = (Redis::default(), Shadow::default());
    let (mut read, mut gaps, mut lost) = (0, 0, false);
    for _ in 0..300 {
        redis.step(&mut random);
        if random.chance(10) {
            // The journal was trimmed: the entries up to here are never seen.
            (read, lost) = (redis.journal.len(), true);
        }
        if random.chance(40) {
            // As after a reconnection: where the journal stands is noted, then everything is read, then it is followed.
            let noted = redis.journal.len().saturating_sub(random.below(4) as usize);
            if random.chance(20) {
                for key in shadow.keys() {
                    shadow.put_hash(&key, redis.get(&key).as_ref());
                }
                for key in redis.hashes.keys() {
                    shadow.put_hash(key, redis.get(key).as_ref());
                }
                (read, lost) = (noted, false);
            }
            for entry in &redis.journal[read..] {
                if shadow.apply(entry) == Applied::Gap {
                    gaps += 1;
                    shadow.put_hash(&entry.key, redis.get(&entry.key).as_ref());
                }
            }
            read = redis.journal.len();
            assert_eq!(shadow.book.inconsistencies(), Vec::<String>::new(), "seed {seed}");
            if !lost && shadow.known.keys().all(|key| redis.hashes.contains_key(key)) {
                assert_eq!(answers(&shadow), answers(&read_all(&redis)), "seed {seed}");
            }
        }
    }
    for key in shadow.keys() {
        shadow.put_hash(&key, redis.get(&key).as_ref());
    }
    for key in redis.hashes.keys() {
        shadow.put_hash(key, redis.get(key).as_ref());
    }
    assert_eq!(answers(&shadow), answers(&read_all(&redis)), "seed {seed}");
    (gaps, redis.journal.len())
}

#[test]
fn the_shadow_follows_random_journals_and_notices_what_they_lack() {
    let totals = (0..100).map(walk).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(totals.0 > 500 && totals.1 > 20_000, "gaps and entries: {totals:?}");
}

const KEY: &str = "user:a:strategy:s";

fn held(fields: &[(&str, &str)]) -> (Redis, Shadow) {
    let mut redis = Redis::default();
    let mut all =
        vec![("symbol", "IBM"), ("quantity", "10"), ("position", "BOUGHT"), ("stop_loss", "95"), ("cycle", "1")];
    all.extend(fields);
    redis.set(KEY, &all);
    let mut shadow = Shadow::default();
    assert_eq!(shadow.apply(&redis.journal[0]), Applied::Done);
    (redis, shadow)
}

fn cross(shadow: &mut Shadow, price: &str) -> Vec<(Action, u64)> {
    let mut fired = Vec::new();
    shadow.cross("IBM", (price.parse().unwrap(), price), 7, &mut fired);
    fired.into_iter().map(|exit| (exit.action, exit.strategy.attempt)).collect()
}

#[test]
fn a_stop_fires_once_until_redis_is_back() {
    let (mut redis, mut shadow) = held(&[]);
    assert_eq!(cross(&mut shadow, "95.01"), []);
    assert_eq!(cross(&mut shadow, "95"), [(Action::StopLoss, 0)]);
    assert_eq!(cross(&mut shadow, "1"), []);
    // Changes that came late, and a reading, do not arm it again.
    redis.update(KEY, &[("stop_loss", "97")]);
    assert_eq!(shadow.apply(&redis.journal[1]), Applied::Done);
    shadow.put_hash(KEY, redis.get(KEY).as_ref());
    assert_eq!(cross(&mut shadow, "1"), []);
    shadow.forget_marks();
    assert_eq!(cross(&mut shadow, "96"), [(Action::StopLoss, 0)]);
    // The attempt died and the next one is another order.
    redis.update(KEY, &[("attempt", "1")]);
    assert_eq!(shadow.apply(&redis.journal[2]), Applied::Done);
    assert_eq!(cross(&mut shadow, "96"), [(Action::StopLoss, 1)]);
}

#[test]
fn exits_in_a_queue_and_exits_whose_time_comes_are_handed_over_once() {
    let (mut redis, mut shadow) = held(&[("sell_at", "100"), ("buy_at", "50")]);
    let mut fired = Vec::new();
    shadow.due(99, &mut fired);
    shadow.enqueued(99, &mut fired);
    assert!(fired.is_empty());
    shadow.due(100, &mut fired);
    shadow.due(101, &mut fired);
    assert_eq!(fired.iter().map(|exit| exit.action).collect::<Vec<_>>(), [Action::Sell]);
    shadow.forget_marks();
    redis.update(KEY, &[("pending", "STOPLOSS")]);
    assert_eq!(shadow.apply(&redis.journal[1]), Applied::Done);
    let mut waiting = Vec::new();
    shadow.due(102, &mut waiting);
    assert!(waiting.is_empty());
    shadow.enqueued(102, &mut waiting);
    shadow.enqueued(103, &mut waiting);
    assert_eq!(waiting.iter().map(|exit| exit.action).collect::<Vec<_>>(), [Action::StopLoss]);
    // At the broker already: its engine, or the next one, hears how it ends.
    shadow.forget_marks();
    redis.update(KEY, &[("working", "STOPLOSS")]);
    assert_eq!(shadow.apply(&redis.journal[2]), Applied::Done);
    shadow.enqueued(104, &mut waiting);
    assert_eq!((waiting.len(), cross(&mut shadow, "1")), (1, vec![]));
}

#[test]
fn entries_wait_and_do_not_hold_up_exits() {
    let (mut redis, mut shadow) = held(&[("sell_at", "100")]);
    for number in 0..2 * CROSSED_MAX {
        redis.set(&format!("user:b:strategy:s{number}"), &[("symbol", "IBM"), ("quantity", "1"), ("buy_at", "50")]);
    }
    for entry in &redis.journal[1..] {
        assert_eq!(shadow.apply(entry), Applied::Done);
    }
    let mut fired = Vec::new();
    shadow.due(100, &mut fired);
    assert_eq!(fired.len(), 1);
    // One that is filled meanwhile has its exit's time again.
    redis.update("user:b:strategy:s0", &[("position", "BOUGHT"), ("sell_at", "60")]);
    assert_eq!(shadow.apply(redis.journal.last().unwrap()), Applied::Done);
    shadow.due(100, &mut fired);
    assert_eq!(fired.len(), 2);
}

#[test]
fn what_an_entry_fills_while_redis_is_away_is_guarded() {
    let (mut redis, mut shadow) = held(&[("position", "NONE"), ("working", "BUY")]);
    assert_eq!(cross(&mut shadow, "95"), []);
    let flying = shadow.entries_in_flight(10);
    let report = |exec_type, filled: &str| Report {
        exec_type,
        filled: Some((filled.parse().unwrap(), "99".parse().unwrap())),
        order_id: String::new(),
        text: String::new(),
        ts_ms: 1,
    };
    let part = report(strat_core::ExecType::PartialFill, "4");
    shadow.entry_reported(KEY, &flying[0].1, &part);
    // What was asked for before that is of no use any more.
    shadow.entry_reported(KEY, &flying[0].1, &report(strat_core::ExecType::Fill, "10"));
    let mut fired = Vec::new();
    shadow.cross("IBM", ("95".parse().unwrap(), "95"), 7, &mut fired);
    assert_eq!(fired.len(), 1);
    assert_eq!(
        (fired[0].strategy.open_quantity(), fired[0].strategy.working),
        ("4".parse().unwrap(), Some(Action::Buy))
    );
    // Redis says the same later on.
    redis.update(KEY, &[("position", "BOUGHT"), ("filled_quantity", "10"), ("working", "")]);
    assert_eq!(shadow.apply(&redis.journal[1]), Applied::Done);
    shadow.forget_marks();
    assert_eq!((cross(&mut shadow, "95"), shadow.entries_in_flight(10)), (vec![(Action::StopLoss, 0)], vec![]));
}

#[test]
fn what_has_ended_is_forgotten() {
    let (mut redis, mut shadow) = held(&[]);
    assert_eq!(
        (shadow.stats().strategies, shadow.stats().armed, shadow.open_symbols()),
        (1, 1, vec!["IBM".to_owned()])
    );
    redis.update(KEY, &[("position", "SOLD"), ("status", "COMPLETED")]);
    assert_eq!(shadow.apply(&redis.journal[1]), Applied::Done);
    assert_eq!((shadow.stats(), shadow.open_symbols()), (ShadowStats::default(), vec![]));
    // It comes back: read it.
    redis.update(KEY, &[("status", "RUNNING")]);
    assert_eq!(shadow.apply(&redis.journal[2]), Applied::Gap);
    let mut removed = redis.journal[2].clone();
    (removed.kind, removed.version) = ("STRATEGY_REMOVED".to_owned(), 4);
    shadow.put_hash(KEY, redis.get(KEY).as_ref());
    assert_eq!((shadow.apply(&removed), shadow.apply(&removed)), (Applied::Done, Applied::Old));
}

#[test]
fn a_calendar_is_kept_and_a_note_is_not() {
    let (redis, shadow) = held(&[("calendar", "XNYS"), ("note", "a long story")]);
    assert_eq!(shadow.calendars_of("IBM").collect::<Vec<_>>(), ["XNYS"]);
    assert_eq!(shadow.known[KEY].fields.get("note"), None);
    assert_eq!(shadow.version(KEY), Some(redis.version(KEY)));
}
