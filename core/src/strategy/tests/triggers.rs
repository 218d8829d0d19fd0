//! What prices and times do.

use super::*;

/// Title, hash, price, what fires.
type Case = (&'static str, Hash, &'static str, Option<Action>);

fn with(mut hash: Hash, fields: &[(&str, &str)]) -> Hash {
    for (name, value) in fields {
        hash.fields.insert((*name).to_owned(), (*value).to_owned());
    }
    hash
}

fn cases() -> Vec<Case> {
    use Action::{StopLoss, TakeProfit};
    let (sl, tp) = (Some(StopLoss), Some(TakeProfit));
    vec![
        ("a long's stop fires at its level", long(), "95", sl),
        ("a long's stop fires below its level", long(), "94.99999999", sl),
        ("a long's stop sleeps just above", long(), "95.00000001", None),
        ("a long's target fires at its level", long(), "105", tp),
        ("a long's target fires above its level", long(), "106", tp),
        ("a long's target sleeps just below", long(), "104.99999999", None),
        ("a short's stop fires at its level", short(), "105", sl),
        ("a short's stop fires above its level", short(), "200", sl),
        ("a short's stop sleeps just below", short(), "104.99999999", None),
        ("a short's target fires at its level", short(), "95", tp),
        ("a short's target sleeps just above", short(), "95.00000001", None),
        ("a level already crossed when armed fires on the next tick", with(long(), &[("stop_loss", "101")]), "100", sl),
        (
            "the stop wins where both are crossed",
            with(long(), &[("stop_loss", "101"), ("take_profit", "99")]),
            "100",
            sl,
        ),
        ("a level of zero and negative prices is a level", with(long(), &[("stop_loss", "-1")]), "-1.5", sl),
        ("without levels nothing fires", with(long(), &[("stop_loss", ""), ("take_profit", "")]), "1", None),
        ("without a position nothing fires", Hash::of(&[]), "1", None),
        ("a stopped strategy does not fire", with(long(), &[("status", "STOPPED")]), "1", None),
        ("a completed strategy does not fire", with(long(), &[("status", "COMPLETED")]), "1", None),
        ("a closed position does not fire", with(long(), &[("position", "SOLD")]), "1", None),
        ("a position with nothing left does not fire", with(long(), &[("exit_quantity", "10")]), "1", None),
        ("an exit that is enqueued blocks the stop", with(long(), &[("pending", "SELL")]), "1", None),
        ("an exit that works blocks the stop", with(long(), &[("working", "TAKEPROFIT")]), "1", None),
        ("a partial fill is guarded while the entry works on", entering("4@100"), "95", sl),
        ("an entry with nothing filled guards nothing", entering(""), "1", None),
        ("a position written by hand counts as filled", with(Hash::of(&[]), &[("position", "BOUGHT")]), "95", sl),
        (
            "a stop that waits for its retry does not fire again with every tick",
            with(long(), &[("retry_at", "5"), ("retry_action", "STOPLOSS")]),
            "1",
            None,
        ),
        (
            "a stop overtakes the retry of a timed exit",
            with(long(), &[("retry_at", "5"), ("retry_action", "SELL")]),
            "95",
            sl,
        ),
        (
            "a target leaves the retry of a timed exit alone",
            with(long(), &[("retry_at", "5"), ("retry_action", "SELL")]),
            "105",
            None,
        ),
        ("a retry without a time is none", with(long(), &[("retry_action", "STOPLOSS")]), "95", sl),
    ]
}

#[test]
fn prices_fire_what_is_armed() {
    for (title, mut hash, price, expected) in cases() {
        assert_eq!(hash.state().crossed_by(price.parse().unwrap(), None), expected, "{title}");
        assert_eq!(hash.tick(price), expected, "{title}");
        if let Some(action) = expected {
            assert_eq!(hash.get("pending"), action.as_str(), "{title}");
            assert_eq!(hash.tick(price), None, "{title}: fires once");
        }
    }
}

#[test]
fn a_shot_says_what_was_hit() {
    let change = long().state().fire("94.90".parse().unwrap(), None, "94.90", 7).unwrap();
    assert_eq!(change.journal, crate::EventType::SlTriggered);
    assert_eq!(change.publish, [crate::EventType::SlTriggered]);
    let order = change.enqueue.unwrap();
    assert_eq!((order.action, order.cycle, &*order.price, order.ts), (Action::StopLoss, 1, "94.90", 7));
    assert_eq!(change.context["stop_loss"], "95");
    assert_eq!(change.context["quantity"], "10");
    assert_eq!(change.fields, [("pending".to_owned(), "STOPLOSS".to_owned())]);
}

#[test]
fn times_bring_what_is_wanted() {
    use Action::{Buy, Sell, SquareOff, StopLoss};
    let fresh_short = || Hash::of(&[("side", "SHORT"), ("sell_at", "100000"), ("buy_at", "200000")]);
    let retry = [("retry_at", "150000"), ("retry_action", "STOPLOSS"), ("attempt", "1")];
    let left = [("status", "STOPPED"), ("retry_at", "150000"), ("retry_action", "SQUAREOFF")];
    // Title, hash, time, what comes: nothing, a change without order, an order.
    let cases: Vec<(&str, Hash, i64, Option<Option<Action>>)> = vec![
        ("nothing comes before the entry's time", Hash::of(&[]), 99_999, None),
        ("a long enters at buy_at", Hash::of(&[]), 100_000, Some(Some(Buy))),
        ("a short enters at sell_at", fresh_short(), 100_000, Some(Some(Sell))),
        ("a stopped strategy does not enter", with(Hash::of(&[]), &[("status", "STOPPED")]), 100_000, None),
        ("a failed strategy does not enter", with(Hash::of(&[]), &[("status", "FAILED")]), 300_000, None),
        ("an entry in the queue is not enqueued again", with(Hash::of(&[]), &[("pending", "BUY")]), 100_000, None),
        ("a position is not entered again", long(), 100_000, None),
        ("a closed position is not entered again", with(long(), &[("position", "SOLD")]), 300_000, None),
        ("a long exits at sell_at", long(), 200_000, Some(Some(Sell))),
        ("a short exits at buy_at", short(), 200_000, Some(Some(Buy))),
        ("a fired stop beats the timed exit", with(long(), &[("pending", "STOPLOSS")]), 200_000, None),
        ("an exit time without an entry completes", Hash::of(&[]), 200_000, Some(None)),
        (
            "an exit time replaces an entry that is queued",
            with(Hash::of(&[]), &[("pending", "BUY")]),
            200_000,
            Some(Some(Sell)),
        ),
        ("an exit time ends an entry that works", entering(""), 200_000, Some(Some(Sell))),
        ("an exit time ends an entry that is part filled", entering("4@100"), 200_000, Some(Some(Sell))),
        ("a stopped position has no exit time", with(long(), &[("status", "STOPPED")]), 300_000, None),
        ("a retry waits for its time", with(long(), &retry), 149_999, None),
        ("a retry comes at its time", with(long(), &retry), 150_000, Some(Some(StopLoss))),
        (
            "a square-off is tried again though the strategy is stopped",
            with(long(), &left),
            150_000,
            Some(Some(SquareOff)),
        ),
        (
            "a retry without a time does not stop the timed exit",
            with(long(), &[("retry_action", "STOPLOSS")]),
            200_000,
            Some(Some(Sell)),
        ),
    ];
    for (title, mut hash, now, expected) in cases {
        assert_eq!(hash.due(now), expected, "{title}");
        if expected.is_some() {
            assert_eq!(hash.due(now), None, "{title}: once");
        }
    }
}

#[test]
fn an_entry_begins_a_cycle_and_forgets_the_last() {
    let mut hash = with(
        Hash::of(&[]),
        &[
            ("cycle", "4"),
            ("filled_quantity", "10"),
            ("exit_quantity", "10"),
            ("attempt", "2"),
            ("entry_price", "100"),
            ("exit_price", "99"),
            ("prior_exit_quantity", "3"),
            ("retry_at", "9"),
            ("retry_action", "SELL"),
            ("error", "x"),
        ],
    );
    let change = hash.state().due(100_000).unwrap();
    let order = change.enqueue.as_ref().unwrap();
    assert_eq!((order.cycle, order.ts, &*order.price), (5, 100_000, ""));
    hash.apply(change);
    let names = "cycle pending filled_quantity exit_quantity attempt entry_price exit_price prior_exit_quantity retry_at retry_action";
    assert_eq!(hash.show(names), "5 BUY 0 0 0   0  ");
}

#[test]
fn an_exit_time_without_an_entry_completes_without_an_order() {
    let mut hash = Hash::of(&[]);
    let change = hash.state().due(250_000).unwrap();
    assert_eq!(change.journal, crate::EventType::StrategyCompleted);
    hash.apply(change);
    assert_eq!(hash.show("status position cycle terminated_at"), "COMPLETED   250000");
}
