//! The trails against a naive model in which every stop keeps its own best price, and looks at every tick.

use super::*;
use crate::book::Book;
use crate::key::StrategyKey;
use crate::strategy::{Anchor, Distance, Strategy};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::strategy::Strategy as Generate;
use std::cell::Cell;
use std::collections::BTreeSet;

thread_local! {
    static MOVES: Cell<usize> = const { Cell::new(0) };
}

/// Counts the stops that move from one group to another.
pub(super) fn count_moves(moved: usize) {
    MOVES.set(MOVES.get() + moved);
}

const SYMBOL: &str = "{t}X";
const KEYS: usize = 8;

#[derive(Debug, Clone)]
enum Op {
    /// A position opens with a trailing stop that starts from a price.
    Open(usize, Side, &'static str, i64),
    /// Another distance, or an exit in flight, or none any more.
    Change(usize, &'static str, bool),
    Remove(usize),
    Tick(i64),
    /// What the price crosses now is fired later.
    Storm(i64),
    /// The oldest storm is looked at, and is over.
    Drain,
    Sweep,
    Restart,
}

fn op() -> impl Generate<Value = Op> {
    let distance = || select(vec!["1", "2", "2.5", "7", "1%", "5%", "10%", "99%"]);
    let side = select(vec![Side::Long, Side::Long, Side::Short]);
    let price = || prop_oneof![8 => 90..110_i64, 1 => -5..5_i64];
    prop_oneof![
        6 => (0..KEYS, side, distance(), price()).prop_map(|(key, side, far, price)| Op::Open(key, side, far, price)),
        2 => (0..KEYS, distance(), any::<bool>()).prop_map(|(key, far, armed)| Op::Change(key, far, armed)),
        2 => (0..KEYS).prop_map(Op::Remove),
        12 => price().prop_map(Op::Tick),
        1 => price().prop_map(Op::Storm),
        1 => proptest::strategy::Just(Op::Drain),
        1 => proptest::strategy::Just(Op::Sweep),
        1 => proptest::strategy::Just(Op::Restart),
    ]
}

/// A stop that looks at every tick itself.
#[derive(Debug, Clone)]
struct Naive {
    side: Side,
    distance: &'static str,
    armed: bool,
    anchor: Anchor,
    best: Price,
    /// Which opening it is, and how often it was armed otherwise.
    opened: usize,
    armed_at: usize,
}

impl Naive {
    fn strategy(&self) -> Strategy {
        let (reference, from) = (self.anchor.reference.to_string(), self.anchor.from.to_string());
        let short = self.side == Side::Short;
        let fields = [
            ("symbol", "X"),
            ("quantity", "1"),
            ("side", self.side.as_str()),
            ("position", if short { "SHORTED" } else { "BOUGHT" }),
            ("pending", if self.armed { "" } else { "SQUAREOFF" }),
            ("trail", self.distance),
            ("trail_ref", &reference),
            ("trail_from", &from),
        ];
        Strategy::read(|name| fields.iter().find(|f| f.0 == name).map(|f| f.1.as_bytes())).unwrap()
    }

    fn level(&self, best: Price) -> i64 {
        let level = Distance::parse(self.distance.as_bytes()).unwrap().level(self.side, best);
        self.side.height(level)
    }

    fn crossed(&self, price: Price, best: Price) -> bool {
        self.armed && self.side.height(price) <= self.level(best)
    }
}

#[derive(Debug)]
struct Storm {
    price: Price,
    seq: u64,
    fence: i64,
    /// How often anything had been armed.
    armed_at: usize,
    /// Opening and best price of those who were there.
    seen: BTreeMap<usize, (usize, Price)>,
}

#[derive(Debug, Default)]
struct World {
    book: Book,
    stops: BTreeMap<usize, Naive>,
    storms: Vec<Storm>,
    /// `trail:{symbol}`.
    key: BTreeMap<String, Price>,
    armed: usize,
    now_ms: i64,
}

fn name(key: usize) -> String {
    format!("{{t}}user:u:strategy:{key}")
}

fn price(units: i64) -> Price {
    Price::from_units(units * crate::decimal::SCALE)
}

impl World {
    fn step(&mut self, op: &Op) {
        // Several things happen in one millisecond.
        self.now_ms += i64::from(self.armed.is_multiple_of(3));
        self.armed += 1;
        match op {
            Op::Open(key, side, distance, at) => {
                let from = self.book.trail_start(SYMBOL, *side, self.now_ms);
                let anchor = Anchor { reference: price(*at), from };
                let armed = self.armed;
                let stop = Naive {
                    side: *side,
                    distance,
                    armed: true,
                    anchor,
                    best: price(*at),
                    opened: armed,
                    armed_at: armed,
                };
                self.put(*key, stop);
            }
            Op::Change(key, distance, armed) => {
                if let Some(mut stop) = self.stops.get(key).cloned() {
                    if (stop.distance, stop.armed) != (*distance, *armed) {
                        stop.armed_at = self.armed;
                    }
                    (stop.distance, stop.armed) = (distance, *armed);
                    self.put(*key, stop);
                }
            }
            Op::Remove(key) => {
                self.stops.remove(key);
                self.book.remove(&StrategyKey::parse(&name(*key)).unwrap());
            }
            Op::Tick(at) => self.tick(price(*at)),
            Op::Storm(at) => self.storm(price(*at)),
            Op::Drain => self.drain(),
            Op::Sweep => self.sweep(),
            Op::Restart => self.restart(),
        }
    }

    fn put(&mut self, key: usize, stop: Naive) {
        self.book.put(&StrategyKey::parse(&name(key)).unwrap(), &stop.strategy());
        self.stops.insert(key, stop);
    }

    fn tick(&mut self, at: Price) {
        for stop in self.stops.values_mut() {
            stop.best = stop.side.better(stop.best, at);
        }
        for extreme in self.book.raise(SYMBOL, at).extremes.into_iter().flatten() {
            self.key.insert(Extreme::field(extreme.side, extreme.number), extreme.price);
        }
        for field in self.book.take_stale_extremes(SYMBOL, 1) {
            self.key.remove(&field);
        }
        self.check_crossed(at);
    }

    /// The same stops in the same order, those with equal levels in any.
    fn check_crossed(&self, at: Price) {
        let crossed = |stop: &&Naive| stop.crossed(at, stop.best);
        for limit in [1, 3, usize::MAX] {
            let mut found = Vec::new();
            self.book.crossed(SYMBOL, at, limit, &mut found);
            let all = self.stops.iter().filter(|(_, stop)| crossed(stop)).collect::<Vec<_>>();
            assert_eq!(found.len(), all.len().min(limit), "{self:#?}");
            for side in Side::ALL {
                let level = |key: &usize| self.stops[key].level(self.stops[key].best);
                let mut expected =
                    all.iter().filter(|(_, stop)| stop.side == *side).map(|(key, _)| level(key)).collect::<Vec<_>>();
                expected.sort_unstable_by(|a, b| b.cmp(a));
                let keys = found.iter().map(|key| key.rsplit(':').next().unwrap().parse::<usize>().unwrap());
                let levels =
                    keys.filter(|key| self.stops[key].side == *side).map(|key| level(&key)).collect::<Vec<_>>();
                assert_eq!(levels[..], expected[..levels.len()], "closest first");
            }
        }
    }

    fn storm(&mut self, at: Price) {
        self.tick(at);
        if self.storms.len() < 3 {
            let (seq, fence) = (self.book.seq(), self.book.trail_fence(SYMBOL));
            let seen = self.stops.iter().map(|(key, stop)| (*key, (stop.opened, stop.best))).collect();
            self.storms.push(Storm { price: at, seq, fence, armed_at: self.armed, seen });
            self.fence();
        }
    }

    fn fence(&mut self) {
        self.book.set_trail_fences(SYMBOL, self.storms.iter().map(|storm| storm.fence).collect());
    }

    fn drain(&mut self) {
        if self.storms.is_empty() {
            return;
        }
        for storm in &self.storms {
            let mut found = Vec::new();
            self.book.crossed_until(SYMBOL, storm.price, (storm.seq, storm.fence), usize::MAX, &mut found);
            let found = found.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            let crossed = |(key, stop): &(&usize, &Naive)| {
                let seen = storm.seen.get(key).filter(|(opened, _)| *opened == stop.opened);
                let as_then = stop.armed_at <= storm.armed_at;
                seen.is_some_and(|(_, best)| as_then && stop.crossed(storm.price, *best))
            };
            let expected = self.stops.iter().filter(crossed).map(|(key, _)| name(*key)).collect::<BTreeSet<_>>();
            assert_eq!(found, expected, "{storm:#?} {self:#?}");
            for (key, stop) in self.stops.iter().filter(|(key, _)| expected.contains(&name(**key))) {
                let trailing = stop.strategy().trailing().unwrap();
                let best = self.book.best_price(SYMBOL, &trailing, Some(storm.fence));
                assert_eq!(best, Some(storm.seen[key].1));
            }
        }
        self.storms.remove(0);
        self.fence();
    }

    fn sweep(&mut self) {
        while let Some((symbol, sweep)) = self.book.next_trail_sweep(2) {
            assert_eq!(&*symbol, SYMBOL);
            match sweep {
                Sweep::Key => self.key.clear(),
                Sweep::Fields(fields) => self.key.retain(|field, _| !fields.contains(field)),
            }
        }
        assert!(!self.stops.is_empty() || self.key.is_empty(), "nobody needs the key");
    }

    /// A new book from the hashes, the key and the storms, in an order of its own.
    fn restart(&mut self) {
        self.book = Book::default();
        for (key, stop) in self.stops.iter().rev() {
            self.book.put(&StrategyKey::parse(&name(*key)).unwrap(), &stop.strategy());
        }
        self.fence();
        let parse = |(field, price): (&String, &Price)| Extreme::parse(field.as_bytes(), price.to_string().as_bytes());
        self.book.load_trail(SYMBOL, self.key.iter().filter_map(parse).collect());
        let seq = self.book.seq();
        // What was armed when is forgotten, but not what began when.
        for storm in &mut self.storms {
            (storm.seq, storm.armed_at) = (seq, self.armed);
        }
    }

    fn check(&self) {
        assert_eq!(self.book.inconsistencies(), Vec::<String>::new(), "{self:#?}");
        let (extremes, stale) = self.book.extremes(SYMBOL);
        for stop in self.stops.values() {
            let trailing = stop.strategy().trailing().unwrap();
            assert_eq!(self.book.best_price(SYMBOL, &trailing, None), Some(stop.best), "{stop:?} {self:#?}");
            // What is durable says the same.
            let counts =
                |(field, price): (&String, &Price)| Extreme::parse(field.as_bytes(), price.to_string().as_bytes());
            let own =
                self.key.iter().filter_map(counts).filter(|e| e.side == stop.side && e.number >= stop.anchor.from);
            let best = own.fold(stop.anchor.reference, |best, extreme| stop.side.better(best, extreme.price));
            assert_eq!(best, stop.best, "{stop:?} {:?}", self.key);
        }
        for (index, stop) in &self.stops {
            assert!(self.book.follows_trail(&name(*index), stop.strategy().trailing().as_ref()));
        }
        let mut fields: BTreeSet<String> = extremes.iter().map(|e| Extreme::field(e.side, e.number)).collect();
        if self.storms.is_empty() {
            assert!(fields.len() <= self.stops.len(), "an extreme for each stop at most");
        }
        fields.extend(stale);
        assert!(self.key.keys().all(|field| fields.contains(field)), "{fields:?} {:?}", self.key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_stop_is_where_its_own_ticks_have_brought_it(ops in vec(op(), 1..80)) {
        let mut world = World::default();
        for op in &ops {
            world.step(op);
            world.check();
        }
        world.storms.clear();
        world.fence();
        world.sweep();
        let (extremes, stale) = world.book.extremes(SYMBOL);
        assert!(stale.is_empty());
        assert_eq!(world.key.len(), extremes.len(), "the key holds what is needed and nothing else");
    }
}

#[test]
fn new_highs_move_a_stop_at_most_as_often_as_its_group_doubles() {
    let mut book = Book::default();
    let stops = 20_000;
    let put = |book: &mut Book, index: i64, at: i64| {
        let from = book.trail_start(SYMBOL, Side::Long, index);
        let stop = Naive {
            side: Side::Long,
            distance: "99%",
            armed: true,
            anchor: Anchor { reference: price(at), from },
            best: price(at),
            opened: 0,
            armed_at: 0,
        };
        book.put(&StrategyKey::parse(&format!("{{t}}user:u:strategy:{index}")).unwrap(), &stop.strategy());
    };
    // Everybody enters at a price of its own while the market falls, and then it rises through all of them.
    (0..stops).for_each(|index| put(&mut book, index, 2 * stops - index));
    MOVES.set(0);
    let (mut pushed, mut gone) = (0, 0);
    for high in stops..3 * stops {
        pushed += book.raise(SYMBOL, price(high)).extremes.iter().flatten().count();
        gone += book.take_stale_extremes(SYMBOL, usize::MAX).len();
    }
    assert!(MOVES.get() <= stops as usize, "one group grows: each other stop moves once, {} moves", MOVES.get());
    assert_eq!(book.extremes(SYMBOL).0.len(), 1, "one group is left");
    assert!(gone <= pushed);
    // And the same where groups of all sizes meet.
    MOVES.set(0);
    for round in 0..14_u32 {
        let low = price(1);
        assert_eq!(book.raise(SYMBOL, low).extremes, [None; 2], "a low is no news, round {round}");
        let half = stops >> round;
        (0..half).for_each(|index| put(&mut book, index, 10 + i64::from(round) + index % 3));
        book.raise(SYMBOL, price(3 * stops + i64::from(round)));
    }
    let bound = (stops as usize) * 15;
    assert!(MOVES.get() <= bound, "{} moves", MOVES.get());
}
