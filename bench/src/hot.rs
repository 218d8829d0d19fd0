//! Core's hot paths, one function each, for callgrind to count. Prepared outside, so that only the path itself counts.

use crate::data::{Dataset, key, quiet_prices, symbol, text};
use std::hint::black_box;
use strat_core::book::Book;
use strat_core::strategy::Change;
use strat_core::{Price, Strategy, StrategyKey};

/// Rounds of a case; counts are of all of them.
const ROUNDS: usize = 100;

/// Runs every case once over a book of so many strategies. Callgrind counts inside functions named `case_*` only.
pub(crate) fn run(strategies: usize) {
    let data = Dataset::full(strategies, 1);
    let prices: Vec<_> = quiet_prices(ROUNDS).into_iter().map(text).collect();
    case_price_parse(&prices);
    let read = |number: usize| {
        let fields = data.fields(number);
        Strategy::read(|name| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes()))
            .unwrap()
    };
    let names: Vec<_> = (0..strategies).map(key).collect();
    let mut book = Book::default();
    for (number, name) in names.iter().enumerate() {
        book.put(&StrategyKey::parse(name).unwrap(), &read(number));
    }
    let parsed: Vec<_> = prices.iter().map(|price| Price::parse(price.as_bytes()).unwrap()).collect();
    let name = symbol(0);
    case_crossed_quiet(&book, &name, &parsed);
    let some: Vec<_> = (0..ROUNDS).map(|n| n * 7_907 % strategies).collect();
    let strategies: Vec<_> =
        some.iter().map(|number| (StrategyKey::parse(&names[*number]).unwrap(), read(*number))).collect();
    case_book_remove(&mut book, &strategies);
    case_book_insert(&mut book, &strategies);
    let crash = Price::parse(b"1.00").unwrap();
    case_crossed_storm(&book, &name, crash);
    let fields: Vec<_> = some.iter().map(|number| data.fields(*number)).collect();
    case_read_strategy(&fields);
    let changes = case_fire(&strategies, crash);
    assert_eq!(changes.len(), ROUNDS.min(strategies.len()), "each fires");
    case_journal_text(&changes);
    case_event_text(&changes);
}

#[inline(never)]
fn case_price_parse(texts: &[String]) {
    for text in texts {
        let _ = black_box(Price::parse(black_box(text.as_bytes())));
    }
}

#[inline(never)]
fn case_crossed_quiet(book: &Book, symbol: &str, prices: &[Price]) {
    let mut keys = Vec::new();
    for price in prices {
        book.crossed(black_box(symbol), *price, 1_001, &mut keys);
    }
    assert!(keys.is_empty(), "nothing is crossed");
}

#[inline(never)]
fn case_book_remove(book: &mut Book, strategies: &[(StrategyKey<'_>, Strategy)]) {
    for (key, _) in strategies {
        black_box(book.remove(key));
    }
}

#[inline(never)]
fn case_book_insert(book: &mut Book, strategies: &[(StrategyKey<'_>, Strategy)]) {
    for (key, strategy) in strategies {
        black_box(book.put(key, strategy));
    }
}

#[inline(never)]
fn case_crossed_storm(book: &Book, symbol: &str, price: Price) {
    let mut keys = Vec::new();
    book.crossed(black_box(symbol), price, 1_000, &mut keys);
    assert!(!keys.is_empty(), "a crash crosses stops");
}

#[inline(never)]
fn case_read_strategy(hashes: &[Vec<(&'static str, String)>]) {
    for fields in hashes {
        let get = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
        let _ = black_box(Strategy::read(get));
    }
}

#[inline(never)]
fn case_fire(strategies: &[(StrategyKey<'_>, Strategy)], price: Price) -> Vec<Change> {
    strategies.iter().filter_map(|(_, strategy)| strategy.fire(price, None, "1.00", 1_760_000_000_000)).collect()
}

#[inline(never)]
fn case_journal_text(changes: &[Change]) {
    for change in changes {
        black_box(change.record_json());
    }
}

#[inline(never)]
fn case_event_text(changes: &[Change]) {
    for change in changes {
        black_box(change.event_json(change.journal, 1_760_000_000_000, "s1"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_does_its_work() {
        super::run(1_000);
    }
}
