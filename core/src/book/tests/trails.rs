//! Trailing stops against a naive model, in which each strategy looks at every price itself: through storms in slices,
//! restarts and on a replica.

use super::*;
use crate::decimal::SCALE;
use crate::order::Action;
use crate::strategy::{Position, Side};
use proptest::prelude::{any, prop_assert};
use std::collections::BTreeMap;

const SYMBOL: &str = "A";
const STRATEGIES: usize = 12;
/// Below the number of storms that are kept apart: merged ones may fire more.
const STORMS: usize = 12;

#[derive(Debug, Clone)]
enum Step {
    /// Opens a position: side, offset, reference.
    Open(usize, bool, &'static str, Option<i64>),
    Close(usize),
    /// An exit is in flight, or has failed.
    Busy(usize, bool),
    Rename(usize, usize),
    /// A price, and how many its call may fire.
    Tick(i64, usize),
    /// A slice of the oldest storm.
    Drain(usize),
    Release,
    Restart,
    /// The durable hash is as it was some time ago, and somebody who saw every price gives back what is lost.
    Lose,
    /// Somebody deletes the hash before it says everything.
    Tamper,
}

fn step() -> impl Generate<Value = Step> {
    let who = 0..STRATEGIES;
    let offset = select(vec!["1", "2", "2.5", "7", "10%", "40%"]);
    prop_oneof![
        4 => (who.clone(), any::<bool>(), offset, proptest::option::of(90..110_i64))
            .prop_map(|(who, long, offset, reference)| Step::Open(who, long, offset, reference)),
        1 => who.clone().prop_map(Step::Close),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, busy)| Step::Busy(who, busy)),
        1 => (who.clone(), who).prop_map(|(a, b)| Step::Rename(a, b)),
        8 => (select(vec![3, 90, 96, 97, 98, 99, 100, 101, 102, 103, 110]), 0..4_usize)
            .prop_map(|(price, budget)| Step::Tick(price, budget)),
        3 => (1..4_usize).prop_map(Step::Drain),
        1 => proptest::strategy::Just(Step::Release),
        1 => proptest::strategy::Just(Step::Restart),
        1 => proptest::strategy::Just(Step::Lose),
        1 => proptest::strategy::Just(Step::Tamper),
    ]
}

/// A strategy as its own hash and its own eyes have it.
#[derive(Debug, Clone)]
struct Eye {
    strategy: Strategy,
    /// Best gain that it saw; `None` before the first price where it has no reference.
    best: Option<i64>,
    /// A price crossed its stop: it fires, sooner or later.
    owed: bool,
}

impl Eye {
    fn see(&mut self, price: Price) {
        let gain = self.strategy.side.gain(price.units());
        self.best = Some(self.best.map_or(gain, |best| best.max(gain)));
        if self.strategy.arming().trail.is_some() {
            let best = self.best.map(|best| Price::from_units(self.strategy.side.gain(best)));
            self.owed |= self.strategy.crossed_by(price, best).is_some();
        }
    }
}

#[derive(Default)]
struct World {
    book: Book,
    replica: Book,
    /// Sees every price and change, and no key.
    shadow: Book,
    eyes: BTreeMap<usize, Eye>,
    /// The durable hash, and the key of the storms.
    trail: BTreeMap<String, String>,
    older: BTreeMap<String, String>,
    storms: Option<String>,
    now: i64,
}

fn texts(fields: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn name(index: usize) -> String {
    format!("user:u:strategy:{index}")
}

fn opened(long: bool, offset: &str, reference: Option<i64>, from: i64) -> Strategy {
    let reference = reference.map(|price| price.to_string()).unwrap_or_default();
    let from = from.to_string();
    let (side, position) = if long { ("LONG", "BOUGHT") } else { ("SHORT", "SHORTED") };
    let fields = [
        ("symbol", SYMBOL),
        ("quantity", "5"),
        ("side", side),
        ("position", position),
        ("trail", offset),
        ("trail_ref", &reference),
        ("trail_from", &from),
    ];
    Strategy::read(|name| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())).unwrap()
}

impl World {
    fn put(&mut self, index: usize) {
        let name = name(index);
        let key = StrategyKey::parse(&name).unwrap();
        for book in [&mut self.book, &mut self.replica, &mut self.shadow] {
            match self.eyes.get(&index) {
                Some(eye) => drop(book.put(&key, &eye.strategy)),
                None => drop(book.remove(&key)),
            }
        }
    }

    fn write(&mut self, write: TrailWrite) {
        // Two writes, and each is followed.
        self.trail.extend(write.written.clone());
        self.tell(true);
        self.trail.retain(|name, _| !write.gone.contains(name));
        self.tell(true);
    }

    /// What a turn of the event loop leaves to be written.
    fn flush(&mut self) {
        while let Some((symbol, write)) = self.book.take_trail_write() {
            assert_eq!(symbol, SYMBOL);
            self.write(write);
        }
        self.shadow.skip_trail_writes();
    }

    /// The replica hears of the keys; the primary of its own writes too.
    fn tell(&mut self, trail: bool) {
        let fields = texts(&self.trail);
        for book in [&mut self.book, &mut self.replica] {
            if trail {
                book.follow_trail(SYMBOL, &fields);
            } else {
                book.follow_storms(SYMBOL, self.storms.as_deref());
            }
        }
    }

    fn fire(&mut self, name: &str, price: Price, best: impl Fn(&Book, &crate::strategy::Trailing) -> Option<Price>) {
        let index: usize = name.rsplit(':').next().unwrap().parse().unwrap();
        let eye = self.eyes.get_mut(&index).unwrap();
        let best = best(&self.book, &eye.strategy.trailing().unwrap());
        assert!(eye.owed, "{name} fires, and no price crossed its stop: {eye:?}");
        assert_eq!(eye.strategy.crossed_by(price, best), Some(Action::StopLoss), "{name}: {eye:?}");
        eye.owed = false;
        eye.strategy.pending = Some(Action::StopLoss);
        self.put(index);
    }

    fn tick(&mut self, price: i64, budget: usize) {
        let price = Price::from_units(price * SCALE);
        self.eyes.values_mut().for_each(|eye| eye.see(price));
        assert_eq!(touch(&mut self.book, SYMBOL, price, 0, 0).raises, self.book.clone_is_raised(price));
        self.shadow.raise(SYMBOL, price);
        self.book.raise(SYMBOL, price);
        let budget = if self.book.storms.get(SYMBOL).map_or(0, Vec::len) < STORMS { budget } else { usize::MAX - 1 };
        let mut keys = Vec::new();
        self.book.crossed(SYMBOL, price, budget + 1, &mut keys);
        assert_eq!(touch(&mut self.book, SYMBOL, price, 0, 0).crosses, !keys.is_empty());
        for key in keys.iter().take(budget) {
            self.fire(key, price, |book, trailing| book.best_since(SYMBOL, trailing));
        }
        if keys.len() > budget {
            self.book.add_storm(SYMBOL, price, self.now);
            self.storms = self.book.storms_text(SYMBOL);
            self.tell(false);
        }
    }

    fn drain(&mut self, limit: usize) {
        let Some(slice) = self.book.storm_slice(SYMBOL, limit) else { return };
        assert!(slice.keys.len() <= limit);
        for key in &slice.keys {
            self.fire(key, slice.price, |book, trailing| book.best_in_storm(SYMBOL, trailing));
        }
        if slice.keys.is_empty() {
            self.book.end_storm(SYMBOL);
            self.storms = self.book.storms_text(SYMBOL);
            self.tell(false);
        }
    }

    fn take(&mut self, step: Step, flushes: bool) {
        self.now += 1;
        if flushes {
            self.flush();
        }
        match step {
            Step::Open(index, long, offset, reference) => {
                let side = if long { Side::Long } else { Side::Short };
                if self.eyes.get(&index).is_some_and(|eye| eye.owed) {
                    return;
                }
                let strategy = opened(long, offset, reference, self.book.next_moment(SYMBOL, side, self.now));
                let best = reference.map(|price| side.gain(price * SCALE));
                self.eyes.insert(index, Eye { strategy, best, owed: false });
                self.put(index);
            }
            Step::Close(index) => {
                self.eyes.remove(&index);
                self.put(index);
            }
            Step::Busy(index, busy) => {
                // Whether it was armed before a storm is not known after a restart.
                let calm = self.storms.is_none();
                let Some(eye) = self.eyes.get_mut(&index).filter(|eye| calm && !eye.owed) else { return };
                eye.strategy.pending = busy.then_some(Action::StopLoss);
                self.put(index);
            }
            Step::Rename(from, to) => {
                let (Some(eye), true) = (self.eyes.get(&from), from != to) else { return };
                // A stop that is fired in principle is put back by its best price, and so may a renamed one.
                if eye.owed || self.storms.is_some() {
                    return;
                }
                let eye = self.eyes.remove(&from).unwrap();
                self.put(from);
                self.eyes.insert(to, eye);
                self.put(to);
            }
            Step::Tick(price, budget) => self.tick(price, budget),
            Step::Drain(limit) => self.drain(limit),
            Step::Release => {
                for book in [&mut self.book, &mut self.shadow] {
                    while book.release_trail() {}
                }
            }
            Step::Restart => self.restart(),
            Step::Lose => self.lose(),
            Step::Tamper if !self.book.following.unwritten.is_empty() => {
                self.trail.clear();
                self.tell(true);
            }
            Step::Tamper => {}
        }
    }

    fn lose(&mut self) {
        self.flush();
        let now = self.trail.clone();
        self.trail = std::mem::replace(&mut self.older, now);
        self.tell(true);
        let known = self.shadow.trail_fields(SYMBOL);
        if let Some(write) = TrailWrite::joining(&texts(&known), &texts(&self.trail)) {
            self.write(write);
        }
        assert_eq!(TrailWrite::joining(&texts(&known), &texts(&self.trail)), None, "once is enough");
        let fields = self.trail.clone();
        self.shadow.adopt_trail(SYMBOL, &texts(&fields));
    }

    /// Every other restart is a failover: the replica goes on.
    fn restart(&mut self) {
        self.flush();
        if self.now % 2 == 0 {
            std::mem::swap(&mut self.book, &mut self.replica);
        }
        let loaded = if self.now % 2 == 0 { &mut self.replica } else { &mut self.book };
        *loaded = Book::default();
        loaded.defer();
        let fields = texts(&self.trail);
        if self.now % 3 == 0 {
            loaded.follow_trail(SYMBOL, &fields);
        }
        for (index, eye) in &self.eyes {
            loaded.put(&StrategyKey::parse(&name(*index)).unwrap(), &eye.strategy);
        }
        if self.now % 3 != 0 {
            loaded.follow_trail(SYMBOL, &fields);
        }
        loaded.follow_storms(SYMBOL, self.storms.as_deref());
        loaded.settle();
    }

    fn check(&self) {
        for book in [&self.book, &self.replica, &self.shadow] {
            assert_eq!(book.inconsistencies(), Vec::<String>::new());
        }
        for (index, eye) in &self.eyes {
            let armed = self.book.arming_of(&name(*index)).map(|(arming, ..)| arming);
            assert_eq!(armed, Some(eye.strategy.arming()));
            let trailing = eye.strategy.trailing().unwrap();
            let since = self.book.best_since(SYMBOL, &trailing).map_or(i64::MIN, |p| trailing.side.gain(p.units()));
            assert_eq!(
                trailing.best(since),
                eye.best.unwrap_or(i64::MIN),
                "{index}: {eye:?} {:?}",
                self.book.following
            );
        }
    }
}

impl Book {
    /// Whether a new best comes of a price, seen from each follower.
    fn clone_is_raised(&self, price: Price) -> bool {
        let moments = self.following.trails.get(SYMBOL);
        moments.is_some_and(|trails| {
            Side::ALL.iter().any(|side| {
                let mut all = trails.side(*side).extremes.all();
                all.any(|extreme| extreme.best < side.gain(price.units()))
            })
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn trailing_stops_fire_when_their_own_eyes_would(steps in vec((step(), any::<bool>()), 1..60)) {
        let mut world = World::default();
        for (step, flushes) in steps {
            world.take(step, flushes);
            world.check();
        }
        for _ in 0..200 {
            world.drain(3);
        }
        prop_assert!(world.storms.is_none(), "the storms end");
        prop_assert!(world.eyes.values().all(|eye| !eye.owed), "nothing is lost: {:?}", world.eyes);
    }
}

#[test]
fn a_position_waits_for_the_moment_that_the_module_gives() {
    let mut strategy = opened(true, "5", None, 0);
    strategy.trail_from = None;
    strategy.entry_price = Some(Price::from_units(100));
    assert!(strategy.begins_trailing() && strategy.position == Position::Bought);
    let key = name(1);
    let key = StrategyKey::parse(&key).unwrap();
    let mut book = Book::default();
    book.put(&key, &strategy);
    assert_eq!(book.beginner().as_deref(), Some("user:u:strategy:1"));
    let fields = strategy.begin_trailing(7);
    let begun = strategy.after(&fields).unwrap();
    assert_eq!((begun.trail_ref, begun.trail_from), (strategy.entry_price, Some(7)));
    book.put(&key, &begun);
    assert_eq!(book.beginner(), None);
    assert!(touch(&mut book, SYMBOL, Price::from_units(-5 * SCALE), 0, 0).crosses);
}
