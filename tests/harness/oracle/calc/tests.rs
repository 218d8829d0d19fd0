//! The corners of the rule, each by hand: prices in whole units, one other symbol.

use super::*;

fn day(ticks: &[(i64, usize, i128)]) -> Day {
    let tick = |&(ts_ms, symbol, price): &(i64, usize, i128)| Tick { ts_ms, symbol, price: price * 100_000_000 };
    Day { symbols: vec!["A".to_owned(), "B".to_owned()], ticks: ticks.iter().map(tick).collect() }
}

fn plan(long: bool, (entry_at, exit_at): (i64, i64), stop: &str, target: &str) -> Plan {
    Plan { entry_at, exit_at, stop_loss: stop.to_owned(), take_profit: target.to_owned(), ..Plan::example(long) }
}

/// With a stop and a target beside it.
fn trailing(long: bool, trail: &str, stop: &str, target: &str) -> Plan {
    Plan { trail: trail.to_owned(), ..plan(long, (1, 99), stop, target) }
}

fn shown(plan: &Plan, day: &Day) -> String {
    let o = play(plan, day);
    format!(
        "{} {} {}@{} {}@{} {} {}",
        o.position, o.status, o.entry_price, o.entry_ts_ms, o.exit_price, o.exit_ts_ms, o.exit_reason, o.pnl
    )
}

#[test]
fn entries_and_exits_fill_at_the_first_tick_of_their_symbol() {
    let day = day(&[(1, 0, 10), (5, 1, 99), (6, 0, 11), (7, 0, 12), (9, 1, 99), (12, 0, 13), (13, 0, 14)]);
    assert_eq!(shown(&plan(true, (5, 9), "", ""), &day), "SOLD COMPLETED 11@6 13@12 SELL 4");
    assert_eq!(shown(&plan(false, (5, 9), "", ""), &day), "COVERED COMPLETED 11@6 13@12 BUY -4");
    assert_eq!(shown(&plan(true, (6, 7), "", ""), &day), "SOLD COMPLETED 11@6 12@7 SELL 2");
    assert_eq!(shown(&plan(true, (6, 99), "", ""), &day), "BOUGHT RUNNING 11@6 @  ");
}

#[test]
fn an_entry_that_waits_when_its_exit_comes_is_cancelled() {
    let day = day(&[(1, 0, 10), (5, 1, 99), (9, 1, 99), (12, 0, 13)]);
    assert_eq!(shown(&plan(true, (5, 9), "", ""), &day), "NONE COMPLETED @ @  0");
    assert_eq!(shown(&plan(true, (9, 5), "", ""), &day), "NONE COMPLETED @ @  0");
    assert_eq!(shown(&plan(true, (9, 9), "", ""), &day), "NONE COMPLETED @ @  0");
    assert_eq!(shown(&plan(true, (50, 60), "", ""), &day), "NONE RUNNING @ @  0");
}

#[test]
fn levels_are_watched_from_the_tick_after_the_entry() {
    let day = day(&[(1, 0, 10), (2, 0, 10), (3, 0, 8), (4, 0, 12)]);
    assert_eq!(shown(&plan(true, (1, 99), "10", ""), &day), "EXITED_BY_SL COMPLETED 10@1 10@2 STOPLOSS 0");
    assert_eq!(shown(&plan(true, (1, 99), "9", "12"), &day), "EXITED_BY_SL COMPLETED 10@1 8@3 STOPLOSS -4");
    assert_eq!(shown(&plan(false, (1, 99), "11", "8"), &day), "EXITED_BY_TP COMPLETED 10@1 8@3 TAKEPROFIT 4");
    assert_eq!(shown(&plan(false, (1, 99), "11", ""), &day), "EXITED_BY_SL COMPLETED 10@1 12@4 STOPLOSS -4");
    // Both crossed: the stop is judged first. The timed exit submitted before the check wins.
    assert_eq!(shown(&plan(true, (1, 99), "10", "10"), &day), "EXITED_BY_SL COMPLETED 10@1 10@2 STOPLOSS 0");
    assert_eq!(shown(&plan(true, (1, 3), "9", ""), &day), "SOLD COMPLETED 10@1 8@3 SELL -4");
}

/// One tick a millisecond, of A, from 1 on.
fn prices(prices: &[i128]) -> Day {
    day(&(1..).zip(prices).map(|(ts_ms, price)| (ts_ms, 0, *price)).collect::<Vec<_>>())
}

#[test]
fn a_trailing_stop_follows_the_best_price_and_fires_at_exactly_the_stop() {
    let day = prices(&[100, 104, 103, 106, 102, 101, 100]);
    assert_eq!(shown(&trailing(true, "4", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 102@5 STOPLOSS 4");
    assert_eq!(shown(&trailing(true, "4.00000001", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 101@6 STOPLOSS 2");
    assert_eq!(shown(&trailing(true, "7", "", ""), &day), "BOUGHT RUNNING 100@1 @  ");
    // Four of 106 is a little more than 3.77 %.
    assert_eq!(shown(&trailing(true, "3.77358490%", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 102@5 STOPLOSS 4");
    assert_eq!(shown(&trailing(true, "3.77358491%", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 101@6 STOPLOSS 2");
}

#[test]
fn a_short_follows_the_lowest_price() {
    let day = prices(&[100, 96, 97, 94, 98, 99, 100]);
    assert_eq!(shown(&trailing(false, "4", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 98@5 STOPLOSS 4");
    assert_eq!(shown(&trailing(false, "5%", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 99@6 STOPLOSS 2");
}

#[test]
fn the_price_of_the_entry_is_the_first_best_and_the_tick_after_it_the_first_that_is_judged() {
    // What came before the entry does not count, nor does another symbol.
    let day = day(&[(0, 0, 500), (1, 0, 100), (2, 1, 900), (2, 1, 1), (3, 0, 98), (4, 0, 99)]);
    assert_eq!(shown(&trailing(true, "2", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 98@3 STOPLOSS -4");
    assert_eq!(shown(&trailing(true, "3", "", ""), &day), "BOUGHT RUNNING 100@1 @  ");
    assert_eq!(shown(&trailing(false, "1", "", ""), &day), "EXITED_BY_SL COMPLETED 100@1 99@4 STOPLOSS 2");
    // However near the stop lies, the entry's own tick does not fire it.
    assert_eq!(shown(&trailing(true, "0.00000001", "", ""), &prices(&[100])), "BOUGHT RUNNING 100@1 @  ");
}

#[test]
fn whichever_stop_the_price_crosses_fires_before_the_target() {
    let day = prices(&[100, 110, 105, 90, 120]);
    assert_eq!(shown(&trailing(true, "6", "95", ""), &day), "EXITED_BY_SL COMPLETED 100@1 90@4 STOPLOSS -20");
    assert_eq!(shown(&trailing(true, "5", "95", ""), &day), "EXITED_BY_SL COMPLETED 100@1 105@3 STOPLOSS 10");
    assert_eq!(shown(&trailing(true, "50", "105", ""), &day), "EXITED_BY_SL COMPLETED 100@1 105@3 STOPLOSS 10");
    assert_eq!(shown(&trailing(true, "50", "", "115"), &day), "EXITED_BY_TP COMPLETED 100@1 120@5 TAKEPROFIT 40");
    // A new best at the target: it is followed first, and the stop behind it is not crossed.
    assert_eq!(shown(&trailing(true, "5", "", "110"), &day), "EXITED_BY_TP COMPLETED 100@1 110@2 TAKEPROFIT 20");
    // The target is crossed already when the price falls back to the stop.
    let day = prices(&[100, 90]);
    assert_eq!(shown(&trailing(true, "10", "", "80"), &day), "EXITED_BY_SL COMPLETED 100@1 90@2 STOPLOSS -20");
    // A timed exit that was submitted before the check wins.
    let timed = Plan { exit_at: 2, ..trailing(true, "10", "", "") };
    assert_eq!(shown(&timed, &day), "SOLD COMPLETED 100@1 90@2 SELL -20");
}
