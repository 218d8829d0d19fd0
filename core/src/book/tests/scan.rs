//! Each query of the book next to a linear scan of the model.

use super::*;

pub(super) fn touch(book: &mut Book, symbol: &str, price: Price, now_ms: i64, pause_ms: i64) -> Touch {
    let known = book.find_symbol(symbol.as_bytes());
    book.touch(symbol.as_bytes(), known, price, now_ms, pause_ms)
}

/// Same ranks in the same order; keys of one rank in any order, all of them where the limit does not cut.
fn same_order(found: &[Box<str>], expected: &[(i64, String)], limit: usize) {
    assert_eq!(found.len(), expected.len().min(limit));
    let mut left = expected.to_vec();
    for (name, (rank, _)) in found.iter().zip(expected) {
        let place = left.iter().position(|(r, k)| r == rank && **k == **name);
        let place = place.unwrap_or_else(|| panic!("{name} is not of rank {rank}: {expected:?}"));
        left.remove(place);
    }
}

pub(super) fn check_prices(book: &mut Book, model: &Model) {
    for prefix in PREFIXES {
        for symbol in SYMBOLS {
            let symbol = format!("{prefix}{symbol}");
            for price in ["-2", "-1", "0", "1", "1.5", "2", "2.00000001", "3", "4"] {
                let price = price.parse().unwrap();
                // Where one strategy has both levels crossed, its two places are both there.
                let expected = model.crossed(&symbol, price);
                assert_eq!(touch(book, &symbol, price, 0, 0).crosses, !expected.is_empty());
                for limit in [0, 1, 3, usize::MAX] {
                    let mut found = Vec::new();
                    book.crossed(&symbol, price, limit, &mut found);
                    same_order(&found, &expected, limit);
                }
            }
        }
    }
}

pub(super) fn check_times(book: &Book, model: &Model) {
    for prefix in PREFIXES {
        let times = model.times(prefix);
        assert_eq!(book.next_due(prefix), times.first().map(|(at, _)| *at));
        for now in [-1, 0, 9, 10, 25, i64::MAX] {
            let come: Vec<_> = times.iter().filter(|(at, _)| *at <= now).cloned().collect();
            for limit in [0, 1, 2, usize::MAX] {
                same_order(&book.due(prefix, now, limit), &come, limit);
            }
        }
    }
}

pub(super) fn check_sets(book: &Book, model: &Model) {
    for prefix in PREFIXES {
        let mut expected = BTreeMap::new();
        let running = |(index, s): &&(usize, Strategy)| key(*index).prefix == prefix && s.status == Status::Running;
        for (_, strategy) in model.live.iter().filter(running) {
            *expected.entry(strategy.symbol.as_str()).or_insert(0) += 1;
        }
        assert_eq!(book.symbols(prefix), expected);
    }
    for index in 0..KEYS {
        let name = key(index).hash();
        assert_eq!(book.membership_of(&name), model.member(index));
        let expected = model.live.iter().find(|(key, _)| *key == index);
        let expected = expected.map(|(_, s)| (s.arming(), s.status, s.symbol.as_str()));
        assert_eq!(book.arming_of(&name), expected);
    }
}

pub(super) fn check_totals(book: &Book, model: &Model) {
    let symbols: BTreeSet<_> = model.live.iter().map(|(index, s)| (key(*index).prefix, &s.symbol)).collect();
    let expected = Stats {
        strategies: model.live.len(),
        running: model.live.iter().filter(|(_, s)| s.status == Status::Running).count(),
        triggers: model.live.iter().map(|(_, s)| s.arming().triggers()).sum(),
        trailing: model.live.iter().filter(|(_, s)| s.trailing().is_some()).count(),
        times: PREFIXES.iter().map(|prefix| model.times(prefix).len()).sum(),
        invalid: model.invalid.len(),
        symbols: symbols.len(),
        alerts: 0,
    };
    assert_eq!(book.stats(), expected);
    assert_eq!(book.inconsistencies(), Vec::<String>::new());
    let mut keys: Vec<String> = book.keys().collect();
    let mut expected: Vec<String> = model.live.iter().map(|(index, _)| key(*index).hash()).collect();
    keys.sort_unstable();
    expected.sort();
    assert_eq!(keys, expected);
    let mut expected: Vec<String> = model.invalid.iter().map(|index| key(*index).hash()).collect();
    expected.sort();
    assert!(
        book.invalid
            .iter()
            .map(|(name, why)| (name.as_ref(), why.as_str()))
            .eq(expected.iter().map(|name| (name.as_str(), "why")))
    );
}

pub(super) fn filters() -> impl Iterator<Item = ListFilter<'static>> {
    let users = [None, Some("u"), Some("uu"), Some("nobody")];
    let symbols = [None, Some("A"), Some("AB"), Some("NONE")];
    PREFIXES.into_iter().flat_map(move |prefix| {
        users.into_iter().flat_map(move |user| {
            symbols.into_iter().flat_map(move |symbol| {
                let filter = move |status| ListFilter { prefix, user, symbol, status };
                [filter(Status::Running), filter(Status::Stopped)]
            })
        })
    })
}

pub(super) fn walk(book: &Book, filter: &ListFilter<'_>, count: usize) -> Vec<String> {
    let (mut keys, mut from) = (Vec::new(), Some(0));
    while let Some(slot) = from {
        let page = book.list(filter, slot, count);
        assert!(page.next.is_none_or(|next| next > slot), "a walk must get on");
        keys.extend(page.keys);
        from = page.next;
    }
    keys.sort();
    keys
}
