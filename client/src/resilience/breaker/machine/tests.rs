use super::*;
use crate::clock::ManualClock;
use proptest::prelude::*;
use std::collections::VecDeque;

const T0: i64 = 1_760_000_000_000;

fn settings() -> BreakerSettings {
    BreakerSettings {
        failures: 3,
        gap: Duration::from_secs(10),
        recovery: Duration::from_secs(1),
        recovery_max: Duration::from_secs(4),
        probes: 2,
    }
}

struct Bench {
    machine: Machine,
    clock: ManualClock,
}

impl Bench {
    fn new() -> Self {
        Self { machine: Machine::new(settings()), clock: ManualClock::at(T0) }
    }

    fn wait(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    fn admit(&mut self, class: Class) -> Option<Ticket> {
        self.machine.admit(class, &self.clock).ok()
    }

    fn normal(&mut self) -> Ticket {
        self.admit(Class::Normal).expect("let through")
    }

    fn fail(&mut self, ticket: Ticket) {
        self.machine.failed(ticket, self.clock.now_ms());
    }

    fn fails(&mut self, times: u32) {
        for _ in 0..times {
            let ticket = self.normal();
            self.fail(ticket);
        }
    }

    fn state(&self) -> BreakerState {
        self.machine.status().state
    }

    fn opened() -> Self {
        let mut bench = Self::new();
        bench.fails(3);
        bench
    }

    fn half_open() -> (Self, Ticket) {
        let mut bench = Self::opened();
        bench.wait(1_000);
        let probe = bench.normal();
        (bench, probe)
    }
}

#[test]
fn it_opens_with_the_last_of_so_many_failures_in_a_row() {
    let mut bench = Bench::new();
    bench.fails(2);
    assert_eq!(bench.state(), BreakerState::Closed);
    bench.fails(1);
    let status = bench.machine.status();
    assert_eq!((status.state, status.opened_at_ms), (BreakerState::Open, Some(T0)));
    assert_eq!((status.next_probe_at_ms, status.failed_total, status.opened_total), (Some(T0 + 1_000), 3, 1));
    assert_eq!(bench.admit(Class::Normal), None);
    assert_eq!(bench.machine.status().refused_total, 1);
}

#[test]
fn an_answer_between_failures_begins_the_count_anew() {
    let mut bench = Bench::new();
    bench.fails(2);
    let ticket = bench.normal();
    bench.machine.answered(ticket);
    bench.fails(2);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_failure_long_after_the_last_one_begins_the_count_anew() {
    let mut bench = Bench::new();
    bench.fails(2);
    bench.wait(10_001);
    bench.fails(2);
    assert_eq!(bench.state(), BreakerState::Closed);
    bench.wait(10_000);
    bench.fails(1);
    assert_eq!(bench.state(), BreakerState::Open);
}

#[test]
fn it_stays_open_up_to_the_ms_of_the_first_probe() {
    let mut bench = Bench::opened();
    bench.wait(999);
    assert_eq!(bench.admit(Class::Normal), None);
    bench.wait(1);
    assert!(bench.admit(Class::Normal).is_some());
    assert_eq!(bench.state(), BreakerState::HalfOpen);
}

#[test]
fn half_open_lets_a_bounded_number_of_probes_through() {
    let (mut bench, first) = Bench::half_open();
    let _second = bench.normal();
    assert_eq!(bench.admit(Class::Normal), None);
    bench.machine.abandoned(first);
    assert!(bench.admit(Class::Normal).is_some(), "a probe that was given up leaves its place");
    assert_eq!(bench.admit(Class::Normal), None);
}

#[test]
fn one_answer_closes_it_and_the_wait_begins_small_again() {
    let (mut bench, probe) = Bench::half_open();
    bench.fail(probe);
    bench.wait(2_000);
    let probe = bench.normal();
    bench.machine.answered(probe);
    let status = bench.machine.status();
    assert_eq!((status.state, status.failures, status.opened_at_ms), (BreakerState::Closed, 0, None));
    bench.fails(3);
    let status = bench.machine.status();
    assert_eq!(status.next_probe_at_ms, Some(bench.clock.now_ms() + 1_000));
}

#[test]
fn each_probe_that_fails_doubles_the_wait_up_to_the_limit() {
    let mut bench = Bench::opened();
    let mut wait = 1_000;
    for next in [2_000, 4_000, 4_000, 4_000] {
        bench.wait(wait);
        let probe = bench.normal();
        bench.fail(probe);
        assert_eq!(bench.machine.status().next_probe_at_ms, Some(bench.clock.now_ms() + i64::try_from(next).unwrap()));
        wait = next;
    }
}

#[test]
fn an_exit_passes_in_every_state() {
    let mut bench = Bench::opened();
    let exit = bench.admit(Class::Exit).expect("an exit passes an open breaker");
    bench.fail(exit);
    let status = bench.machine.status();
    assert_eq!(
        (status.next_probe_at_ms, status.exits_passed_total),
        (Some(T0 + 1_000), 1),
        "it does not delay the probe"
    );
    bench.wait(1_000);
    let _probes = (bench.normal(), bench.normal());
    assert!(bench.admit(Class::Exit).is_some(), "and where all places for probes are taken");
}

#[test]
fn an_exit_that_is_answered_closes_an_open_breaker() {
    let mut bench = Bench::opened();
    let exit = bench.admit(Class::Exit).unwrap();
    bench.machine.answered(exit);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn an_exit_sent_while_it_was_open_does_not_spoil_the_probe() {
    let mut bench = Bench::opened();
    let exit = bench.admit(Class::Exit).unwrap();
    bench.wait(1_000);
    let probe = bench.normal();
    bench.fail(exit);
    assert_eq!(bench.state(), BreakerState::HalfOpen);
    bench.machine.answered(probe);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn outcomes_of_calls_from_before_it_opened_change_nothing() {
    let mut bench = Bench::new();
    let (early, late) = (bench.normal(), bench.normal());
    bench.fails(3);
    bench.machine.answered(early);
    assert_eq!(bench.state(), BreakerState::Open);
    bench.wait(1_000);
    let _probe = bench.normal();
    bench.fail(late);
    assert_eq!(bench.state(), BreakerState::HalfOpen);
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_it_open() {
    let mut bench = Bench::opened();
    bench.clock = ManualClock::at(T0 - 3_600_000);
    assert_eq!(bench.admit(Class::Normal), None);
    bench.wait(1_000);
    assert!(bench.admit(Class::Normal).is_some());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(Class),
    Answer,
    Fail,
    Abandon,
    Wait(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Ask(Class::Normal)),
        1 => Just(Step::Ask(Class::Exit)),
        1 => Just(Step::Answer),
        3 => Just(Step::Fail),
        1 => Just(Step::Abandon),
        2 => (0_u16..6_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn whatever_happens_exits_pass_waits_are_bounded_and_it_comes_back(steps in steps()) {
        let mut bench = Bench::new();
        let mut under_way = VecDeque::new();
        for step in steps {
            match step {
                Step::Ask(class) => {
                    let ticket = bench.admit(class);
                    prop_assert!(ticket.is_some() || class != Class::Exit);
                    under_way.extend(ticket);
                }
                Step::Answer => under_way.pop_front().into_iter().for_each(|ticket| bench.machine.answered(ticket)),
                Step::Fail => under_way.pop_front().into_iter().for_each(|ticket| bench.fail(ticket)),
                Step::Abandon => under_way.pop_front().into_iter().for_each(|ticket| bench.machine.abandoned(ticket)),
                Step::Wait(ms) => bench.wait(ms.into()),
            }
            let status = bench.machine.status();
            let probes = under_way.iter().filter(|ticket| ticket.slot && ticket.opened == status.opened_total).count();
            if status.state == BreakerState::HalfOpen {
                prop_assert!(probes <= 2, "{probes} probes under way");
            }
            if let (Some(opened), Some(next)) = (status.opened_at_ms, status.next_probe_at_ms) {
                prop_assert!((1_000..=4_000).contains(&(next - opened)));
            }
        }
        // Once everything has ended and the longest wait is over, a call passes, and its answer closes.
        under_way.drain(..).for_each(|ticket| bench.machine.abandoned(ticket));
        bench.wait(4_000);
        let ticket = bench.normal();
        bench.machine.answered(ticket);
        prop_assert_eq!(bench.state(), BreakerState::Closed);
    }
}
