use super::*;
use crate::broker::{OrderSide, OrderState};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use strat_core::{ExecType, Quantity};

const SETTINGS: LimitSettings = LimitSettings { per_second: 0, per_minute: 10, per_day: 0, exit_share: 30 };

/// Takes everything, or answers what it was told to.
#[derive(Default)]
struct Fake {
    submitted: AtomicUsize,
    answers: Mutex<VecDeque<BrokerError>>,
    reports: ReportQueue,
}

#[async_trait]
impl Broker for Fake {
    fn idempotency(&self) -> Idempotency {
        Idempotency::Dedupes
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        self.submitted.fetch_add(1, Ordering::SeqCst);
        match self.answers.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(OrderState {
                client_order_id: order.client_order_id.clone(),
                status: ExecType::New,
                cum_qty: Quantity::ZERO,
                avg_px: None,
                text: String::new(),
                ts_ms: 1,
            }),
        }
    }

    async fn lookup(&self, _: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        Ok(None)
    }

    async fn cancel(&self, _: OrderRef<'_>) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        Ok(Vec::new())
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        Ok(Vec::new())
    }

    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}

fn order(user: &str, leg: Leg, id: &str) -> OrderRequest {
    let (client_order_id, symbol) = (id.to_owned(), "IBM".to_owned());
    let quantity = "10".parse().unwrap();
    OrderRequest {
        client_order_id,
        user: user.to_owned(),
        symbol,
        side: OrderSide::Buy,
        quantity,
        leg,
        protection: None,
        last_price: None,
    }
}

const fn name<'a>(user: &'a str, client_order_id: &'a str) -> OrderRef<'a> {
    OrderRef { client_order_id, user, symbol: "IBM" }
}

fn limited(settings: LimitSettings) -> (Arc<Fake>, Limited) {
    let fake = Arc::new(Fake::default());
    (Arc::clone(&fake), Limited::new(fake, settings))
}

#[tokio::test]
async fn entries_stop_at_the_share_of_exits_and_exits_never() {
    let (fake, broker) = limited(SETTINGS);
    for id in ["A", "B", "C"] {
        assert!(!broker.puts_off(name("alice", id)), "{id}");
        broker.lookup(name("alice", id)).await.unwrap();
        broker.submit(&order("alice", Leg::Entry, id)).await.unwrap();
    }
    assert!(broker.puts_off(name("alice", "D")), "one call is left to entries, two are wanted");
    broker.submit(&order("alice", Leg::Entry, "E")).await.unwrap();
    let refused = broker.submit(&order("alice", Leg::Entry, "F")).await;
    assert_eq!(refused, Err(BrokerError::RateLimited { retry_after: PUT_OFF_MAX }));
    assert!(!broker.puts_off(name("bob", "G")), "another account");
    let began = Instant::now();
    for _ in 0..9 {
        broker.submit(&order("alice", Leg::Exit, "X")).await.unwrap();
    }
    assert!(began.elapsed() < EXIT_WAIT_MAX, "room that comes in a minute is not waited for");
    assert_eq!(fake.submitted.load(Ordering::SeqCst), 13);
}

#[tokio::test]
async fn entries_that_were_let_through_together_are_sent() {
    let (fake, broker) = limited(LimitSettings { exit_share: 0, ..SETTINGS });
    let ids = ["A", "B", "C", "D", "E"];
    assert!(ids.iter().all(|id| !broker.puts_off(name("alice", id))));
    assert!(broker.puts_off(name("alice", "F")));
    // They had to wait for something else, and ask again.
    assert!(ids.iter().all(|id| !broker.puts_off(name("alice", id))));
    for id in ids {
        broker.lookup(name("alice", id)).await.unwrap();
    }
    for id in ids {
        broker.submit(&order("alice", Leg::Entry, id)).await.unwrap();
    }
    assert_eq!(fake.submitted.load(Ordering::SeqCst), 5);
    assert!(broker.puts_off(name("alice", "F")));
}

#[tokio::test]
async fn an_exit_waits_for_room_that_comes_soon() {
    let (_, broker) = limited(LimitSettings { per_second: 2, per_minute: 0, ..SETTINGS });
    let began = Instant::now();
    for _ in 0..3 {
        broker.submit(&order("alice", Leg::Exit, "X")).await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_refused_counts_and_a_broker_that_is_called_too_often_is_left_alone() {
    let (fake, broker) = limited(SETTINGS);
    fake.answers.lock().unwrap().extend((0..7).map(|_| BrokerError::Rejected("no such symbol".to_owned())));
    for _ in 0..7 {
        assert!(matches!(broker.submit(&order("alice", Leg::Entry, "A")).await, Err(BrokerError::Rejected(_))));
    }
    assert!(broker.puts_off(name("alice", "B")));
    let retry_after = Duration::from_secs(3);
    fake.answers.lock().unwrap().push_back(BrokerError::RateLimited { retry_after });
    assert!(broker.submit(&order("bob", Leg::Entry, "A")).await.is_err());
    assert!(broker.puts_off(name("bob", "B")));
    broker.submit(&order("bob", Leg::Exit, "X")).await.unwrap();
}

#[tokio::test]
async fn look_ups_and_cancellations_count() {
    let (_, broker) = limited(SETTINGS);
    for _ in 0..3 {
        broker.lookup(name("alice", "A")).await.unwrap();
        broker.cancel(name("alice", "A")).await.unwrap();
    }
    assert!(broker.puts_off(name("alice", "B")));
}

const LATER: Turn = Turn::Later { first: false };

#[test]
fn entries_go_in_the_order_in_which_they_came() {
    let mut account = Account::new(&LimitSettings { per_minute: 3, ..SETTINGS });
    account.count(0);
    let first = Turn::Later { first: true };
    assert_eq!((account.turn("1", 60_000), account.turn("2", 60_500)), (first, first));
    assert_eq!(account.turn("2", 61_300), LATER, "it is the first one's turn");
    assert_eq!(account.turn("1", 61_400), Turn::Now);
    assert_eq!(account.turn("2", 61_500), LATER, "room is kept for the first");
    assert!(account.look_up_kept("1", 61_600) && !account.look_up_kept("2", 61_600));
    assert_eq!(account.entry("1", 61_700), Ok(()));
    assert!(account.entry("2", 61_800).is_err());
}

#[test]
fn room_that_was_kept_for_nothing_is_free_again_and_nobody_stands_in_line_for_ever() {
    let mut account = Account::new(&LimitSettings { per_minute: 3, ..SETTINGS });
    assert_eq!(account.turn("gone", 0), Turn::Now);
    assert_eq!(account.turn("next", 100), Turn::Later { first: true });
    assert_eq!(account.turn("next", 600), LATER);
    assert_eq!(account.turn("next", 3_000), Turn::Now, "the first has not come");
    assert_eq!((account.entry("next", 3_100), account.exit(3_100), account.exit(3_200)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(account.exit(3_300), Err(60_300), "to the end of its part of time");
    let mut now_ms = 4_000;
    while account.turn("late", now_ms) != Turn::Late {
        now_ms += 500;
        assert!(now_ms < 60_000);
    }
    assert!(now_ms > 34_000, "{now_ms}");
    assert!(!account.is_idle(now_ms) && account.is_idle(now_ms + 100_000));
}

#[test]
fn limits_that_no_entry_ever_fits_are_found() {
    for (per_minute, fit) in [(0, true), (1, false), (2, false), (3, true)] {
        assert_eq!(LimitSettings { per_minute, ..SETTINGS }.let_entries_pass(), fit, "{per_minute}");
    }
    assert!(LimitSettings { per_minute: 2, exit_share: 0, ..SETTINGS }.let_entries_pass());
}

#[test]
fn accounts_that_nothing_counts_for_are_forgotten() {
    let (_, broker) = limited(LimitSettings { per_second: 1, per_minute: 0, per_day: 0, exit_share: 0 });
    for number in 0..ACCOUNTS_MAX {
        broker.with(&format!("u{number}"), |_, _| ());
    }
    broker.with("busy", Account::count);
    assert_eq!(broker.accounts.lock().unwrap().len(), 1);
}
