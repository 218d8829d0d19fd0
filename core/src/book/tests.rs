//! The book against a naive model: a list of strategies in which every query is a linear scan.

mod alerts;
mod scan;
mod trails;

use super::*;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use proptest::strategy::Strategy as Generate;
use scan::{check_prices, check_sets, check_times, check_totals, filters, touch, walk};
use std::collections::BTreeSet;

const PREFIXES: [&str; 3] = ["", "{a}", "{b}"];
const USERS: [&str; 3] = ["u", "uu", "v"];
const IDS: [&str; 3] = ["1", "2", "user"];
const SYMBOLS: [&str; 3] = ["A", "AB", "M&M"];
const KEYS: usize = PREFIXES.len() * USERS.len() * IDS.len();
/// Keys below this are not touched while pages are walked.
const STABLE_KEYS: usize = KEYS / 2;

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a few hundred of them at a time")]
enum Op {
    Put(usize, Strategy),
    Remove(usize),
    Invalid(usize),
}

impl Op {
    fn key(&self) -> usize {
        match self {
            Self::Put(key, _) | Self::Remove(key) | Self::Invalid(key) => *key,
        }
    }
}

fn key(index: usize) -> StrategyKey<'static> {
    StrategyKey { prefix: PREFIXES[index % 3], user: USERS[index / 3 % 3], strategy: IDS[index / 9] }
}

/// Few values of each field, so that levels, times and symbols collide.
fn strategy() -> impl Generate<Value = Strategy> {
    let level = || select(vec!["", "-1", "0", "1", "2", "2.00000001", "3"]);
    let time = || select(vec!["", "0", "10", "20", "30"]);
    let words = (
        select(SYMBOLS.to_vec()),
        select(vec!["LONG", "SHORT"]),
        select(vec!["RUNNING", "RUNNING", "RUNNING", "STOPPED", "COMPLETED"]),
        select(vec!["NONE", "BOUGHT", "BOUGHT", "SHORTED", "SOLD"]),
        select(vec!["", "", "", "BUY", "SELL", "STOPLOSS"]),
        select(vec!["", "", "", "STOPLOSS", "SELL"]),
    );
    let numbers = (level(), level(), time(), time(), time());
    (words, numbers).prop_map(
        |((symbol, side, status, position, pending, retry_action), (stop, target, buy, sell, retry))| {
            let fields = [
                ("symbol", symbol),
                ("quantity", "5"),
                ("side", side),
                ("status", status),
                ("position", position),
                ("pending", pending),
                ("retry_action", retry_action),
                ("retry_at", retry),
                ("stop_loss", stop),
                ("take_profit", target),
                ("buy_at", buy),
                ("sell_at", sell),
            ];
            let get = |name: &str| fields.iter().find(|f| f.0 == name).map(|f| f.1.as_bytes());
            Strategy::read(get).unwrap()
        },
    )
}

fn op() -> impl Generate<Value = Op> {
    prop_oneof![
        6 => (0..KEYS, strategy()).prop_map(|(key, strategy)| Op::Put(key, strategy)),
        2 => (0..KEYS).prop_map(Op::Remove),
        1 => (0..KEYS).prop_map(Op::Invalid),
    ]
}

#[derive(Debug, Default)]
struct Model {
    live: Vec<(usize, Strategy)>,
    invalid: Vec<usize>,
}

impl Model {
    fn apply(&mut self, op: &Op) {
        self.live.retain(|(key, _)| *key != op.key());
        self.invalid.retain(|key| *key != op.key());
        match op {
            Op::Put(key, strategy) => self.live.push((*key, strategy.clone())),
            Op::Remove(_) => {}
            Op::Invalid(key) => self.invalid.push(*key),
        }
    }

    fn member(&self, index: usize) -> Membership {
        let found = self.live.iter().find(|(key, _)| *key == index);
        let running = found.filter(|(_, s)| s.status == Status::Running);
        Membership(running.map(|(_, strategy)| strategy.symbol.clone()))
    }

    /// Keys and levels of a symbol that `price` crosses, falls first, each in firing order.
    fn crossed(&self, symbol: &str, price: Price) -> Vec<(i64, String)> {
        let of_symbol = self.live.iter().filter(|(index, s)| format!("{}{}", key(*index).prefix, s.symbol) == symbol);
        let (mut falls, mut rises) = (Vec::new(), Vec::new());
        for (index, strategy) in of_symbol {
            let arming = strategy.arming();
            if let Some(level) = arming.fall.filter(|level| price <= *level) {
                falls.push((-level.units(), key(*index).hash()));
            }
            if let Some(level) = arming.rise.filter(|level| price >= *level) {
                rises.push((level.units(), key(*index).hash()));
            }
        }
        falls.sort();
        rises.sort();
        falls.into_iter().chain(rises).collect()
    }

    fn times(&self, prefix: &str) -> Vec<(i64, String)> {
        let mut times = Vec::new();
        for (index, strategy) in self.live.iter().filter(|(i, _)| key(*i).prefix == prefix) {
            let arming = strategy.arming();
            let mut own: Vec<i64> = arming.entry_due.into_iter().chain(arming.exit_due).collect();
            own.dedup();
            times.extend(own.into_iter().map(|at| (at, key(*index).hash())));
        }
        times.sort();
        times
    }

    fn listed(&self, filter: &ListFilter<'_>, up_to: usize) -> Vec<String> {
        let matches = |index: usize, strategy: &Strategy| {
            let key = key(index);
            index < up_to
                && key.prefix == filter.prefix
                && strategy.status == filter.status
                && filter.user.is_none_or(|user| user == key.user)
                && filter.symbol.is_none_or(|symbol| symbol == strategy.symbol)
        };
        let matching = self.live.iter().filter(|(index, s)| matches(*index, s));
        let mut keys: Vec<String> = matching.map(|(index, _)| key(*index).hash()).collect();
        keys.sort();
        keys
    }
}

fn apply(book: &mut Book, op: &Op) -> Option<Moved> {
    match op {
        Op::Put(index, strategy) => book.put(&key(*index), strategy),
        Op::Remove(index) => book.remove(&key(*index)),
        Op::Invalid(index) => book.put_invalid(&key(*index), "why".to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_query_equals_a_scan(ops in vec(op(), 1..60)) {
        let (mut book, mut model) = (Book::default(), Model::default());
        for op in &ops {
            let before = model.member(op.key());
            model.apply(op);
            let moved = apply(&mut book, op);
            let after = model.member(op.key());
            prop_assert_eq!(moved, (before != after).then_some(Moved { before, after }));
            check_totals(&book, &model);
        }
        check_prices(&mut book, &model);
        check_times(&book, &model);
        check_sets(&book, &model);
        for filter in filters() {
            for count in [1, 2, 7, usize::MAX] {
                prop_assert_eq!(walk(&book, &filter, count), model.listed(&filter, KEYS));
            }
        }
    }

    #[test]
    fn a_book_that_sorts_at_the_end_equals_one_that_is_kept_all_along(
        before in vec(op(), 0..40),
        meanwhile in vec(op(), 0..60),
        after in vec(op(), 0..20),
    ) {
        let (mut book, mut model) = (Book::default(), Model::default());
        let mut follow = |book: &mut Book, ops: &[Op]| ops.iter().for_each(|op| {
            model.apply(op);
            apply(book, op);
        });
        follow(&mut book, &before);
        book.defer();
        follow(&mut book, &meanwhile);
        book.settle();
        follow(&mut book, &after);
        check_totals(&book, &model);
        check_prices(&mut book, &model);
        check_times(&book, &model);
        check_sets(&book, &model);
    }

    #[test]
    fn a_walk_returns_what_stays_exactly_once_whatever_else_changes(
        before in vec(op(), 1..60),
        meanwhile in vec(op(), 0..60),
        count in 1_usize..4,
    ) {
        for filter in filters().step_by(3) {
            let (mut book, mut model) = (Book::default(), Model::default());
            for op in &before {
                model.apply(op);
                apply(&mut book, op);
            }
            let mut others = meanwhile.iter().filter(|op| op.key() >= STABLE_KEYS);
            let stable: BTreeSet<String> = (0..STABLE_KEYS).map(|index| key(index).hash()).collect();
            let (mut found, mut from) = (Vec::new(), Some(0));
            while let Some(slot) = from {
                let (keys, next) = match filter.user {
                    None if filter.status == Status::Running => book.running_from(filter.prefix, filter.symbol, slot, count),
                    _ => {
                        let page = book.list(&filter, slot, count);
                        (page.keys, page.next)
                    }
                };
                found.extend(keys.into_iter().filter(|key| stable.contains(key)));
                from = next;
                for op in others.by_ref().take(2) {
                    model.apply(op);
                    apply(&mut book, op);
                }
            }
            found.sort();
            prop_assert_eq!(found, model.listed(&filter, STABLE_KEYS));
        }
    }
}

#[test]
fn a_cursor_beyond_the_end_gives_an_empty_page() {
    let mut book = Book::default();
    let fields = [("symbol", "A"), ("quantity", "1")];
    let get = |name: &str| fields.iter().find(|f| f.0 == name).map(|f| f.1.as_bytes());
    book.put(&key(0), &Strategy::read(get).unwrap());
    let filter = ListFilter { prefix: "", user: None, symbol: None, status: Status::Running };
    for from in [1, Slot::MAX] {
        let page = book.list(&filter, from, usize::MAX);
        assert_eq!(page, ListPage { keys: Vec::new(), next: None });
    }
}

#[test]
fn what_was_armed_after_a_storm_is_none_of_its_own() {
    let mut book = Book::default();
    let strategy = |stop: &str, note: &str| {
        let fields = [("symbol", "X"), ("quantity", "1"), ("position", "BOUGHT"), ("stop_loss", stop), ("error", note)];
        let value = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
        Strategy::read(value).unwrap()
    };
    let (early, late) = ("user:u:strategy:early", "user:u:strategy:late");
    book.put(&StrategyKey::parse(early).unwrap(), &strategy("95", ""));
    book.add_storm("X", "90".parse().unwrap(), 7);
    book.put(&StrategyKey::parse(late).unwrap(), &strategy("95", ""));
    let crossed = |book: &mut Book| {
        let slice = book.storm_slice("X", 9).unwrap();
        slice.keys.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(crossed(&mut book), [early]);
    book.put(&StrategyKey::parse(early).unwrap(), &strategy("95", "a change that leaves the levels alone"));
    assert_eq!(crossed(&mut book), [early]);
    book.put(&StrategyKey::parse(early).unwrap(), &strategy("94", ""));
    assert_eq!(crossed(&mut book), Vec::<String>::new(), "armed anew");
}

#[test]
fn the_time_to_live_of_a_price_is_renewed_after_a_pause_or_a_clock_that_was_set() {
    let mut book = Book::default();
    let renews = |book: &mut Book, now| touch(book, "A", Price::from_units(1), now, 100).renews;
    assert!(renews(&mut book, 5) && renews(&mut book, 6), "of a symbol without strategies always");
    let key = "user:u:strategy:1";
    let strategy =
        Strategy::of_fields(&vec![("symbol".to_owned(), "A".to_owned()), ("quantity".to_owned(), "1".to_owned())]);
    book.put(&StrategyKey::parse(key).unwrap(), &strategy.unwrap());
    let found = [1_000, 1_001, 1_099, 1_100, 1_199, 900, 950].map(|now| renews(&mut book, now));
    assert_eq!(found, [true, false, false, true, false, true, false]);
}
