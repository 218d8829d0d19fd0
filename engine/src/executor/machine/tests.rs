use super::*;
use crate::broker::{BrokerError, Idempotency, OrderSide, OrderState};
use strat_client::QueueEntry;
use strat_core::{Action, Ladder, Leg, StrategyKey};

const KEY: &str = "user:alice:strategy:s1";
const RULES: Rules =
    Rules { idempotency: Idempotency::Dedupes, skew_ms: 0, settle_ms: 1_000, fresh_ms: 0, ladder: Ladder::NONE };

fn strategy(fields: &[(&str, &str)]) -> Strategy {
    let base = [("symbol", "IBM"), ("quantity", "10"), ("cycle", "1")];
    Strategy::read(|name| fields.iter().chain(&base).find(|(known, _)| *known == name).map(|(_, v)| v.as_bytes()))
        .unwrap()
}

fn entry(stream: &str, action: Action, deliveries: u64) -> QueueEntry {
    QueueEntry {
        stream: stream.into(),
        id: "5-0".into(),
        deliveries,
        key: KEY.into(),
        action,
        cycle: 1,
        version: 1,
        price: None,
        ts_ms: None,
    }
}

fn order(status: ExecType, cum: &str) -> OrderState {
    let avg_px = Some("100".parse().unwrap());
    OrderState {
        client_order_id: own_id(),
        status,
        cum_qty: cum.parse().unwrap(),
        avg_px,
        text: String::new(),
        ts_ms: 1,
    }
}

/// A copy that is as new as it gets.
const NOW_COPIED: i64 = i64::MAX;

/// The id of the entry, and, where the leg does not matter, of any order.
fn own_id() -> String {
    id_of(Leg::Entry, 0)
}

fn id_of(leg: Leg, attempt: u64) -> String {
    let key = StrategyKey::parse(KEY).unwrap();
    strat_core::order::OrderIdentity { key, cycle: 1, leg, attempt }.client_order_id()
}

fn unknown<T>() -> Result<T, BrokerError> {
    Err(BrokerError::Unknown("no answer".into()))
}

/// A machine, its strategy, and the clock.
struct Play {
    machine: OrderMachine,
    strategy: Strategy,
    now_ms: i64,
    /// Redis was restored after the cycle began.
    restored: bool,
    /// What the engine knows of the exit by another way.
    sent_alone: SentAlone,
    /// Effects so far, as words.
    seen: Vec<String>,
}

impl Play {
    fn of(job: Job, strategy: Strategy, rules: Rules) -> Self {
        let machine = OrderMachine::new(job, rules);
        Self { machine, strategy, now_ms: 10_000, restored: false, sent_alone: SentAlone::No, seen: Vec::new() }
    }

    fn buy(rules: Rules, deliveries: u64) -> Self {
        let job = Job::of_entry(entry("queue:orders", Action::Buy, deliveries), None);
        Self::of(job, strategy(&[("pending", "BUY")]), rules)
    }

    fn stop(rules: Rules) -> Self {
        let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS")]);
        Self::of(Job::of_entry(entry("queue:exits", Action::StopLoss, 1), None), held, rules)
    }

    fn tell(&mut self, input: Input) -> Effect {
        let effect = self.machine.step(Now::at(self.now_ms), input);
        self.seen.push(format!("{effect:?}").split([' ', '(']).next().unwrap_or_default().to_owned());
        effect
    }

    /// The strategy as Redis has it.
    fn seen_now(&self) -> Input {
        Input::Read(Found::Strategy(Box::new(Seen {
            strategy: self.strategy.clone(),
            grace_ms: None,
            entries_wait: None,
            risk: Verdict::without_limits(intent_of(StrategyKey::parse(KEY).unwrap(), &self.strategy, 1)),
            sent_alone: self.sent_alone,
            restored: self.restored,
        })))
    }

    /// Answers what Redis is asked and lets time pass, until the broker is asked or there is nothing to do.
    fn until_broker(&mut self, mut effect: Effect) -> Effect {
        for _ in 0..100 {
            let input = match effect {
                Effect::Claim { .. } => Input::Claimed(Claim::Token(LockToken::new("t"))),
                Effect::Read => self.seen_now(),
                Effect::Extend => Input::Extended(Ok(true)),
                Effect::Report(_) => Input::Reported(Ok(())),
                Effect::Release => Input::Released,
                Effect::Discard { .. } => Input::Discarded(Ok(())),
                Effect::Wait { ms, .. } => {
                    self.now_ms += ms;
                    Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false }
                }
                other => return other,
            };
            effect = self.tell(input);
        }
        panic!("no end: {:?}", self.seen)
    }

    fn go(&mut self) -> Effect {
        let effect = self.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
        self.until_broker(effect)
    }

    fn answer(&mut self, input: Input) -> Effect {
        let effect = self.tell(input);
        self.until_broker(effect)
    }

    fn count(&self, effect: &str) -> usize {
        self.seen.iter().filter(|seen| *seen == effect).count()
    }
}

#[test]
fn an_attempt_does_not_go_out_beside_a_later_one_of_its_own_engine() {
    let (knows, shows) = (|attempt| attempt == 1, |_| false);
    let mut play = Play::stop(RULES);
    assert!(matches!(play.go(), Effect::Submit(_)));
    assert!(!play.machine.is_superseded(|_| false, |_| true));
    assert!(play.machine.is_superseded(knows, shows), "asked for since this one was decided");

    // Nor beside an earlier one that was looked for before another job sent it.
    let again =
        strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("pending", "STOPLOSS"), ("attempt", "1")]);
    let mut play = Play { strategy: again, ..Play::stop(RULES) };
    assert!(matches!(play.go(), Effect::Lookup(_)));
    assert!(matches!(play.answer(Input::Looked(Ok(None))), Effect::Submit(_)));
    assert!(play.machine.is_superseded(|_| false, |attempt| attempt == 0));

    // The later one was refused without a trace: it must not stand in this one's way for ever.
    let mut play = Play { sent_alone: SentAlone::Later(1), ..Play::stop(RULES) };
    let mut effect = play.go();
    while let Effect::Lookup(_) = effect {
        effect = play.answer(Input::Looked(Ok(None)));
    }
    assert!(matches!(effect, Effect::Submit(_)), "{effect:?}");
    assert!(!play.machine.is_superseded(knows, shows));
    assert!(play.machine.is_superseded(knows, |_| true), "sent since, and it may not show yet");
}

#[test]
fn an_old_copy_looks_far_ahead_once_and_keeps_that_over_a_rate_limit() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let mut machine = OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), held, 0, RULES);
    let away = || Input::Go { epoch: None, opened_ms: None, redis_away: true };
    let asked = |effect: Effect| match effect {
        Effect::Lookup(name) => name.client_order_id,
        other => panic!("{other:?}"),
    };
    let mut effect = machine.step(Now::at(60_000), away());
    assert_eq!(asked(effect), id_of(Leg::Exit, 0));
    for later in (2..=LATER_ATTEMPTS_MAX).rev() {
        effect = machine.step(Now::at(60_000), Input::Looked(Ok(None)));
        assert_eq!(asked(effect), id_of(Leg::Exit, later));
    }
    assert_eq!(asked(machine.step(Now::at(60_000), Input::Looked(Ok(None)))), id_of(Leg::Exit, 1));
    let limited = BrokerError::RateLimited { retry_after: std::time::Duration::from_millis(100) };
    assert!(matches!(machine.step(Now::at(60_000), Input::Looked(Err(limited))), Effect::Wait { .. }));
    // What is near is asked for again, the rest is not.
    assert_eq!(asked(machine.step(Now::at(60_100), away())), id_of(Leg::Exit, 0));
    assert_eq!(asked(machine.step(Now::at(60_100), Input::Looked(Ok(None)))), id_of(Leg::Exit, 1));
    assert!(matches!(machine.step(Now::at(60_100), Input::Looked(Ok(None))), Effect::Submit(_)));
}

#[test]
fn an_order_is_claimed_extended_sent_and_every_report_is_passed_on() {
    let mut play = Play::buy(RULES, 1);
    assert!(matches!(play.go(), Effect::Submit(request) if request.side == OrderSide::Buy));
    assert_eq!(play.answer(Input::Submitted(Ok(order(ExecType::New, "0")))), Effect::Watch);
    assert_eq!(play.machine.phase(), Phase::Acknowledged);
    assert_eq!(play.answer(Input::Execution(order(ExecType::PartialFill, "4"))), Effect::Watch);
    assert_eq!(play.machine.phase(), Phase::Partial);
    // Told again, and told late: nothing new.
    let reports = play.count("Report");
    assert_eq!(play.answer(Input::Execution(order(ExecType::PartialFill, "4"))), Effect::Watch);
    assert_eq!(play.answer(Input::Execution(order(ExecType::New, "0"))), Effect::Watch);
    assert_eq!(play.count("Report"), reports);
    assert_eq!(play.answer(Input::Execution(order(ExecType::Fill, "10"))), Effect::Done);
    assert_eq!(play.seen[..5], ["Claim", "Read", "Extend", "Submit", "Report"]);
    assert!(play.machine.lock().is_none(), "the terminal report released it");
}

/// An exit's order at the broker.
fn exit_order(attempt: u64, status: ExecType, cum: &str) -> OrderState {
    OrderState { client_order_id: id_of(Leg::Exit, attempt), ..order(status, cum) }
}

#[test]
fn an_exit_that_rests_beyond_its_protection_is_cancelled_for_the_next_attempt() {
    let rules = Rules { ladder: "1,5".parse().unwrap(), ..RULES };
    let mut play = Play::stop(rules);
    let Effect::Submit(request) = play.go() else { panic!("{:?}", play.seen) };
    assert_eq!(request.protection, Some("1".parse().unwrap()));
    assert_eq!(play.answer(Input::Submitted(Ok(exit_order(0, ExecType::New, "0")))), Effect::Watch);
    assert!(play.machine.may_rest());
    assert!(matches!(play.answer(Input::Silent), Effect::Cancel(name) if name.client_order_id == id_of(Leg::Exit, 0)));
    // It fills in part on the way, and works on: what fills is not given up.
    assert!(matches!(play.answer(Input::Canceled(unknown())), Effect::Lookup(_)));
    assert_eq!(play.answer(Input::Looked(Ok(Some(exit_order(0, ExecType::PartialFill, "4"))))), Effect::Watch);
    assert!(matches!(play.answer(Input::Silent), Effect::Cancel(_)));
    assert!(matches!(play.answer(Input::Canceled(Ok(()))), Effect::Lookup(_)));
    assert_eq!(play.answer(Input::Looked(Ok(Some(exit_order(0, ExecType::Canceled, "4"))))), Effect::Done);
    // The next attempt, whoever carries it out.
    let held = [
        ("position", "BOUGHT"),
        ("filled_quantity", "10"),
        ("exit_quantity", "4"),
        ("exit_price", "100"),
        ("pending", "STOPLOSS"),
    ];
    let again =
        [held.as_slice(), &[("attempt", "1"), ("prior_exit_quantity", "4"), ("prior_exit_price", "100")]].concat();
    let job = Job::of_entry(entry("queue:exits", Action::StopLoss, 1), None);
    let mut next = Play::of(job, strategy(&again), rules);
    let mut effect = next.go();
    while let Effect::Lookup(_) = effect {
        effect = next.answer(Input::Looked(Ok(Some(exit_order(0, ExecType::Canceled, "4")))));
    }
    let Effect::Submit(request) = effect else { panic!("{:?}", next.seen) };
    assert_eq!((request.protection, request.quantity), (Some("5".parse().unwrap()), "6".parse().unwrap()));
}

#[test]
fn an_entry_is_neither_protected_nor_given_up() {
    let mut play = Play::buy(Rules { ladder: "1".parse().unwrap(), ..RULES }, 1);
    let Effect::Submit(request) = play.go() else { panic!("{:?}", play.seen) };
    assert_eq!(request.protection, None);
    assert_eq!(play.answer(Input::Submitted(Ok(order(ExecType::New, "0")))), Effect::Watch);
    assert!(!play.machine.may_rest());
    assert!(matches!(play.answer(Input::Silent), Effect::Lookup(_)));
}

#[test]
fn an_unknown_outcome_is_looked_up_and_only_what_may_be_is_sent_again() {
    for (idempotency, submits) in [(Idempotency::Dedupes, 2), (Idempotency::Queryable, 2), (Idempotency::None, 1)] {
        // Found.
        let mut play = Play::buy(Rules { idempotency, ..RULES }, 1);
        let mut effect = play.go();
        if let Effect::Lookup(_) = effect {
            effect = play.answer(Input::Looked(Ok(None)));
        }
        assert!(matches!(effect, Effect::Submit(_)));
        assert!(matches!(play.answer(Input::Submitted(unknown())), Effect::Lookup(_)));
        assert_eq!(play.machine.phase(), Phase::Unknown);
        let mut found = play.machine.clone();
        assert!(matches!(
            found.step(Now::at(play.now_ms), Input::Looked(Ok(Some(order(ExecType::New, "0"))))),
            Effect::Report(_)
        ));
        // Not found, however often it is asked.
        let sent_ms = play.now_ms;
        let mut effect = play.answer(Input::Looked(Ok(None)));
        for _ in 0..20 {
            match effect {
                Effect::Lookup(_) => effect = play.answer(Input::Looked(Ok(None))),
                Effect::Submit(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(play.count("Submit"), submits, "{idempotency:?}");
        if idempotency == Idempotency::Queryable {
            assert!(play.now_ms >= sent_ms + RULES.settle_ms, "absence was proven first");
        }
    }
}

#[test]
fn a_refused_repeat_is_looked_up_before_it_counts_as_a_refusal() {
    let refused = || Input::Submitted(Err(BrokerError::Rejected("duplicate id".into())));
    let mut first = Play::buy(RULES, 1);
    first.go();
    assert!(matches!(first.answer(refused()), Effect::Lookup(_)), "others may have sent it");
    assert_eq!(first.answer(Input::Looked(Ok(None))), Effect::Done);
    assert_eq!((first.count("Submit"), first.now_ms), (1, 10_000), "nothing was sent before: no wait");
    let mut repeat = Play::buy(RULES, 1);
    repeat.go();
    repeat.answer(Input::Submitted(unknown()));
    assert!(matches!(repeat.answer(Input::Looked(Ok(None))), Effect::Submit(_)));
    assert!(matches!(repeat.answer(refused()), Effect::Lookup(_)));
    assert_eq!(repeat.answer(Input::Looked(Ok(Some(order(ExecType::New, "0"))))), Effect::Watch);
}

#[test]
fn what_was_handed_out_before_is_looked_up_first() {
    let mut again = Play::buy(RULES, 2);
    assert!(matches!(again.go(), Effect::Lookup(_)));
    assert_eq!(again.answer(Input::Looked(Ok(Some(order(ExecType::Fill, "10"))))), Effect::Done);
    assert_eq!(again.count("Submit"), 0);
    let early = Job::of_entry(entry("queue:orders", Action::Buy, 1), Some(5));
    assert!(early.must_query && early.doubtful, "enqueued before the epoch began");
    assert!(!Job::of_entry(entry("queue:orders", Action::Buy, 1), Some(4)).doubtful);
}

#[test]
fn a_lost_lock_stops_the_submission() {
    let mut play = Play::stop(RULES);
    let mut effect = play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
    for input in [Input::Claimed(Claim::Token(LockToken::new("t"))), play.seen_now()] {
        assert!(matches!(effect, Effect::Claim { .. } | Effect::Read));
        effect = play.tell(input);
    }
    assert_eq!(effect, Effect::Extend);
    assert!(matches!(play.tell(Input::Extended(Ok(false))), Effect::Wait { waits: Waits::AnotherOrder, .. }));
    assert!(play.machine.lock().is_none() && play.count("Submit") == 0);
}

#[test]
fn a_report_that_redis_does_not_take_is_told_again_under_a_new_lock() {
    let mut play = Play::stop(RULES);
    play.go();
    let effect = play.tell(Input::Submitted(Ok(order(ExecType::Fill, "10"))));
    assert!(matches!(effect, Effect::Report(_)));
    assert!(matches!(play.tell(Input::Reported(Err(ReportFailure::NotOurs("BADTOKEN".into())))), Effect::Wait { .. }));
    let effect = play.go();
    assert!(matches!(effect, Effect::Lookup(_)), "{effect:?}");
    assert_eq!(play.answer(Input::Looked(Ok(Some(order(ExecType::Fill, "10"))))), Effect::Done);
    assert_eq!(play.count("Submit"), 1);
}

#[test]
fn while_the_gate_is_shut_nothing_is_claimed() {
    let mut play = Play::stop(RULES);
    assert_eq!(play.tell(Input::Go { epoch: None, opened_ms: None, redis_away: false }), Effect::AwaitEpoch);
    play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
    assert_eq!(play.tell(Input::Claimed(Claim::Unsynced)), Effect::AwaitEpoch);
}

#[test]
fn without_redis_an_exit_is_sent_with_its_own_id_and_claimed_afterwards() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let queued = Play::stop(RULES).go();
    let job = Job::unasked(KEY.into(), Action::StopLoss, 1);
    let mut machine = OrderMachine::unclaimed(job, held.clone(), NOW_COPIED, RULES);
    assert!(matches!(
        machine.step(Now::at(1), Input::Go { epoch: None, opened_ms: None, redis_away: true }),
        Effect::Lookup(_)
    ));
    assert!(matches!(machine.step(Now::at(2), Input::Looked(Ok(None))), Effect::Lookup(_)), "the attempt after");
    let effect = machine.step(Now::at(2), Input::Looked(Ok(None)));
    assert_eq!(effect, queued, "the same order that the queue would lead to");
    assert!(matches!(machine.step(Now::at(3), Input::Submitted(Ok(order(ExecType::New, "0")))), Effect::Wait { .. }));
    assert!(!machine.is_alone());
    // Redis is still away, then back; the strategy has heard nothing and is still armed.
    let mut play =
        Play { machine, strategy: held, now_ms: 4, restored: false, sent_alone: SentAlone::No, seen: Vec::new() };
    assert!(matches!(
        play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false }),
        Effect::Claim { .. }
    ));
    assert!(matches!(play.tell(Input::Claimed(Claim::Trouble("away".into()))), Effect::Wait { .. }));
    assert!(matches!(play.go(), Effect::Lookup(_)));
    assert_eq!(play.answer(Input::Looked(Ok(Some(order(ExecType::Fill, "10"))))), Effect::Done);
    assert_eq!((play.count("Submit"), play.count("Report")), (0, 1));
}

#[test]
fn without_redis_an_exit_first_ends_the_entry_and_sells_what_it_filled() {
    let part = strategy(&[("position", "BOUGHT"), ("filled_quantity", "4"), ("working", "BUY")]);
    let mut machine = OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), part, NOW_COPIED, RULES);
    assert!(matches!(
        machine.step(Now::at(1), Input::Go { epoch: None, opened_ms: None, redis_away: true }),
        Effect::Cancel(_)
    ));
    assert!(matches!(machine.step(Now::at(1), Input::Canceled(Ok(()))), Effect::Lookup(_)));
    let effect = machine.step(Now::at(2), Input::Looked(Ok(Some(order(ExecType::Canceled, "6")))));
    assert!(matches!(effect, Effect::Lookup(_)), "{effect:?}");
    assert!(matches!(machine.step(Now::at(3), Input::Looked(Ok(None))), Effect::Lookup(_)), "the attempt after");
    let effect = machine.step(Now::at(3), Input::Looked(Ok(None)));
    assert!(matches!(&effect, Effect::Submit(request) if request.quantity.to_string() == "6"), "{effect:?}");
}

#[test]
fn a_late_word_on_the_attempt_before_is_not_taken_for_this_one() {
    let mut play = Play::stop(RULES);
    play.strategy.attempt = 1;
    assert!(matches!(play.go(), Effect::Lookup(_)), "the attempt before");
    assert!(matches!(play.answer(Input::Looked(Ok(None))), Effect::Submit(_)));
    let of = |attempt, status, cum| OrderState { client_order_id: id_of(Leg::Exit, attempt), ..order(status, cum) };
    assert_eq!(play.answer(Input::Submitted(Ok(of(1, ExecType::New, "0")))), Effect::Watch);
    let reports = play.count("Report");
    assert_eq!(play.answer(Input::Execution(of(0, ExecType::Rejected, "0"))), Effect::Watch);
    assert_eq!(play.count("Report"), reports);
    assert_eq!(play.answer(Input::Execution(of(1, ExecType::Fill, "10"))), Effect::Done);
}

#[test]
fn an_order_that_works_and_that_somebody_else_sent_is_sent_again_only_when_it_must_show() {
    let mut play = Play::buy(Rules { idempotency: Idempotency::Queryable, ..RULES }, 1);
    play.strategy = strategy(&[("working", "BUY")]);
    let began = play.now_ms;
    let mut effect = play.go();
    while let Effect::Lookup(_) = effect {
        effect = play.answer(Input::Looked(Ok(None)));
    }
    assert!(matches!(effect, Effect::Submit(_)) && play.now_ms >= began + RULES.settle_ms);
}

#[test]
fn after_another_epoch_everything_is_reported_again() {
    let mut play = Play::buy(RULES, 1);
    play.go();
    play.answer(Input::Submitted(Ok(order(ExecType::New, "0"))));
    play.answer(Input::Execution(order(ExecType::PartialFill, "4")));
    let reports = play.count("Report");
    // The lock may have survived where the report did not.
    assert!(matches!(play.answer(Input::EpochChanged), Effect::Lookup(_)));
    assert_eq!(play.answer(Input::Looked(Ok(Some(order(ExecType::PartialFill, "4"))))), Effect::Watch);
    assert_eq!((play.count("Report"), play.count("Submit")), (reports + 1, 1));
}

#[test]
fn an_exit_that_was_not_sent_yet_is_claimed_when_redis_is_back() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "4"), ("working", "BUY")]);
    let mut machine = OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), held, NOW_COPIED, RULES);
    let go = |redis_away| Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away };
    assert!(matches!(machine.step(Now::at(1), go(true)), Effect::Cancel(_)));
    assert!(matches!(machine.step(Now::at(2), Input::Canceled(Ok(()))), Effect::Lookup(_)));
    let working = Input::Looked(Ok(Some(order(ExecType::PartialFill, "4"))));
    assert!(matches!(machine.step(Now::at(3), working), Effect::Wait { .. }));
    assert!(matches!(machine.step(Now::at(4), go(false)), Effect::Claim { .. }));
}

#[test]
fn an_exit_of_unknown_outcome_is_decided_anew_when_redis_is_back() {
    for idempotency in [Idempotency::Dedupes, Idempotency::Queryable] {
        let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
        let rules = Rules { idempotency, ..RULES };
        let mut machine =
            OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), held, NOW_COPIED, rules);
        let go = |redis_away| Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away };
        let mut effect = machine.step(Now::at(1), go(true));
        while let Effect::Lookup(_) = effect {
            effect = machine.step(Now::at(2), Input::Looked(Ok(None)));
        }
        assert!(matches!(effect, Effect::Submit(_)), "{effect:?}");
        assert!(matches!(machine.step(Now::at(3), Input::Submitted(unknown())), Effect::Lookup(_)));
        assert!(matches!(machine.step(Now::at(4), Input::Looked(Ok(None))), Effect::Wait { .. }));
        // Others may have sent the next attempt meanwhile.
        assert!(matches!(machine.step(Now::at(5_000), go(false)), Effect::Claim { .. }));
    }
}

#[test]
fn without_redis_an_exit_that_is_not_found_is_not_sent_again_before_later_attempts_were_looked_for() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let mut machine = OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), held, NOW_COPIED, RULES);
    let away = || Input::Go { epoch: None, opened_ms: None, redis_away: true };
    machine.step(Now::at(1), away());
    machine.step(Now::at(2), Input::Looked(Ok(None)));
    assert!(matches!(machine.step(Now::at(2), Input::Looked(Ok(None))), Effect::Submit(_)));
    machine.step(Now::at(3), Input::Submitted(unknown()));
    assert!(matches!(machine.step(Now::at(4), Input::Looked(Ok(None))), Effect::Wait { .. }));
    assert!(matches!(machine.step(Now::at(60), away()), Effect::Lookup(_)), "its own");
    let effect = machine.step(Now::at(61), Input::Looked(Ok(None)));
    let later = id_of(Leg::Exit, 1);
    assert!(matches!(&effect, Effect::Lookup(name) if name.client_order_id == later), "{effect:?}");
    let effect = machine.step(Now::at(62), Input::Looked(Ok(Some(order(ExecType::New, "0")))));
    assert!(matches!(effect, Effect::Wait { waits: Waits::Person, .. }), "{effect:?}");
}

#[test]
fn without_redis_absence_of_other_attempts_is_not_believed_for_long() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let mut machine = OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), held, -10_000, RULES);
    let away = || Input::Go { epoch: None, opened_ms: None, redis_away: true };
    // Answers each question by "not found", or in the end by a refusal to hear more; says how many there were.
    let mut asked = |ms: i64, patience: usize| {
        let (mut effect, mut looked) = (machine.step(Now::at(ms), away()), 0);
        while let Effect::Lookup(_) = effect {
            looked += 1;
            let throttled = Err(BrokerError::RateLimited { retry_after: std::time::Duration::from_millis(300) });
            effect = machine.step(Now::at(ms), Input::Looked(if looked > patience { throttled } else { Ok(None) }));
        }
        if let Effect::Submit(_) = effect {
            machine.step(Now::at(ms), Input::Submitted(Err(BrokerError::Rejected("no funds".into()))));
            machine.step(Now::at(ms), Input::Looked(Ok(None)));
        }
        looked
    };
    assert_eq!(asked(0, 99), 9, "its own, and the next eight, because the copy is old");
    assert_eq!(asked(2_000, 5), 6, "after a refusal all of them again");
    assert_eq!(asked(2_300, 99), 5, "a broker that throttles is asked for the rest");
    assert_eq!(asked(4_300, 5), 6);
    assert_eq!(asked(9_300, 99), 9, "those answers are too old");
}

#[test]
fn a_refusal_that_redis_did_not_hear_of_is_looked_up_before_it_is_told() {
    let mut play = Play::stop(RULES);
    play.go();
    assert!(matches!(play.tell(Input::Submitted(Err(BrokerError::Rejected("no funds".into())))), Effect::Lookup(_)));
    assert!(matches!(play.tell(Input::Looked(Ok(None))), Effect::Report(_)));
    let effect = play.tell(Input::Reported(Err(ReportFailure::Trouble("away".into()))));
    assert!(matches!(effect, Effect::Wait { .. }), "{effect:?}");
    assert!(matches!(play.go(), Effect::Lookup(_)));
    // Somebody without Redis had more luck with the same order.
    assert_eq!(play.answer(Input::Looked(Ok(Some(order(ExecType::Fill, "10"))))), Effect::Done);
    assert_eq!(play.count("Submit"), 1);
}

#[test]
fn an_exit_of_a_restored_cycle_first_looks_for_attempts_that_redis_forgot() {
    let mut play = Play::stop(RULES);
    play.restored = true;
    let effect = play.go();
    assert!(matches!(&effect, Effect::Lookup(name) if name.client_order_id == id_of(Leg::Exit, 0)), "{effect:?}");
    let effect = play.answer(Input::Looked(Ok(None)));
    assert!(matches!(&effect, Effect::Lookup(name) if name.client_order_id == id_of(Leg::Exit, 1)), "{effect:?}");
    assert!(matches!(play.answer(Input::Looked(Ok(None))), Effect::Submit(_)));
}

#[test]
fn an_answer_that_takes_long_proves_absence_only_as_of_when_it_was_asked_for() {
    let mut play = Play::stop(Rules { idempotency: Idempotency::Queryable, ..RULES });
    play.strategy.cycle_at = Some(1);
    let mut effect = play.go();
    while let Effect::Lookup(_) = effect {
        effect = play.answer(Input::Looked(Ok(None)));
    }
    assert!(matches!(effect, Effect::Submit(_)), "{effect:?}");
    assert!(matches!(play.tell(Input::Submitted(unknown())), Effect::Lookup(_)));
    play.now_ms += RULES.settle_ms - 1;
    let effect = play.tell(Input::Go { epoch: None, opened_ms: None, redis_away: false });
    assert!(matches!(effect, Effect::Lookup(_)), "{effect:?}");
    play.now_ms += 500;
    let effect = play.tell(Input::Looked(Ok(None)));
    let Effect::Wait { waits: Waits::Pause, .. } = effect else { panic!("{effect:?}") };
    let effect = play.tell(Input::Go { epoch: None, opened_ms: None, redis_away: false });
    assert!(matches!(effect, Effect::Lookup(_)), "asked again, not sent: {effect:?}");
}

#[test]
fn an_exit_outlives_its_strategys_loss_but_not_its_deletion() {
    let begin = |refusal: &str| {
        let mut play = Play::of(Job::unasked(KEY.into(), Action::StopLoss, 1), strategy(&[]), RULES);
        play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
        assert_eq!(play.tell(Input::Claimed(Claim::NotWanted(refusal.into()))), Effect::Inspect);
        play.tell(Input::Inspected(Some(Holder { action: None, own: false, strategy: None })))
    };
    assert!(matches!(begin("BUSY STOPLOSS is not possible: SQUAREOFF is pending"), Effect::Wait { .. }));
    assert!(matches!(begin("NOSTRAT there is no strategy"), Effect::Discard { .. }));
    let mut lost = Play::of(Job::unasked(KEY.into(), Action::StopLoss, 1), strategy(&[]), RULES);
    lost.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
    lost.tell(Input::Claimed(Claim::Token(LockToken::new("t"))));
    assert_eq!(lost.tell(Input::Read(Found::Gone)), Effect::Release);
    assert!(matches!(lost.tell(Input::Released), Effect::Wait { .. }));
}

#[test]
fn a_lock_of_a_moment_ago_is_not_looked_at_again() {
    let rules = Rules { fresh_ms: 500, ..RULES };
    let sent = |mut play: Play, late_ms: i64| {
        play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
        play.tell(Input::Claimed(Claim::Token(LockToken::new("t"))));
        play.now_ms += late_ms;
        let seen = play.seen_now();
        play.tell(seen)
    };
    let buy = |deliveries| Play::buy(rules, deliveries);
    assert!(matches!(sent(buy(1), 499), Effect::Submit(_)));
    assert_eq!(sent(buy(1), 500), Effect::Extend, "it took its time");
    let mut asked = buy(2);
    assert!(matches!(asked.go(), Effect::Lookup(_)));
    asked.tell(Input::Looked(Ok(None)));
    let seen = asked.seen_now();
    let effect = asked.tell(seen);
    assert!(!matches!(effect, Effect::Submit(_)), "it may be somebody else's: {effect:?}");
}

#[test]
fn what_was_looked_for_without_redis_may_have_been_sent_since_by_one_with_it() {
    let works = strategy(&[("working", "BUY")]);
    let job = Job::unasked(KEY.into(), Action::Sell, 1);
    let mut machine = OrderMachine::unclaimed(job, works.clone(), NOW_COPIED, RULES);
    let away = || Input::Go { epoch: None, opened_ms: None, redis_away: true };
    let mut looked = |ms: i64| {
        let mut effect = machine.step(Now::at(ms), away());
        for _ in 0..8 {
            effect = match effect {
                Effect::Cancel(_) => machine.step(Now::at(ms), Input::Canceled(Ok(()))),
                Effect::Lookup(_) => machine.step(Now::at(ms), Input::Looked(Ok(None))),
                waits => return waits,
            };
        }
        unreachable!("it waits in the end");
    };
    assert!(matches!(looked(1), Effect::Wait { .. }), "the entry may still show");
    assert!(matches!(looked(10_000), Effect::Wait { .. }), "nothing to exit");
    let mut play =
        Play { machine, strategy: works, now_ms: 10_100, restored: false, sent_alone: SentAlone::No, seen: Vec::new() };
    let mut effect = play.go();
    while matches!(effect, Effect::Cancel(_) | Effect::Lookup(_)) {
        effect = match effect {
            Effect::Cancel(_) => play.answer(Input::Canceled(Ok(()))),
            _ => play.answer(Input::Looked(Ok(None))),
        };
    }
    assert!(play.now_ms >= 10_100 + RULES.settle_ms, "told to be dead at {} already: {effect:?}", play.now_ms);
}

#[test]
fn an_exit_of_a_cycle_that_has_ended_does_not_wait_for_the_next_ones_orders() {
    let held = |cycle: &str| strategy(&[("cycle", cycle), ("position", "BOUGHT"), ("working", "BUY")]);
    let inspected = |strategy: Strategy| {
        let mut play = Play::stop(RULES);
        play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
        assert_eq!(play.tell(Input::Claimed(Claim::Held)), Effect::Inspect);
        let holder = Holder { action: Some(Action::Buy), own: true, strategy: Some(strategy) };
        play.tell(Input::Inspected(Some(holder)))
    };
    assert!(matches!(inspected(held("2")), Effect::Discard { .. }));
    assert!(matches!(inspected(held("1")), Effect::Cancel(_)));
}

#[test]
fn a_refusal_is_not_believed_while_what_was_sent_before_the_gate_opened_may_still_arrive() {
    let mut play = Play::buy(RULES, 1);
    let opened_ms = Some(play.now_ms);
    let effect = play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms, redis_away: false });
    assert!(matches!(play.until_broker(effect), Effect::Submit(_)));
    let effect = play.answer(Input::Submitted(Err(BrokerError::Rejected("no funds".into()))));
    assert!(matches!(effect, Effect::Lookup(_)));
    assert!(matches!(play.tell(Input::Looked(Ok(None))), Effect::Wait { waits: Waits::Pause, .. }));
    play.now_ms += RULES.settle_ms;
    assert!(matches!(play.tell(Input::Go { epoch: None, opened_ms, redis_away: false }), Effect::Lookup(_)));
    assert!(matches!(play.tell(Input::Looked(Ok(None))), Effect::Report(_)));
}

#[test]
fn after_another_held_the_lock_for_the_same_order_it_may_be_on_its_way() {
    let mut play = Play::buy(Rules { idempotency: Idempotency::Queryable, ..RULES }, 1);
    play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
    play.now_ms += 60_000;
    assert_eq!(play.tell(Input::Claimed(Claim::Held)), Effect::Inspect);
    let holder = Holder { action: Some(Action::Buy), own: false, strategy: Some(play.strategy.clone()) };
    assert!(matches!(play.tell(Input::Inspected(Some(holder))), Effect::Wait { waits: Waits::AnotherOrder, .. }));
    let began = play.now_ms;
    let mut effect = play.go();
    while let Effect::Lookup(_) = effect {
        effect = play.answer(Input::Looked(Ok(None)));
    }
    assert!(matches!(effect, Effect::Submit(_)) && play.now_ms >= began + RULES.settle_ms, "{effect:?}");
}

#[test]
fn an_exit_that_waited_for_the_entrys_holder_asks_anew_how_the_entry_ended() {
    let waiting = strategy(&[("pending", "SELL")]);
    let mut play = Play::of(Job::of_entry(entry("queue:exits", Action::Sell, 1), None), waiting, RULES);
    let mut effect = play.go();
    assert!(matches!(effect, Effect::Cancel(_)), "{effect:?}");
    effect = play.answer(Input::Canceled(Ok(())));
    assert!(matches!(effect, Effect::Lookup(_)), "{effect:?}");
    assert!(matches!(play.tell(Input::Looked(Ok(None))), Effect::Read));
    assert_eq!(play.tell(play.seen_now()), Effect::Release);
    assert!(matches!(play.tell(Input::Released), Effect::Wait { .. }));
    play.now_ms += 60_000;
    play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
    assert_eq!(play.tell(Input::Claimed(Claim::Held)), Effect::Inspect);
    let holder = Holder { action: Some(Action::Buy), own: false, strategy: Some(play.strategy.clone()) };
    assert!(matches!(play.tell(Input::Inspected(Some(holder))), Effect::Cancel(_)));
    play.tell(Input::Canceled(Ok(())));
    assert!(matches!(play.go(), Effect::Cancel(_)));
    play.answer(Input::Canceled(Ok(())));
    let reports = play.count("Report");
    play.tell(Input::Looked(Ok(None)));
    assert_eq!(play.tell(play.seen_now()), Effect::Release, "not concluded yet");
    assert_eq!(play.count("Report"), reports);
}

#[test]
fn an_order_whose_end_was_seen_does_not_become_one_that_never_was() {
    let mut play = Play::buy(RULES, 2);
    assert!(matches!(play.go(), Effect::Lookup(_)));
    play.tell(Input::Looked(Ok(Some(order(ExecType::Canceled, "4")))));
    // Redis does not answer; then the broker denies what it has shown.
    assert_eq!(play.tell(Input::Read(Found::Trouble("away".into()))), Effect::Release);
    assert!(matches!(play.tell(Input::Released), Effect::Wait { .. }));
    assert!(matches!(play.go(), Effect::Lookup(_)));
    assert_eq!(play.answer(Input::Looked(Ok(None))), Effect::Done);
    assert_eq!(play.count("Submit"), 0);
}

#[test]
fn an_exit_that_is_not_out_yet_is_sent_without_redis_each_time_redis_goes_away() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let mut machine = OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), held, NOW_COPIED, RULES);
    let go = |redis_away| Input::Go { epoch: None, opened_ms: None, redis_away };
    assert!(matches!(machine.step(Now::at(1), go(true)), Effect::Lookup(_)));
    let mute = Input::Looked(Err(BrokerError::Unavailable("away".into())));
    assert!(matches!(machine.step(Now::at(2), mute), Effect::Wait { .. }));
    // Redis is there for a moment, and the gate is shut: nobody waits for it for ever.
    assert!(matches!(machine.step(Now::at(3), go(false)), Effect::Wait { .. }));
    assert!(matches!(machine.step(Now::at(4), go(true)), Effect::Lookup(_)));
    machine.step(Now::at(5), Input::Looked(Ok(None)));
    assert!(matches!(machine.step(Now::at(6), Input::Looked(Ok(None))), Effect::Submit(_)));
    machine.step(Now::at(7), Input::Submitted(Ok(order(ExecType::New, "0"))));
    // It is out: from now on only Redis has to hear of it.
    assert_eq!(machine.step(Now::at(8), go(true)), Effect::AwaitEpoch);
}

#[test]
fn without_redis_a_refused_exit_is_tried_again() {
    let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10")]);
    let mut machine = OrderMachine::unclaimed(Job::unasked(KEY.into(), Action::StopLoss, 1), held, NOW_COPIED, RULES);
    let away = || Input::Go { epoch: None, opened_ms: None, redis_away: true };
    let refused = || Input::Submitted(Err(BrokerError::Rejected("no funds".into())));
    for _ in 0..3 {
        machine.step(Now::at(1), away());
        machine.step(Now::at(2), Input::Looked(Ok(None)));
        assert!(matches!(machine.step(Now::at(3), Input::Looked(Ok(None))), Effect::Submit(_)));
        assert!(matches!(machine.step(Now::at(4), refused()), Effect::Lookup(_)));
        let effect = machine.step(Now::at(5), Input::Looked(Ok(None)));
        assert!(matches!(effect, Effect::Wait { ms: REFUSED_WAIT_MS, .. }), "{effect:?}");
    }
}

#[test]
fn a_claim_whose_answer_was_lost_is_no_rival() {
    let mut play = Play::buy(Rules { idempotency: Idempotency::None, ..RULES }, 1);
    play.tell(Input::Go { epoch: Some("1-e".into()), opened_ms: None, redis_away: false });
    assert_eq!(play.tell(Input::Claimed(Claim::Held)), Effect::Inspect);
    let holder = Holder { action: Some(Action::Buy), own: true, strategy: Some(play.strategy.clone()) };
    assert!(matches!(play.tell(Input::Inspected(Some(holder))), Effect::Wait { .. }));
    let mut effect = play.go();
    while let Effect::Lookup(_) = effect {
        effect = play.answer(Input::Looked(Ok(None)));
    }
    assert!(matches!(effect, Effect::Submit(_)), "{effect:?}");
}
