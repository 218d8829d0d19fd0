//! What the broker's reports do.

use super::*;
use crate::event::EventType;
use crate::key::StrategyKey;
use crate::order::{Leg, OrderIdentity};
use Action::{Buy, Sell, SquareOff, StopLoss, TakeProfit};
use ExecType::{Canceled, Expired, Fill, New, PartialFill, Rejected};

/// A long whose exit for `action` is enqueued and works.
fn exiting(action: Action) -> Hash {
    let mut hash = long();
    hash.fields.insert("pending".to_owned(), action.to_string());
    hash.report(action, New, "");
    hash
}

#[test]
fn an_entry_goes_from_queue_to_position() {
    let mut hash = entering("");
    assert_eq!(hash.show("pending working position cycle last_buy_order last_action"), " BUY  1 ID BUY");
    assert!(hash.report(Buy, New, "").is_none(), "a repeat changes nothing");
    let change = hash.report(Buy, PartialFill, "4@100").unwrap();
    assert!(!change.release_lock && change.order.is_some());
    assert_eq!(hash.show("position filled_quantity entry_price working"), "BOUGHT 4 100 BUY");
    assert!(hash.report(Buy, PartialFill, "4@100").is_none(), "a repeat changes nothing");
    assert!(hash.report(Buy, PartialFill, "3@99").is_none(), "a late report changes nothing");
    assert!(hash.report(Buy, New, "").is_none(), "a late acceptance changes nothing");
    let change = hash.report(Buy, Fill, "10@101").unwrap();
    assert!(change.release_lock);
    assert_eq!(hash.show("position filled_quantity entry_price working status"), "BOUGHT 10 101  ");
    assert_eq!(hash.state().arming().triggers(), 2);
}

#[test]
fn an_entry_that_dies_unfilled_fails_the_strategy() {
    for exec_type in [Rejected, Canceled, Expired] {
        let mut hash = entering("");
        let change = hash.report(Buy, exec_type, "").unwrap();
        assert!(change.release_lock && change.publish.contains(&EventType::StrategyError));
        assert_eq!(hash.show("status working pending position"), "FAILED   ");
        assert_eq!(hash.get("error"), format!("entry {exec_type}: why"));
        assert_eq!(hash.state().arming(), Arming::default(), "its timers are dropped");
    }
}

#[test]
fn an_entry_that_dies_part_filled_leaves_a_guarded_position() {
    for exec_type in [Rejected, Canceled, Expired] {
        for last in ["", "4@100", "6@100"] {
            let mut hash = entering("4@100");
            hash.report(Buy, exec_type, last).unwrap();
            let filled = if last == "6@100" { "6" } else { "4" };
            assert_eq!(hash.show("position filled_quantity working status"), format!("BOUGHT {filled}  "));
            assert_eq!(hash.tick("95"), Some(StopLoss));
        }
    }
}

#[test]
fn a_stop_that_fires_while_the_entry_works_exits_what_was_filled_by_then() {
    let mut hash = entering("4@100");
    assert_eq!(hash.tick("95"), Some(StopLoss));
    assert!(hash.state().check_claim(StopLoss).is_ok());
    assert!(hash.report(Buy, PartialFill, "5@100").is_some(), "the entry's holder still reports");
    hash.report(Buy, Canceled, "6@100").unwrap();
    assert_eq!(hash.show("pending working filled_quantity status"), "STOPLOSS  6 ");
    hash.report(StopLoss, Fill, "6@95").unwrap();
    assert_eq!(hash.show("position exit_quantity status"), "EXITED_BY_SL 6 COMPLETED");
}

#[test]
fn an_exit_time_before_the_entry_filled_concludes_without_a_position() {
    for queued_only in [true, false] {
        let mut hash = if queued_only { Hash::of(&[("pending", "BUY"), ("cycle", "1")]) } else { entering("") };
        assert_eq!(hash.due(200_000), Some(Some(Sell)));
        assert!(hash.state().check_claim(Buy).is_err() == queued_only, "the working entry may be watched on");
        hash.report(Buy, Canceled, "").unwrap();
        assert_eq!(hash.show("pending working status"), "SELL  ", "the exit concludes, not the entry");
        let change = hash.report(Sell, Canceled, "").unwrap();
        assert!(change.release_lock && change.publish.contains(&EventType::StrategyCompleted));
        assert_eq!(hash.show("pending working position status retry_at"), "   COMPLETED ");
        assert!(hash.state().check_claim(Buy).is_err(), "what is left in the queue is dropped");
    }
}

#[test]
fn each_exit_closes_the_position_in_its_own_name() {
    for (action, position) in
        [(Sell, "SOLD"), (SquareOff, "SOLD"), (StopLoss, "EXITED_BY_SL"), (TakeProfit, "EXITED_BY_TP")]
    {
        let mut hash = exiting(action);
        assert_eq!(hash.show("pending working"), format!("{action} {action}"));
        let change = hash.report(action, Fill, "10@96").unwrap();
        assert!(change.release_lock && change.publish.contains(&EventType::StrategyCompleted));
        let shown = hash.show("position status pending working exit_quantity exit_price");
        assert_eq!(shown, format!("{position} COMPLETED   10 96"));
        assert_eq!(hash.state().arming(), Arming::default());
    }
    let mut hash = short();
    assert_eq!(hash.due(200_000), Some(Some(Buy)));
    hash.report(Buy, Fill, "10@90").unwrap();
    assert_eq!(hash.show("position status"), "COVERED COMPLETED");
}

#[test]
fn a_dead_exit_leaves_the_position_guarded_and_is_tried_again() {
    for exec_type in [Rejected, Canceled, Expired] {
        let mut hash = exiting(Sell);
        let change = hash.report(Sell, exec_type, "4@96").unwrap();
        assert!(change.release_lock && change.enqueue.is_none());
        assert!(change.publish.contains(&EventType::StrategyError));
        let names =
            "position pending working attempt retry_at retry_action exit_quantity prior_exit_quantity prior_exit_price";
        assert_eq!(hash.show(names), "BOUGHT   1 1500 SELL 4 4 96");
        assert_eq!(hash.get("error"), format!("SELL {exec_type}: why"));
        assert!(hash.state().arming().fall.is_some(), "the stop is armed again");
        assert_eq!(hash.due(1_499), None);
        assert_eq!(hash.due(1_500), Some(Some(Sell)));
        hash.report(Sell, New, "").unwrap();
        assert_eq!(hash.show("retry_at retry_action"), " ");
        hash.report(Sell, Fill, "6@91").unwrap();
        assert_eq!(hash.show("position exit_quantity exit_price status"), "SOLD 10 93 COMPLETED");
    }
}

#[test]
fn the_waits_double_up_to_the_largest() {
    let waits: Vec<i64> = [0, 1, 2, 3, 6, 7, 8, 64, u64::MAX].map(|n| BACKOFF.after(n)).to_vec();
    assert_eq!(waits, [500, 500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000, 30_000]);
}

#[test]
fn a_stop_overtakes_a_waiting_exit_once_and_then_waits_itself() {
    let mut hash = exiting(Sell);
    hash.report(Sell, Rejected, "").unwrap();
    assert_eq!(hash.tick("95"), Some(StopLoss));
    hash.report(StopLoss, Rejected, "").unwrap();
    assert_eq!(hash.show("attempt retry_at retry_action"), "2 2000 STOPLOSS");
    assert_eq!(hash.tick("90"), None, "no order a tick while the broker refuses");
    assert_eq!(hash.due(2_000), Some(Some(StopLoss)), "but at its time whatever the price");
}

#[test]
fn an_exit_smaller_than_the_position_is_followed_by_the_rest_at_once() {
    let mut hash = exiting(StopLoss);
    hash.fields.insert("filled_quantity".to_owned(), "12".to_owned());
    let change = hash.report(StopLoss, Fill, "10@95").unwrap();
    assert!(change.release_lock);
    assert_eq!(change.enqueue.unwrap().action, StopLoss);
    assert_eq!(hash.show("pending working attempt exit_quantity retry_at"), "STOPLOSS  1 10 ");
    hash.report(StopLoss, Fill, "2@89").unwrap();
    assert_eq!(hash.show("position exit_quantity exit_price"), "EXITED_BY_SL 12 94");
}

#[test]
fn exits_count_cumulatively() {
    let mut hash = exiting(Sell);
    hash.report(Sell, PartialFill, "4@100").unwrap();
    assert!(hash.report(Sell, PartialFill, "4@100").is_none(), "a repeat");
    assert!(hash.report(Sell, PartialFill, "2@100").is_none(), "out of order");
    hash.report(Sell, PartialFill, "8@101").unwrap();
    assert_eq!(hash.show("exit_quantity exit_price position"), "8 101 BOUGHT");
    hash.report(Sell, Canceled, "4@100").unwrap();
    assert_eq!(hash.show("exit_quantity prior_exit_quantity prior_exit_price"), "8 8 101", "what is known stays known");
}

#[test]
fn more_sold_than_held_is_said_loudly() {
    let mut hash = exiting(Sell);
    let change = hash.report(Sell, Fill, "11@100").unwrap();
    assert!(change.publish.contains(&EventType::StrategyError));
    assert_eq!(change.context["oversold_quantity"], "1");
}

#[test]
fn a_lock_without_a_queue_entry_begins_a_cycle() {
    let mut hash = Hash::of(&[("cycle", "3"), ("exit_quantity", "10")]);
    assert!(hash.state().check_claim(Buy).is_ok());
    let change = hash.report(Buy, Fill, "10@100").unwrap();
    assert_eq!(change.order.unwrap().cycle, 4);
    assert_eq!(hash.show("cycle position filled_quantity exit_quantity working"), "4 BOUGHT 10 0 ");
    let mut hash = Hash::of(&[("cycle", "3")]);
    hash.report(Buy, New, "").unwrap();
    hash.report(Buy, PartialFill, "1@100").unwrap();
    hash.report(Buy, Fill, "10@100").unwrap();
    assert_eq!(hash.show("cycle filled_quantity"), "4 10", "one order is one cycle");
}

#[test]
fn what_is_said_of_the_entry_leaves_a_working_exit_alone() {
    let mut hash = exiting(StopLoss);
    hash.report(Buy, Canceled, "10@100").unwrap();
    assert_eq!(hash.show("pending working"), "STOPLOSS STOPLOSS");
    hash.report(Buy, PartialFill, "11@100").unwrap();
    assert_eq!(hash.show("working filled_quantity"), "STOPLOSS 11");
}

#[test]
fn a_closed_position_is_not_opened_by_a_repeat_and_a_late_fill_is_said_loudly() {
    let mut hash = Hash::of(&[
        ("status", "COMPLETED"),
        ("position", "SOLD"),
        ("filled_quantity", "4"),
        ("exit_quantity", "4"),
        ("working", "BUY"),
    ]);
    assert!(hash.report(Buy, PartialFill, "4@100").is_none());
    let change = hash.report(Buy, Fill, "6@100").unwrap();
    assert_eq!(hash.show("position filled_quantity"), "BOUGHT 6");
    assert_eq!(hash.state().open_quantity().to_string(), "2");
    assert!(change.publish.contains(&EventType::StrategyError));
    assert_eq!(change.context["unguarded_quantity"], "2");
}

#[test]
fn a_fill_needs_quantity_and_price() {
    for (exec_type, filled) in [(Fill, None), (PartialFill, None), (Fill, Some((Quantity::ZERO, Price::ZERO)))] {
        let report = Report { exec_type, filled, order_id: String::new(), text: String::new(), ts_ms: NOW };
        let refusal = entering("").state().report(Buy, &report, BACKOFF).unwrap_err();
        assert_eq!(refusal.code, Code::Err);
    }
}

#[test]
fn a_report_on_another_attempts_order_is_none_of_the_current_ones() {
    let key = StrategyKey::parse("user:alice:strategy:s1").unwrap();
    let strategy = Hash::of(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("cycle", "1"), ("attempt", "2")]);
    let strategy = strategy.state();
    let id = |cycle, leg, attempt| OrderIdentity { key, cycle, leg, attempt }.client_order_id();
    for other in [0, 1, 3] {
        let refusal = strategy.check_attempt(key, StopLoss, &id(1, Leg::Exit, other)).unwrap_err();
        assert_eq!(refusal.code, Code::Busy, "{refusal}");
    }
    for known in [id(1, Leg::Exit, 2), id(1, Leg::Entry, 0), id(2, Leg::Exit, 0), "by hand".to_owned(), String::new()] {
        assert!(strategy.check_attempt(key, StopLoss, &known).is_ok(), "{known}");
    }
    assert!(strategy.check_attempt(key, Buy, &id(1, Leg::Exit, 1)).is_ok(), "said of the entry");
}

#[test]
fn the_report_is_kept_for_the_orders_table() {
    let mut hash = exiting(StopLoss);
    hash.report(StopLoss, Rejected, "3@95").unwrap();
    hash.due(10_000).unwrap();
    let order = hash.report(StopLoss, PartialFill, "2@94.5").unwrap().order.unwrap();
    let shown = [&*order.order_id, &*order.action, &*order.leg, &*order.exec_type, &*order.cum_qty, &*order.avg_px];
    assert_eq!(shown, ["ID", "STOPLOSS", "EXIT", "PARTIAL_FILL", "2", "94.5"]);
    assert_eq!((order.cycle, order.attempt), (1, 1));
    assert_eq!(hash.get("last_sl_order"), "ID");
}

#[test]
fn claims_follow_the_state() {
    let with = |fields: &[(&str, &str)]| Hash::of(fields);
    let held = |fields: &[(&str, &str)]| {
        let mut hash = long();
        hash.fields.extend(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        hash
    };
    let cases = [
        ("the entry of an idle strategy", with(&[]), Buy, true),
        ("the entry of a stopped strategy", with(&[("status", "STOPPED")]), Buy, false),
        ("the entry of an open position", held(&[]), Buy, false),
        ("the entry of a closed position", held(&[("position", "SOLD")]), Buy, false),
        ("the entry that is enqueued", with(&[("pending", "BUY")]), Buy, true),
        (
            "the entry that is enqueued, though stopped meanwhile",
            with(&[("pending", "BUY"), ("status", "STOPPED")]),
            Buy,
            true,
        ),
        ("the entry that an exit has replaced", with(&[("pending", "SELL")]), Buy, false),
        ("the entry that works while an exit waits", entering(""), Buy, true),
        ("an entry while an exit works", with(&[("working", "SELL")]), Buy, false),
        ("the exit that is enqueued", held(&[("pending", "STOPLOSS")]), StopLoss, true),
        ("the loser of two exits", held(&[("pending", "STOPLOSS")]), Sell, false),
        ("another exit than the one that works", held(&[("working", "SELL")]), StopLoss, false),
        ("the exit that works", held(&[("working", "SELL"), ("pending", "SELL")]), Sell, true),
        ("an exit by hand", held(&[]), Sell, true),
        ("an exit by hand of a strategy that was stopped and left", held(&[("status", "STOPPED")]), SquareOff, true),
        ("an exit of nothing", with(&[]), Sell, false),
        ("an exit of a closed position", held(&[("position", "SOLD")]), SquareOff, false),
    ];
    for (title, hash, action, allowed) in cases {
        let claim = hash.state().check_claim(action);
        assert_eq!(claim.is_ok(), allowed, "{title}");
        assert!(claim.err().is_none_or(|refusal| refusal.code == Code::Busy), "{title}");
    }
}

/// A long of 10 whose entry filled 4 and works on, and whose stop was hit.
fn stopped_out_while_entering() -> Hash {
    let mut hash = entering("4@100");
    assert_eq!(hash.tick("95"), Some(StopLoss));
    hash
}

#[test]
fn an_exit_does_not_erase_an_entry_that_works() {
    for exec_type in [New, Canceled, Rejected, Expired] {
        for filled in [None, Some(("2".parse().unwrap(), "95".parse().unwrap()))] {
            for hash in [stopped_out_while_entering(), entering("4@100"), entering("")] {
                let (order_id, text) = (String::new(), String::new());
                let report = Report { exec_type, filled, order_id, text, ts_ms: NOW };
                let refusal = hash.state().report(StopLoss, &report, BACKOFF).unwrap_err();
                assert_eq!(refusal.to_string(), "BUSY BUY works at the broker: report its end first", "{exec_type}");
            }
        }
    }
}

#[test]
fn an_exit_that_fills_while_the_entry_works_is_true_and_ends_nothing() {
    let mut hash = stopped_out_while_entering();
    assert!(!hash.report(StopLoss, PartialFill, "1@95").unwrap().release_lock);
    assert_eq!(hash.show("exit_quantity exit_price pending working"), "1 95 STOPLOSS BUY");
    assert!(hash.report(StopLoss, PartialFill, "1@95").is_none(), "a repeat changes nothing");
    let change = hash.report(StopLoss, Fill, "4@95").unwrap();
    assert!(change.release_lock && change.enqueue.is_none());
    assert!(!change.publish.contains(&EventType::StrategyCompleted));
    let names = "position status pending working exit_quantity exit_price attempt prior_exit_quantity";
    assert_eq!(hash.show(names), "BOUGHT   BUY 4 95 1 4");
    assert_eq!(hash.state().arming().triggers(), 0, "nothing is held");
    // The entry fills on: that is held, armed, and its exit is an order of its own.
    hash.report(Buy, PartialFill, "6@100").unwrap();
    assert_eq!(hash.state().open_quantity().to_string(), "2");
    assert_eq!(hash.tick("95"), Some(StopLoss));
    hash.report(Buy, Canceled, "6@100").unwrap();
    assert_eq!(hash.show("pending position"), "STOPLOSS BOUGHT", "the exit goes on and concludes");
    hash.report(StopLoss, Fill, "2@92").unwrap();
    assert_eq!(hash.show("position status exit_quantity exit_price"), "EXITED_BY_SL COMPLETED 6 94");
}

#[test]
fn the_entrys_end_concludes_what_was_sold_before_it() {
    for (end, filled) in [(Canceled, ""), (Expired, "4@100"), (Rejected, "4@100"), (Fill, "4@100")] {
        let mut hash = stopped_out_while_entering();
        hash.report(StopLoss, Fill, "4@95").unwrap();
        let change = hash.report(Buy, end, filled).unwrap();
        assert!(change.release_lock && change.publish.contains(&EventType::StrategyCompleted), "{end}");
        assert_eq!(hash.show("position status pending working"), "SOLD COMPLETED  ", "{end}");
        assert_eq!(hash.get("terminated_at"), NOW.to_string());
    }
    let mut hash = stopped_out_while_entering();
    hash.report(StopLoss, Fill, "4@95").unwrap();
    hash.report(Buy, Fill, "10@100").unwrap();
    assert_eq!(hash.show("position status"), "BOUGHT ", "with quantity left it goes on");
    assert_eq!(hash.tick("95"), Some(StopLoss));
}

#[test]
fn an_entry_that_is_found_only_after_its_exit_concludes_as_well() {
    // More was sold than was known to be bought: the entry's end tells.
    let mut hash = stopped_out_while_entering();
    let change = hash.report(StopLoss, Fill, "6@95").unwrap();
    assert_eq!(change.context["oversold_quantity"], "2");
    hash.report(Buy, Canceled, "6@100").unwrap();
    assert_eq!(hash.show("position status filled_quantity exit_quantity"), "SOLD COMPLETED 6 6");
    let mut hash = entering("");
    hash.due(200_000).unwrap();
    hash.report(Sell, Fill, "4@99").unwrap();
    hash.report(Buy, Canceled, "4@100").unwrap();
    assert_eq!(hash.show("position status filled_quantity exit_quantity"), "SOLD COMPLETED 4 4");
}

#[test]
fn an_exit_smaller_than_the_position_goes_on_while_the_entry_works() {
    let mut hash = stopped_out_while_entering();
    hash.report(Buy, PartialFill, "7@100").unwrap();
    let change = hash.report(StopLoss, Fill, "4@95").unwrap();
    assert_eq!(change.enqueue.unwrap().action, StopLoss);
    assert_eq!(hash.show("pending working attempt exit_quantity"), "STOPLOSS BUY 1 4");
}

#[test]
fn an_entry_that_works_on_after_its_exit_is_ended_at_the_exits_time_or_by_stopping() {
    let mut hash = stopped_out_while_entering();
    hash.report(StopLoss, Fill, "4@95").unwrap();
    assert_eq!(hash.due(200_000), Some(Some(Sell)));
    hash.report(Buy, Canceled, "").unwrap();
    hash.report(Sell, Canceled, "").unwrap();
    assert_eq!(hash.show("position status"), "SOLD COMPLETED");
    // A stopped strategy is not left with an entry that nobody cancels.
    let mut hash = entering("4@100");
    hash.update(&[("status", "STOPPED")]).unwrap().unwrap();
    let change = hash.report(SquareOff, Fill, "4@95").unwrap();
    assert_eq!(change.enqueue.unwrap().action, SquareOff);
    assert_eq!(hash.show("pending working attempt"), "SQUAREOFF BUY 1");
    hash.report(Buy, Canceled, "5@100").unwrap();
    hash.report(SquareOff, Fill, "1@95").unwrap();
    assert_eq!(hash.show("position status pending working"), "SOLD STOPPED  ");
}

#[test]
fn an_entry_that_is_reported_under_a_restored_exit_belongs_to_the_cycle_of_that_exit() {
    // The exit's time came before the entry was heard of; then everything was lost and restored.
    let mut hash = Hash::of(&[("working", "SELL"), ("cycle", "1")]);
    hash.report(Buy, Fill, "10@100").unwrap();
    assert_eq!(hash.show("cycle position filled_quantity working"), "1 BOUGHT 10 SELL");
}

#[test]
fn an_exit_that_works_takes_the_place_of_another_that_was_enqueued_meanwhile() {
    let mut hash = long();
    hash.fields.insert("pending".to_owned(), "SELL".to_owned());
    hash.report(StopLoss, New, "");
    assert_eq!(hash.show("pending working"), " STOPLOSS");
    assert!(hash.state().check_claim(StopLoss).is_ok() && hash.state().check_claim(Sell).is_err());
}

#[test]
fn the_journal_says_with_each_report_what_the_cycle_has_come_to() {
    let mut hash = entering("");
    hash.report(Action::Buy, ExecType::Fill, "10@100");
    assert_eq!(hash.tick("90"), Some(Action::StopLoss));
    hash.report(Action::StopLoss, ExecType::PartialFill, "4@90");
    let ended = hash.report(Action::StopLoss, ExecType::Canceled, "4@90").unwrap();
    let (record, written) = (ended.record(), |name: &str| ended.fields.iter().any(|(field, _)| field == name));
    for (name, value) in [("cycle", "1"), ("position", "BOUGHT"), ("filled_quantity", "10"), ("exit_quantity", "4")] {
        assert_eq!(record.get(name).and_then(serde_json::Value::as_str), Some(value), "{name}");
        assert!(!written(name), "{name} has not changed");
    }
    assert_eq!(record["attempt"], "1", "what changes counts, not what was");
}
