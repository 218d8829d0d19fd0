use super::super::LATER_ATTEMPTS_MAX;
use super::*;
use strat_core::risk::{Rule, Scope};
use strat_core::{ExecType, Ladder};

const KEY: &str = "user:alice:strategy:s1";
static NOT_ASKED: Attempts = Attempts::new();

fn strategy(fields: &[(&str, &str)]) -> Strategy {
    let base = [("symbol", "IBM"), ("quantity", "10"), ("cycle", "1")];
    Strategy::read(|name| {
        let given = fields.iter().chain(&base).find(|(known, _)| *known == name);
        given.map(|(_, value)| value.as_bytes())
    })
    .unwrap()
}

fn facts(strategy: &Strategy, action: Action) -> Facts<'_> {
    Facts {
        key: StrategyKey::parse(KEY).unwrap(),
        strategy,
        action,
        cycle: 1,
        now: Now::at(1_000),
        asked_ms: 1_000,
        opened_ms: None,
        must_query: false,
        sent_ms: None,
        ladder: Ladder::NONE,
        entry_asked_ms: None,
        settle_ms: 0,
        unasked: false,
        entries_wait: None,
        risk: Verdict::without_limits(intent_of(StrategyKey::parse(KEY).unwrap(), strategy, 1)),
        skew_ms: 0,
        due_ms: None,
        grace_ms: None,
        idempotency: Idempotency::Dedupes,
        own: Known::NotAsked,
        entry: Known::NotAsked,
        entry_reported: false,
        others: &NOT_ASKED,
        stale: false,
        alone: false,
        later_alone: None,
        restored: false,
    }
}

fn order(status: ExecType, cum: &str) -> OrderState {
    OrderState {
        client_order_id: "X".into(),
        status,
        cum_qty: cum.parse().unwrap(),
        avg_px: Some("100".parse().unwrap()),
        text: String::new(),
        ts_ms: 1,
    }
}

fn quantity_of(step: Step) -> String {
    match step {
        Step::Submit(request) => format!("{:?} {}", request.side, request.quantity),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fresh_entry_is_sent_whole() {
    let pending = strategy(&[("pending", "BUY")]);
    assert_eq!(quantity_of(facts(&pending, Action::Buy).next_step()), "Buy 10");
    let short = strategy(&[("pending", "SELL"), ("side", "SHORT")]);
    assert_eq!(quantity_of(facts(&short, Action::Sell).next_step()), "Sell 10");
}

#[test]
fn what_may_have_been_sent_is_looked_up_and_sent_only_if_proven_absent() {
    let pending = strategy(&[("pending", "BUY")]);
    let redelivered = Facts { must_query: true, ..facts(&pending, Action::Buy) };
    assert_eq!(redelivered.next_step(), Step::Query);
    let there = Facts { own: Known::There(order(ExecType::New, "0")), ..redelivered.clone() };
    assert_eq!(there.next_step(), Step::Adopt(order(ExecType::New, "0")));
    let absent = Facts { own: Known::Absent, ..redelivered };
    assert!(matches!(absent.next_step(), Step::Submit(_)));
    // The hash says that the order works, whatever the queue entry says.
    let working = strategy(&[("working", "BUY")]);
    assert_eq!(facts(&working, Action::Buy).next_step(), Step::Query);
    // A broker that does not dedupe is always asked.
    let plain = Facts { idempotency: Idempotency::Queryable, ..facts(&pending, Action::Buy) };
    assert_eq!(plain.next_step(), Step::Query);
}

#[test]
fn an_entry_of_another_cycle_is_dropped() {
    let later = strategy(&[("cycle", "2")]);
    assert!(matches!(facts(&later, Action::Buy).next_step(), Step::Drop(_)));
}

#[test]
fn an_exit_sells_what_is_open() {
    let held =
        strategy(&[("position", "BOUGHT"), ("filled_quantity", "7"), ("exit_quantity", "3"), ("pending", "STOPLOSS")]);
    assert_eq!(quantity_of(facts(&held, Action::StopLoss).next_step()), "Sell 4");
}

#[test]
fn an_exit_kills_an_entry_that_still_works_and_then_exits_what_it_filled() {
    let held =
        strategy(&[("position", "BOUGHT"), ("filled_quantity", "4"), ("working", "BUY"), ("pending", "STOPLOSS")]);
    let start = facts(&held, Action::StopLoss);
    assert_eq!(start.next_step(), Step::KillEntry);
    let dying = Facts { entry: Known::There(order(ExecType::PartialFill, "4")), ..start.clone() };
    assert!(matches!(dying.next_step(), Step::Wait { .. }));
    let dead = order(ExecType::Canceled, "6");
    let known = Facts { entry: Known::There(dead.clone()), ..start.clone() };
    assert_eq!(known.next_step(), Step::ReportEntry(dead.clone()));
    let after = strategy(&[("position", "BOUGHT"), ("filled_quantity", "6"), ("pending", "STOPLOSS")]);
    let reported = Facts { entry: Known::There(dead), entry_reported: true, ..facts(&after, Action::StopLoss) };
    assert_eq!(quantity_of(reported.next_step()), "Sell 6");
}

#[test]
fn an_exit_of_what_never_came_concludes_the_cycle() {
    let waiting = strategy(&[("pending", "SELL")]);
    let start = facts(&waiting, Action::Sell);
    assert_eq!(start.next_step(), Step::KillEntry);
    assert_eq!(Facts { entry: Known::Absent, ..start.clone() }.next_step(), Step::Conclude);
    let cancelled = Known::There(order(ExecType::Canceled, "0"));
    assert_eq!(Facts { entry: cancelled, ..start.clone() }.next_step(), Step::Conclude);
    // It filled after all, a moment before the cancellation.
    let filled = order(ExecType::Fill, "10");
    assert_eq!(Facts { entry: Known::There(filled.clone()), ..start }.next_step(), Step::ReportEntry(filled));
}

#[test]
fn an_entry_that_the_broker_never_got_is_reported_dead() {
    let working = strategy(&[("working", "BUY"), ("pending", "SELL")]);
    let lost = Facts { entry: Known::Absent, ..facts(&working, Action::Sell) };
    assert!(
        matches!(lost.next_step(), Step::ReportEntry(state) if state.status == ExecType::Canceled && state.cum_qty == Quantity::ZERO)
    );
}

#[test]
fn a_retry_far_ahead_is_looked_at_again_soon_for_the_clock_may_be_behind() {
    let held = [("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS"), ("retry_at", "155000")];
    let held = strategy(&held);
    assert!(matches!(facts(&held, Action::StopLoss).next_step(), Step::Wait { ms: 1_000, .. }));
}

#[test]
fn an_exit_waits_for_its_retry_time() {
    let held = strategy(&[
        ("position", "BOUGHT"),
        ("filled_quantity", "10"),
        ("pending", "STOPLOSS"),
        ("retry_at", "1500"),
        ("attempt", "1"),
    ]);
    assert!(matches!(facts(&held, Action::StopLoss).next_step(), Step::Wait { ms: 500, .. }));
    let later = Facts { now: Now::at(1_500), ..facts(&held, Action::StopLoss) };
    assert_eq!(later.next_step(), Step::QueryAttempt(0));
    let absent = Attempts::from([(0, None)]);
    assert_eq!(quantity_of(Facts { others: &absent, ..later }.next_step()), "Sell 10");
}

#[test]
fn every_attempt_of_an_exit_is_another_order_and_all_exits_of_an_attempt_are_one() {
    let first = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let second = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("attempt", "1")]);
    assert_eq!(facts(&first, Action::StopLoss).own_id(), facts(&first, Action::Sell).own_id());
    assert_ne!(facts(&first, Action::StopLoss).own_id(), facts(&second, Action::StopLoss).own_id());
    assert_eq!(facts(&first, Action::StopLoss).order_id(Leg::Entry), facts(&second, Action::Sell).order_id(Leg::Entry));
}

#[test]
fn an_order_that_ended_before_the_cycle_began_is_of_the_past() {
    let pending = strategy(&[("pending", "BUY"), ("cycle_at", "950")]);
    let old = Known::There(OrderState { ts_ms: 900, ..order(ExecType::Fill, "10") });
    let asked = Facts { own: old.clone(), ..facts(&pending, Action::Buy) };
    assert!(matches!(asked.next_step(), Step::Refuse(text) if text.contains("used before")));
    // Clocks that differ, an order that ended since, one that is known to work, and one that has not ended are its own.
    let working = strategy(&[("working", "BUY"), ("cycle_at", "950")]);
    let younger = strategy(&[("pending", "BUY"), ("cycle_at", "900")]);
    let ageless = strategy(&[("pending", "BUY")]);
    let open = Known::There(OrderState { ts_ms: 900, ..order(ExecType::PartialFill, "4") });
    for own in [
        Facts { skew_ms: 50, ..asked.clone() },
        Facts { strategy: &younger, ..asked.clone() },
        Facts { strategy: &ageless, ..asked.clone() },
        Facts { strategy: &working, ..asked.clone() },
        Facts { own: open, ..asked.clone() },
    ] {
        assert!(matches!(own.next_step(), Step::Adopt(_)), "{own:?}");
    }
    // An exit must not be given up, and must not take the old order for its own.
    let held = [("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS"), ("cycle_at", "950")];
    let held = strategy(&held);
    let exit = Facts { own: old, ..facts(&held, Action::StopLoss) };
    assert!(matches!(exit.next_step(), Step::Alarm { ms: 60_000, .. }));
}

#[test]
fn an_entry_beyond_its_grace_expires_and_an_exit_never_does() {
    const DUE: i64 = 1_000;
    let pending = strategy(&[("pending", "BUY")]);
    let late = |ms: i64, grace_ms: Option<i64>| Facts {
        now: Now::at(DUE + ms),
        due_ms: Some(DUE),
        grace_ms,
        ..facts(&pending, Action::Buy)
    };
    assert_eq!(late(301_000, Some(300_000)).next_step(), Step::Expire("its time passed 301 s ago".to_owned()));
    assert!(matches!(late(300_000, Some(300_000)).next_step(), Step::Submit(_)));
    // A policy without grace still leaves the time that carrying out takes.
    assert!(matches!(late(2_000, Some(0)).next_step(), Step::Submit(_)));
    assert!(matches!(late(6_000, Some(0)).next_step(), Step::Expire(_)));
    assert!(matches!(late(i64::MAX - DUE, None).next_step(), Step::Submit(_)));
    // What the broker has is followed, however late; what may be there is asked for first.
    let there = Facts { own: Known::There(order(ExecType::New, "0")), ..late(301_000, Some(300_000)) };
    assert!(matches!(there.next_step(), Step::Adopt(_)));
    let redelivered = Facts { must_query: true, ..late(301_000, Some(300_000)) };
    assert_eq!(redelivered.next_step(), Step::Query);
    assert!(matches!(Facts { own: Known::Absent, ..redelivered }.next_step(), Step::Expire(_)));
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "SELL")]);
    let exit = Facts { strategy: &held, action: Action::Sell, ..late(301_000, Some(0)) };
    assert!(matches!(exit.next_step(), Step::Submit(_)));
}

#[test]
fn what_may_have_been_sent_to_a_broker_without_memory_is_never_sent_again() {
    let pending = strategy(&[("pending", "BUY")]);
    let sent = Facts {
        own: Known::Absent,
        sent_ms: Some(0),
        must_query: true,
        idempotency: Idempotency::None,
        ..facts(&pending, Action::Buy)
    };
    assert!(matches!(sent.next_step(), Step::Alarm { ms: 5_000, .. }));
    assert!(matches!(Facts { sent_ms: None, ..sent.clone() }.next_step(), Step::Submit(_)));
    assert!(matches!(Facts { idempotency: Idempotency::Queryable, ..sent }.next_step(), Step::Submit(_)));
}

#[test]
fn absence_is_proof_only_when_a_request_would_show_by_now() {
    let pending = strategy(&[("pending", "BUY")]);
    let sent = Facts {
        own: Known::Absent,
        sent_ms: Some(800),
        settle_ms: 300,
        must_query: true,
        idempotency: Idempotency::Queryable,
        ..facts(&pending, Action::Buy)
    };
    assert!(matches!(sent.next_step(), Step::Wait { ms: 100, .. }));
    assert!(matches!(Facts { asked_ms: 1_100, ..sent.clone() }.next_step(), Step::Submit(_)));
    // Sending again what is deduped is safe; saying that it expired is not.
    let dedupes = Facts { idempotency: Idempotency::Dedupes, ..sent };
    assert!(matches!(dedupes.next_step(), Step::Submit(_)));
    let late = Facts { due_ms: Some(-1_000_000), grace_ms: Some(0), ..dedupes };
    assert!(matches!(late.next_step(), Step::Wait { .. }));
    // Nor is an exit concluded while its entry may still show.
    let waiting = strategy(&[("pending", "SELL")]);
    let exit =
        Facts { entry: Known::Absent, entry_asked_ms: Some(900), settle_ms: 300, ..facts(&waiting, Action::Sell) };
    assert!(matches!(exit.next_step(), Step::Wait { ms: 200, .. }));
    assert_eq!(Facts { asked_ms: 1_200, ..exit }.next_step(), Step::Conclude);
}

#[test]
fn entries_wait_for_what_keeps_them_durable_and_exits_do_not() {
    let pending = strategy(&[("pending", "BUY")]);
    let entry = Facts { entries_wait: Some(500), ..facts(&pending, Action::Buy) };
    assert!(matches!(entry.next_step(), Step::Wait { .. }));
    let there = Facts { own: Known::There(order(ExecType::New, "0")), ..entry };
    assert!(matches!(there.next_step(), Step::Adopt(_)));
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS")]);
    assert!(matches!(Facts { entries_wait: Some(500), ..facts(&held, Action::StopLoss) }.next_step(), Step::Submit(_)));
}

#[test]
fn an_exit_that_was_sent_without_redis_is_told_to_a_strategy_that_did_not_ask() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let unasked = Facts { must_query: true, unasked: true, ..facts(&held, Action::StopLoss) };
    assert_eq!(unasked.next_step(), Step::Query);
    assert!(matches!(Facts { unasked: false, ..unasked }.next_step(), Step::Drop(_)));
    let over = strategy(&[("position", "SOLD")]);
    assert!(matches!(Facts { unasked: true, ..facts(&over, Action::StopLoss) }.next_step(), Step::Drop(_)));
}

#[test]
fn two_attempts_of_an_exit_never_live_side_by_side() {
    let second = [("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS"), ("attempt", "1")];
    let second = strategy(&[&second[..], &[("exit_quantity", "4"), ("prior_exit_quantity", "4")]].concat());
    let beside = |before| {
        let others = Attempts::from([(0, Some(before))]);
        Facts { others: &others, ..facts(&second, Action::StopLoss) }.next_step()
    };
    assert_eq!(facts(&second, Action::StopLoss).next_step(), Step::QueryAttempt(0));
    assert_eq!(beside(order(ExecType::PartialFill, "4")), Step::KillBefore(0));
    assert_eq!(quantity_of(beside(order(ExecType::Canceled, "4"))), "Sell 6");
    assert!(matches!(beside(order(ExecType::Canceled, "5")), Step::Alarm { .. }));
    // It is the attempt after that shows how old our knowledge is.
    let first = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS")]);
    let again = Facts { must_query: true, own: Known::Absent, ..facts(&first, Action::StopLoss) };
    assert_eq!(again.next_step(), Step::QueryAttempt(1));
    let known = Attempts::from([(1, Some(order(ExecType::New, "0")))]);
    assert_eq!(Facts { others: &known, ..again.clone() }.next_step(), Step::Superseded);
    // Without Redis nothing can be told to the strategy.
    assert!(matches!(Facts { others: &known, alone: true, ..again }.next_step(), Step::Alarm { .. }));
}

#[test]
fn every_attempt_before_is_made_sure_to_be_dead_and_what_they_filled_is_known() {
    let fields = [("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS"), ("attempt", "2")];
    let third = strategy(&[&fields[..], &[("exit_quantity", "4"), ("prior_exit_quantity", "4")]].concat());
    let beside = |others: &Attempts| Facts { others, ..facts(&third, Action::StopLoss) }.next_step();
    assert_eq!(beside(&Attempts::new()), Step::QueryAttempt(0));
    let filled = |cum: &str| Some(order(ExecType::Canceled, cum));
    assert_eq!(beside(&Attempts::from([(0, None)])), Step::QueryAttempt(1), "the likeliest is asked for last");
    // Refused, booked as dead, and sent once more by an engine that had not heard of it.
    let late = Attempts::from([(1, None), (0, Some(order(ExecType::New, "0")))]);
    assert_eq!(beside(&late), Step::KillBefore(0));
    assert_eq!(quantity_of(beside(&Attempts::from([(1, None), (0, filled("4"))]))), "Sell 6");
    assert!(matches!(beside(&Attempts::from([(1, filled("3")), (0, filled("4"))])), Step::Alarm { .. }));
}

#[test]
fn an_old_copy_of_a_strategy_may_be_several_attempts_behind() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS")]);
    let refused = Attempts::from([(1, None)]);
    let fresh = Facts { alone: true, own: Known::Absent, others: &refused, ..facts(&held, Action::StopLoss) };
    assert_eq!(quantity_of(fresh.next_step()), "Sell 10");
    let stale = Facts { stale: true, others: &NOT_ASKED, ..fresh };
    assert_eq!(stale.next_step(), Step::QueryAttempt(LATER_ATTEMPTS_MAX), "the likeliest is asked for last");
    let mut further: Attempts = (1..=LATER_ATTEMPTS_MAX).map(|attempt| (attempt, None)).collect();
    further.insert(2, Some(order(ExecType::Fill, "10")));
    assert!(matches!(Facts { others: &further, ..stale.clone() }.next_step(), Step::Alarm { .. }));
    let none: Attempts = (1..=LATER_ATTEMPTS_MAX).map(|attempt| (attempt, None)).collect();
    assert_eq!(quantity_of(Facts { others: &none, ..stale }.next_step()), "Sell 10");
}

#[test]
fn an_exit_waits_for_a_later_attempt_that_this_engine_may_have_sent() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS")]);
    let asked = Facts { must_query: true, own: Known::Absent, ..facts(&held, Action::StopLoss) };
    assert_eq!(asked.next_step(), Step::QueryAttempt(1));
    let absent = Attempts::from([(1, None)]);
    let later = Facts { others: &absent, later_alone: Some(1), sent_ms: Some(900), settle_ms: 500, ..asked };
    assert!(matches!(later.next_step(), Step::Wait { .. }));
    let settled = Facts { asked_ms: 1_500, ..later.clone() };
    assert_eq!(quantity_of(settled.next_step()), "Sell 10");
    // The attempts between may have been refused without a trace.
    let far = Facts { others: &NOT_ASKED, later_alone: Some(3), ..later.clone() };
    assert_eq!(far.next_step(), Step::QueryAttempt(3));
    let there = Attempts::from([(1, Some(order(ExecType::New, "0")))]);
    let there = Facts { others: &there, ..later };
    assert!(matches!(there.next_step(), Step::Wait { .. }), "this one may have been sent too, and show late");
    assert_eq!(Facts { asked_ms: 1_500, ..there }.next_step(), Step::Superseded);
}

#[test]
fn an_exit_that_works_by_an_old_memory_and_not_at_the_broker_has_perhaps_a_successor() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("working", "STOPLOSS")]);
    let absent = Attempts::from([(1, None)]);
    let lost = Facts {
        must_query: true,
        restored: true,
        own: Known::Absent,
        others: &absent,
        sent_ms: Some(900),
        settle_ms: 500,
        ..facts(&held, Action::StopLoss)
    };
    assert!(matches!(lost.next_step(), Step::Wait { .. }));
    assert_eq!(quantity_of(Facts { asked_ms: 1_500, ..lost }.next_step()), "Sell 10");
}

#[test]
fn a_limit_stops_an_entry_and_never_an_exit() {
    let refused = Refused { rule: Rule::MaxQuantity, scope: Scope::User, why: "10 is more than 5".to_owned() };
    let entry = strategy(&[("pending", "BUY")]);
    let bought = |risk: Verdict| Facts { risk, ..facts(&entry, Action::Buy) };
    assert_eq!(bought(Verdict::Refused(refused.clone())).next_step(), Step::Deny(refused.clone()));
    assert!(matches!(bought(Verdict::NotAsked).next_step(), Step::Wait { .. }), "nobody approved it");
    assert!(matches!(bought(Verdict::Later("no price")).next_step(), Step::Wait { why: "no price", .. }));
    // What was approved was another order: of less, or of another cycle.
    let smaller = Intent { quantity: "9".parse().unwrap(), ..intent_of(facts(&entry, Action::Buy).key, &entry, 1) };
    assert!(matches!(bought(Verdict::without_limits(smaller)).next_step(), Step::Wait { .. }));
    let other = intent_of(facts(&entry, Action::Buy).key, &entry, 2);
    assert!(matches!(bought(Verdict::without_limits(other)).next_step(), Step::Wait { .. }));
    // One that may be at the broker is not said to be refused before that is settled.
    let sent = Facts {
        own: Known::Absent,
        sent_ms: Some(900),
        settle_ms: 1_000,
        asked_ms: 1_000,
        must_query: true,
        ..bought(Verdict::Refused(refused.clone()))
    };
    assert!(matches!(sent.next_step(), Step::Wait { .. }), "{:?}", sent.next_step());
    let there = Facts { own: Known::There(order(ExecType::New, "0")), ..sent };
    assert!(matches!(there.next_step(), Step::Adopt(_)), "what is there is followed");
    for action in [Action::StopLoss, Action::TakeProfit, Action::Sell, Action::SquareOff] {
        let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", action.as_str())]);
        for risk in [Verdict::NotAsked, Verdict::Refused(refused.clone()), Verdict::Later("no price")] {
            assert_eq!(quantity_of(Facts { risk, ..facts(&held, action) }.next_step()), "Sell 10");
        }
    }
}
