use super::*;
use crate::broker::{Broker, OrderSide, ReportQueue};
use crate::clock::ReplayClock;
use crate::executor::ExecutorSettings;
use crate::gate::EpochGate;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Mutex;
use strat_client::{Config, Connection, LockToken, QueueEntry};
use strat_core::{Action, Quantity};

type Answer<T> = Result<T, BrokerError>;

/// Answers as told, and counts.
struct Scripted {
    idempotency: Idempotency,
    submits: Mutex<VecDeque<Answer<OrderState>>>,
    lookups: Mutex<VecDeque<Answer<Option<OrderState>>>>,
    reports: ReportQueue,
}

#[async_trait]
impl Broker for Scripted {
    fn idempotency(&self) -> Idempotency {
        self.idempotency
    }
    async fn submit(&self, _: &OrderRequest) -> Answer<OrderState> {
        self.submits.lock().unwrap().pop_front().expect("one submission too many")
    }
    async fn lookup(&self, _: OrderRef<'_>) -> Answer<Option<OrderState>> {
        self.lookups.lock().unwrap().pop_front().expect("one look-up too many")
    }
    async fn cancel(&self, _: OrderRef<'_>) -> Answer<()> {
        Ok(())
    }
    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}

fn unknown<T>() -> Answer<T> {
    Err(BrokerError::Unknown("no answer".into()))
}

fn rejected() -> Answer<OrderState> {
    Err(BrokerError::Rejected("duplicate id".into()))
}

fn state() -> OrderState {
    OrderState {
        client_order_id: "X".into(),
        status: ExecType::New,
        cum_qty: Quantity::ZERO,
        avg_px: None,
        text: String::new(),
        ts_ms: 1,
    }
}

struct Scene {
    idempotency: Idempotency,
    submits: Vec<Answer<OrderState>>,
    lookups: Vec<Answer<Option<OrderState>>>,
    held: bool,
}

impl Scene {
    /// What comes of sending, whether it may have been sent, and how many answers were not asked for.
    async fn play(self) -> (String, bool, usize) {
        let broker = Arc::new(Scripted {
            idempotency: self.idempotency,
            submits: Mutex::new(self.submits.into()),
            lookups: Mutex::new(self.lookups.into()),
            reports: ReportQueue::default(),
        });
        let settings = ExecutorSettings {
            owner: "e".into(),
            prefix: String::new(),
            lock_ttl: Duration::from_secs(3),
            broker_timeout: Duration::from_secs(1),
            concurrency: 1,
            missed: None,
        };
        // Never reached.
        let redis = Connection::lazy(&Config::from_url("redis://127.0.0.1:1/").unwrap()).unwrap();
        let clock = Arc::new(ReplayClock::at(1));
        let executor = Executor::new(settings, redis, Arc::clone(&broker) as _, clock, EpochGate::new());
        let mut job = Job::from(QueueEntry {
            stream: "queue:orders".into(),
            id: "5-0".into(),
            deliveries: 1,
            key: "user:a:strategy:s".into(),
            action: Action::Buy,
            cycle: 1,
            version: 1,
            price: None,
            ts_ms: Some(4),
        });
        assert_eq!((job.enqueued_ms, job.due_ms, job.sent), (Some(5), Some(4), false));
        let request = OrderRequest {
            client_order_id: "X".into(),
            user: "a".into(),
            symbol: "IBM".into(),
            side: OrderSide::Buy,
            quantity: "1".parse().unwrap(),
        };
        let tracked = Tracked::new(&job, ("X".to_owned(), "a", "IBM"), LockToken::new("t"), 1);
        let tracked = executor.orders.insert(tracked);
        if !self.held {
            executor.orders.remove(&tracked);
        }
        let outcome = match executor.place(&mut job, &tracked, &request).await {
            Placed::Order(_) => "order",
            Placed::Rejected(_) => "rejected",
            Placed::Unsure(_) => "unsure",
        };
        let left = broker.submits.lock().unwrap().len() + broker.lookups.lock().unwrap().len();
        (outcome.to_owned(), job.sent, left)
    }
}

#[tokio::test]
async fn a_refused_repeat_is_looked_up_before_it_counts_as_a_refusal() {
    let scene = |found: Vec<Answer<Option<OrderState>>>| Scene {
        idempotency: Idempotency::Dedupes,
        submits: vec![unknown(), rejected()],
        lookups: [vec![Ok(None)], found].concat(),
        held: true,
    };
    assert_eq!(scene(vec![Ok(Some(state()))]).play().await, ("order".into(), true, 0));
    assert_eq!(scene(vec![Ok(None)]).play().await, ("rejected".into(), true, 0));
    assert_eq!(scene(vec![unknown(), unknown(), unknown()]).play().await, ("unsure".into(), true, 0));
    let first = Scene { submits: vec![rejected()], lookups: Vec::new(), ..scene(Vec::new()) };
    assert_eq!(first.play().await, ("rejected".into(), false, 0));
}

#[tokio::test]
async fn nothing_is_sent_twice_without_a_memory_or_a_lock() {
    let scene =
        |idempotency, held| Scene { idempotency, submits: vec![unknown(), Ok(state())], lookups: vec![Ok(None)], held };
    assert_eq!(scene(Idempotency::None, true).play().await, ("unsure".into(), true, 1));
    assert_eq!(scene(Idempotency::Queryable, true).play().await, ("order".into(), true, 0));
    assert_eq!(scene(Idempotency::Queryable, false).play().await, ("unsure".into(), true, 1));
}
