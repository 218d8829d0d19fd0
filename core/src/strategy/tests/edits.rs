//! What users do.

use super::*;
use crate::event::EventType;

type Given<'a> = &'a [(&'a str, &'a str)];

const BASE: [(&str, &str); 2] = [("symbol", "IBM"), ("quantity", "10")];

fn plus<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    BASE.into_iter().chain(fields.iter().copied()).collect()
}

#[test]
fn a_new_strategy_has_its_defaults_and_texts_as_given() {
    let mut hash = Hash::default();
    let change = hash.set(&plus(&[("stop_loss", "95.00"), ("id", "liar"), ("note", "{\"a\":1}")])).unwrap();
    assert_eq!(change.journal, EventType::StrategyStarted);
    assert_eq!(hash.show("id user_id side status position pending cycle version"), "s u LONG RUNNING NONE  0 1");
    assert_eq!(hash.show("stop_loss note"), "95.00 {\"a\":1}");
    assert!(change.enqueue.is_none());
}

#[test]
fn sets_are_refused_with_the_name_of_the_bad_field() {
    let cases = [
        ("symbol", vec![("quantity", "1")], Code::BadField),
        ("quantity", vec![("symbol", "IBM")], Code::BadField),
        ("quantity", vec![("symbol", "IBM"), ("quantity", "0")], Code::BadField),
        ("stop_loss", plus(&[("stop_loss", "nan")]), Code::BadPrice),
        ("side", plus(&[("side", "long")]), Code::BadField),
        ("symbol", plus(&[("symbol", "TWICE")]), Code::BadField),
        ("position SHORTED", plus(&[("position", "SHORTED")]), Code::BadField),
        ("cycle", plus(&[("cycle", "9223372036854775807")]), Code::BadField),
    ];
    for (named, fields, code) in cases {
        let refusal = Hash::default().set(&fields).unwrap_err();
        assert_eq!(refusal.code, code, "{refusal}");
        assert!(refusal.to_string().contains(named), "{refusal}");
    }
}

#[test]
fn a_replaced_strategy_goes_on_counting() {
    let mut hash = Hash::of(&[("version", "7"), ("cycle", "3"), ("position", "SOLD")]);
    hash.set(&BASE).unwrap();
    assert_eq!(hash.show("version cycle position"), "8 3 NONE");
    hash.set(&plus(&[("version", "20"), ("cycle", "5")])).unwrap();
    assert_eq!(hash.show("version cycle"), "21 5");
    hash.set(&plus(&[("version", "2"), ("cycle", "1")])).unwrap();
    assert_eq!(hash.show("version cycle"), "22 5");
    hash.set(&plus(&[("position", "BOUGHT")])).unwrap();
    assert_eq!(hash.get("cycle"), "6", "an adopted position does not use the order ids of the last cycle");
}

#[test]
fn a_strategy_in_the_market_is_not_replaced() {
    for hash in [long(), short(), entering(""), entering("1@1"), Hash::of(&[("pending", "BUY")])] {
        assert_eq!(hash.clone().set(&BASE).unwrap_err().code, Code::Busy, "{hash:?}");
    }
}

#[test]
fn a_restored_strategy_in_flight_is_enqueued_again() {
    let cases: [(&str, Given<'_>, Option<Action>); 5] = [
        ("idle", &[("cycle", "2")], None),
        ("an entry in the queue", &[("pending", "BUY"), ("cycle", "2")], Some(Action::Buy)),
        ("an entry at the broker", &[("working", "BUY"), ("cycle", "2")], Some(Action::Buy)),
        (
            "an exit at the broker",
            &[("position", "BOUGHT"), ("pending", "SELL"), ("working", "SELL"), ("cycle", "2")],
            Some(Action::Sell),
        ),
        (
            "an exit that waits for the entry",
            &[("pending", "STOPLOSS"), ("working", "BUY"), ("cycle", "2")],
            Some(Action::StopLoss),
        ),
    ];
    for (title, fields, expected) in cases {
        let mut hash = Hash::default();
        let change = hash.set(&plus(fields)).unwrap();
        let order = change.enqueue.map(|order| (order.action, order.cycle));
        assert_eq!(order, expected.map(|action| (action, 2)), "{title}");
        assert!(expected.is_none_or(|action| hash.state().check_claim(action).is_ok()), "{title}");
    }
}

#[test]
fn an_update_that_changes_nothing_is_none() {
    let mut hash = long();
    assert_eq!(hash.update(&[("stop_loss", "95.00"), ("position", "BOUGHT")]), Ok(None));
    let change = hash.update(&[("stop_loss", "95"), ("take_profit", "105.00")]).unwrap().unwrap();
    assert_eq!(
        change.fields,
        [("stop_loss".to_owned(), "95".to_owned())],
        "another text is a change, the same is none"
    );
    assert_eq!(change.journal, EventType::StrategyUpdated);
    assert_eq!(hash.get("take_profit"), "105.00");
}

#[test]
fn updates_are_refused_where_they_would_lie() {
    let cases: Vec<(&str, Hash, Given<'_>, Code)> = vec![
        ("pending is the server's", long(), &[("pending", "SELL")], Code::BadField),
        ("version is the server's", long(), &[("version", "9")], Code::BadField),
        ("attempt is the server's", long(), &[("attempt", "9")], Code::BadField),
        ("a bad price", long(), &[("stop_loss", "1e5")], Code::BadPrice),
        ("the symbol of a position", long(), &[("symbol", "TSLA")], Code::Busy),
        ("the side of a position", long(), &[("side", "SHORT")], Code::Busy),
        ("the symbol of an entry in flight", entering(""), &[("symbol", "TSLA")], Code::Busy),
        ("the quantity of an entry in flight", entering("4@1"), &[("quantity", "11")], Code::Busy),
        ("completing a position", long(), &[("status", "COMPLETED")], Code::Busy),
        ("failing an entry in flight", entering(""), &[("status", "FAILED")], Code::Busy),
        ("a position of the other side", Hash::of(&[]), &[("position", "SHORTED")], Code::BadField),
        ("a cycle that was already", long(), &[("cycle", "0")], Code::BadField),
        ("a cycle of an order in flight", entering(""), &[("cycle", "2")], Code::Busy),
        ("no quantity", long(), &[("quantity", "")], Code::BadField),
    ];
    for (title, mut hash, fields, code) in cases {
        let before = hash.fields.clone();
        assert_eq!(hash.update(fields).map_err(|refusal| refusal.code), Err(code), "{title}");
        assert_eq!(hash.fields, before, "{title}");
    }
}

#[test]
fn levels_of_a_position_may_move() {
    let mut hash = long();
    hash.update(&[("stop_loss", "99"), ("quantity", "20")]).unwrap();
    assert_eq!(hash.tick("98"), Some(Action::StopLoss));
}

#[test]
fn stopping_squares_off_what_is_in_the_market() {
    for (title, mut hash) in [
        ("a position", long()),
        ("an entry that works", entering("")),
        ("a part-filled entry", entering("4@1")),
        ("a queued entry", Hash::of(&[("pending", "BUY")])),
    ] {
        let change = hash.update(&[("status", "STOPPED")]).unwrap().unwrap();
        assert_eq!(change.journal, EventType::StrategyStopped, "{title}");
        assert_eq!(change.enqueue.map(|order| order.action), Some(Action::SquareOff), "{title}");
        assert_eq!(hash.show("status pending"), "STOPPED SQUAREOFF", "{title}");
    }
    let mut idle = Hash::of(&[]);
    assert!(idle.update(&[("status", "STOPPED")]).unwrap().unwrap().enqueue.is_none());
    let mut leaving = long();
    leaving.fields.insert("pending".to_owned(), "STOPLOSS".to_owned());
    assert!(leaving.update(&[("status", "STOPPED")]).unwrap().unwrap().enqueue.is_none(), "an exit is on its way");
}

#[test]
fn a_square_off_concludes_a_stopped_strategy() {
    let mut hash = long();
    hash.update(&[("status", "STOPPED")]).unwrap();
    hash.report(Action::SquareOff, ExecType::Rejected, "").unwrap();
    assert_eq!(hash.due(1_500), Some(Some(Action::SquareOff)), "it is tried again");
    hash.report(Action::SquareOff, ExecType::Fill, "10@90").unwrap();
    assert_eq!(hash.show("status position pending"), "STOPPED SOLD ");
    let mut hash = entering("");
    hash.update(&[("status", "STOPPED")]).unwrap();
    hash.report(Action::Buy, ExecType::Canceled, "").unwrap();
    hash.report(Action::SquareOff, ExecType::Canceled, "").unwrap();
    assert_eq!(hash.show("status pending working"), "STOPPED  ");
    assert!(hash.state().is_idle());
}

#[test]
fn a_position_that_is_left_is_left_loudly_and_armed_again_when_resumed() {
    let mut hash = long();
    hash.fields.extend([("retry_at", "5"), ("retry_action", "SELL")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    let change = hash.update(&[("status", "STOPPED"), ("on_stop", "LEAVE")]).unwrap().unwrap();
    assert!(change.enqueue.is_none() && change.publish.contains(&EventType::StrategyError));
    assert_eq!(change.context["unguarded_quantity"], "10");
    assert_eq!((hash.tick("1"), hash.due(i64::MAX)), (None, None), "not even a retry touches it");
    let change = hash.update(&[("status", "RUNNING")]).unwrap().unwrap();
    assert_eq!(change.journal, EventType::StrategyStarted);
    assert_eq!(hash.tick("1"), Some(Action::StopLoss));
}

#[test]
fn a_position_adopted_by_update_begins_a_cycle() {
    let mut hash = long();
    hash.due(200_000).unwrap();
    hash.report(Action::Sell, ExecType::Fill, "10@99").unwrap();
    hash.update(&[("status", "RUNNING"), ("position", "BOUGHT")]).unwrap().unwrap();
    assert_eq!(hash.show("cycle filled_quantity exit_quantity"), "2 10 0");
    assert_eq!(hash.tick("95"), Some(Action::StopLoss), "what the last cycle sold does not count");
    let mut hash = entering("");
    hash.update(&[("position", "BOUGHT"), ("filled_quantity", "4")]).unwrap().unwrap();
    assert_eq!(hash.show("cycle filled_quantity"), "1 4", "the entry in flight is this cycle's");
}

#[test]
fn counts_at_their_bound_stay_readable() {
    let huge = i64::MAX.to_string();
    let mut hash = Hash::of(&[("cycle", &huge), ("attempt", &huge), ("version", &huge)]);
    assert_eq!((hash.state().cycle, hash.state().attempt), (field::COUNT_MAX as u64, field::COUNT_MAX as u64));
    hash.due(100_000).unwrap();
    hash.report(Action::Buy, ExecType::Fill, "10@100").unwrap();
    hash.fields.insert("attempt".to_owned(), huge);
    hash.due(200_000).unwrap();
    hash.report(Action::Sell, ExecType::Rejected, "").unwrap();
    assert_eq!(hash.show("position retry_action"), "BOUGHT SELL", "still parses, still guarded");
    assert!(hash.state().arming().fall.is_some());
}

#[test]
fn what_an_adopted_position_holds_is_written_down() {
    for given in [&[("position", "BOUGHT")][..], &[("position", "BOUGHT"), ("filled_quantity", "")]] {
        let mut hash = Hash::default();
        hash.set(&plus(given)).unwrap();
        assert_eq!(hash.get("filled_quantity"), "10", "{given:?}");
        hash.update(&[("quantity", "20")]).unwrap().unwrap();
        assert_eq!(hash.state().open_quantity().to_string(), "10", "{given:?}");
    }
    let mut hash = Hash::default();
    hash.set(&plus(&[("position", "BOUGHT"), ("filled_quantity", "4")])).unwrap();
    assert_eq!(hash.get("filled_quantity"), "4");
    hash.set(&plus(&[])).unwrap_err();
    let mut hash = Hash::default();
    hash.set(&plus(&[("position", "SOLD")])).unwrap();
    assert!(!hash.fields.contains_key("filled_quantity"), "nothing is held, nothing is said");
}

#[test]
fn another_quantity_does_not_change_what_is_held() {
    // Somebody wrote these by hand: filled_quantity is not there.
    for filled in [None, Some("")] {
        for (given, held) in [
            (&[("quantity", "20")][..], "10"),
            (&[("quantity", "20"), ("filled_quantity", "")], "10"),
            (&[("quantity", "20"), ("filled_quantity", "7")], "7"),
            (&[("quantity", "5"), ("position", "BOUGHT")], "10"),
        ] {
            let mut hash = Hash::of(&[("position", "BOUGHT")]);
            hash.fields.extend(filled.map(|filled| ("filled_quantity".to_owned(), filled.to_owned())));
            let change = hash.update(given).unwrap().unwrap();
            assert_eq!(hash.state().open_quantity().to_string(), held, "{filled:?} {given:?}");
            let written = change.fields.iter().filter(|(name, _)| name == "filled_quantity").count();
            assert_eq!(written, 1, "{filled:?} {given:?}");
        }
    }
    let mut hash = Hash::of(&[("position", "BOUGHT")]);
    let change = hash.update(&[("stop_loss", "96")]).unwrap().unwrap();
    assert_eq!(change.fields.len(), 1, "only a change of quantity needs it");
    let mut hash = long();
    let change = hash.update(&[("quantity", "20")]).unwrap().unwrap();
    assert_eq!(change.fields.len(), 1, "what is known already is not written again");
}

/// What is saved of a hash that does not parse.
fn salvage(fields: &[(&str, &str)]) -> Salvaged {
    let hash = Hash::of(fields);
    let get = |name: &str| hash.fields.get(name).map(String::as_bytes);
    assert!(Strategy::read(get).is_err(), "{fields:?} parses");
    Strategy::salvage(get)
}

#[test]
fn what_still_parses_of_a_bad_hash_is_saved() {
    let bad = ("stop_loss", "nan");
    let huge = i64::MAX.to_string();
    let cases: [(&str, Vec<(&str, &str)>, _); 18] = [
        ("nothing but the bad field", vec![bad], (0, 0, true)),
        ("its counts", vec![bad, ("version", "7"), ("cycle", "3")], (7, 3, true)),
        ("bad counts", vec![("version", "x"), ("cycle", "-1")], (0, 0, true)),
        (
            "huge counts",
            vec![bad, ("version", &huge), ("cycle", &huge)],
            (field::COUNT_MAX as u64, field::COUNT_MAX as u64, true),
        ),
        ("a closed position", vec![bad, ("position", "SOLD"), ("filled_quantity", "10")], (0, 0, true)),
        ("an open position", vec![bad, ("position", "BOUGHT")], (0, 0, false)),
        ("an open position whose quantity is bad", vec![("quantity", "x"), ("position", "SHORTED")], (0, 0, false)),
        ("an open position without quantity", vec![("quantity", ""), ("position", "BOUGHT")], (0, 0, false)),
        (
            "a part-filled position",
            vec![bad, ("position", "BOUGHT"), ("filled_quantity", "4"), ("exit_quantity", "3")],
            (0, 0, false),
        ),
        (
            "a position that was sold",
            vec![bad, ("position", "BOUGHT"), ("filled_quantity", "4"), ("exit_quantity", "4")],
            (0, 0, true),
        ),
        ("a bad quantity without a position", vec![("quantity", "x")], (0, 0, true)),
        ("a bad position", vec![("position", "FLAT")], (0, 0, false)),
        ("a bad fill", vec![("position", "NONE"), ("filled_quantity", "x")], (0, 0, false)),
        ("a bad exit", vec![("position", "BOUGHT"), ("filled_quantity", "4"), ("exit_quantity", "-4")], (0, 0, false)),
        ("an order in the queue", vec![bad, ("pending", "BUY")], (0, 0, false)),
        ("an order at the broker", vec![bad, ("working", "BUY")], (0, 0, false)),
        ("a bad pending", vec![("pending", "HOLD")], (0, 0, false)),
        ("a bad working", vec![("working", "HOLD")], (0, 0, false)),
    ];
    for (title, fields, (version, cycle, idle)) in cases {
        assert_eq!(salvage(&fields), Salvaged { version, cycle, idle }, "{title}");
    }
}

#[test]
fn a_hash_that_does_not_parse_is_replaced_only_where_it_is_idle() {
    let key = crate::StrategyKey::parse("user:u:strategy:s").unwrap();
    let set = |salvaged: Salvaged, fields: &[(&str, &str)]| {
        let given = plus(fields);
        let bytes: Vec<_> = given.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        Strategy::set(&SetInput { key, fields: &bytes, old: None, salvaged: Some(salvaged), now_ms: NOW })
    };
    let cycle_of = |change: &Change| change.fields.iter().find(|(name, _)| name == "cycle").unwrap().1.clone();
    let idle = Salvaged { version: 7, cycle: 3, idle: true };
    let (change, version) = set(idle, &[]).unwrap();
    assert_eq!((version, &*cycle_of(&change)), (8, "3"));
    let (change, _) = set(idle, &[("position", "BOUGHT")]).unwrap();
    assert_eq!(cycle_of(&change), "4", "an adopted position does not use the order ids of the last cycle");
    assert_eq!(
        set(Salvaged { idle: false, ..idle }, &[]).unwrap_err().to_string(),
        "BUSY the hash at user:u:strategy:s does not parse and may be in the market: \
         put the field right with HSET, or DEL it"
    );
}

#[test]
fn what_a_bad_hash_may_leave_in_the_market_is_said_loudly() {
    let idle = Salvaged { version: 7, cycle: 3, idle: true };
    assert_eq!((idle.remove().publish, idle.next_version()), (vec![EventType::StrategyRemoved], 8));
    let change = Salvaged { idle: false, ..idle }.remove();
    assert_eq!(change.journal, EventType::StrategyRemoved);
    assert_eq!(change.publish, [EventType::StrategyRemoved, EventType::StrategyError]);
    assert!(change.context.contains_key("reason") && change.fields.is_empty());
}

#[test]
fn a_position_is_left_although_its_entry_had_to_be_cancelled() {
    for (end, filled, left) in
        [(ExecType::Canceled, "", "4"), (ExecType::Canceled, "6@100", "6"), (ExecType::Fill, "10@100", "10")]
    {
        let mut hash = entering("4@100");
        hash.fields.insert("on_stop".to_owned(), "LEAVE".to_owned());
        hash.update(&[("status", "STOPPED")]).unwrap().unwrap();
        assert_eq!(hash.show("pending working"), "SQUAREOFF BUY", "somebody has to cancel the entry");
        let change = hash.report(Action::Buy, end, filled).unwrap();
        assert_eq!(hash.show("pending working status position"), "  STOPPED BOUGHT", "{end} {filled}");
        assert_eq!(change.publish.iter().filter(|kind| **kind == EventType::StrategyError).count(), 1);
        assert_eq!(change.context["unguarded_quantity"], left);
        assert!(change.enqueue.is_none() && hash.state().retry().is_none());
        assert_eq!((hash.tick("1"), hash.due(i64::MAX)), (None, None));
    }
    let mut hash = entering("");
    hash.update(&[("status", "STOPPED"), ("on_stop", "LEAVE")]).unwrap().unwrap();
    let change = hash.report(Action::Buy, ExecType::Canceled, "").unwrap();
    assert_eq!(hash.show("pending working status error"), "  STOPPED ");
    assert!(!change.publish.contains(&EventType::StrategyError), "nothing is left");
    assert!(hash.state().is_idle());
}

#[test]
fn a_square_off_at_the_broker_is_not_forgotten_for_leave() {
    let mut hash = long();
    hash.update(&[("status", "STOPPED")]).unwrap();
    hash.report(Action::SquareOff, ExecType::New, "").unwrap();
    hash.update(&[("on_stop", "LEAVE")]).unwrap().unwrap();
    hash.report(Action::Buy, ExecType::Fill, "10@100").unwrap();
    assert_eq!(hash.show("pending working"), "SQUAREOFF SQUAREOFF");
}

#[test]
fn a_position_adopted_and_stopped_at_once_is_squared_off_in_its_own_cycle() {
    let mut hash = long();
    hash.due(200_000).unwrap();
    hash.report(Action::Sell, ExecType::Fill, "10@99").unwrap();
    hash.update(&[("status", "RUNNING")]).unwrap().unwrap();
    let change = hash.update(&[("status", "STOPPED"), ("position", "BOUGHT")]).unwrap().unwrap();
    assert_eq!(change.enqueue.map(|order| (order.action, order.cycle)), Some((Action::SquareOff, 2)));
}
