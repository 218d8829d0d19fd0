use super::*;
use crate::broker::{BrokerHealth, Ledger, OrderSide, PaperBroker, PaperSettings};
use crate::clock::{Clock, ReplayClock};
use strat_core::{ExecType, Leg, Price};

/// A broker of one account that can fall ill.
struct One {
    paper: PaperBroker,
    class: Idempotency,
    ill: bool,
}

#[async_trait]
impl Broker for One {
    fn idempotency(&self) -> Idempotency {
        self.class
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        if self.ill {
            return Err(BrokerError::Unavailable("log in".to_owned()));
        }
        self.paper.submit(order).await
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        self.paper.lookup(order).await
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        self.paper.cancel(order).await
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        if self.ill { Err(BrokerError::Unavailable("log in".to_owned())) } else { self.paper.orders().await }
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.paper.positions().await
    }

    fn reports(&self) -> &ReportQueue {
        self.paper.reports()
    }
}

fn one(class: Idempotency, ill: bool) -> Arc<One> {
    let clock: Arc<dyn Clock> = Arc::new(ReplayClock::at(1_000));
    let paper = PaperBroker::new(PaperSettings::default(), clock, Ledger::in_memory(), &[]);
    Arc::new(One { paper, class, ill })
}

struct World {
    main: Arc<One>,
    alice: Arc<One>,
    all: Arc<Accounts>,
}

fn world(class: Idempotency, ill: bool) -> World {
    let (main, alice) = (one(Idempotency::Dedupes, false), one(class, ill));
    let health = BrokerHealth::new("kite".to_owned(), Arc::new(ReplayClock::at(1_000)));
    let own = Arc::new(Noted::new(Arc::clone(&alice) as _, Arc::new(health)));
    let all = Accounts::new(Arc::clone(&main) as _, BTreeMap::from([("alice".to_owned(), own)]));
    World { main, alice, all: Arc::new(all) }
}

fn order(user: &str, id: &str) -> OrderRequest {
    OrderRequest {
        client_order_id: id.to_owned(),
        user: user.to_owned(),
        symbol: "IBM".to_owned(),
        side: OrderSide::Buy,
        quantity: "10".parse().unwrap(),
        leg: Leg::Entry,
        protection: None,
        last_price: None,
    }
}

#[tokio::test]
async fn an_order_goes_to_its_users_account_and_its_report_comes_back() {
    let World { main, alice, all } = world(Idempotency::Dedupes, false);
    for (user, id) in [("alice", "A1"), ("bob", "B1")] {
        all.submit(&order(user, id)).await.unwrap();
        let name = OrderRef { client_order_id: id, user, symbol: "IBM" };
        assert!(all.lookup(name).await.unwrap().is_some());
    }
    assert_eq!((main.paper.open_orders(), alice.paper.open_orders()), (1, 1));
    let price: Price = "100".parse().unwrap();
    for (account, id) in [(&main, "B1"), (&alice, "A1")] {
        account.paper.on_tick("IBM", price, 2_000).unwrap();
        let report = tokio::select! {
            () = all.forward(&**account) => unreachable!("it goes on for ever"),
            report = all.reports().next() => report,
        };
        assert_eq!((report.client_order_id.as_str(), report.status), (id, ExecType::Fill));
    }
    let mut users: Vec<_> = all.positions().await.unwrap().into_iter().map(|held| held.user).collect();
    users.sort();
    assert_eq!(users, ["alice", "bob"]);
    assert_eq!(all.orders().await.unwrap().len(), 2);
}

#[tokio::test]
async fn one_account_in_trouble_is_named_and_the_others_trade_on() {
    let World { main, all, .. } = world(Idempotency::Dedupes, true);
    assert_eq!(all.complaint(), None);
    assert!(all.submit(&order("alice", "A1")).await.is_err());
    all.submit(&order("bob", "B1")).await.unwrap();
    assert_eq!(main.paper.open_orders(), 1);
    let complaint = all.complaint().unwrap();
    assert!(complaint.urgent && complaint.text.starts_with("account of alice: ") && complaint.text.contains("log in"));
    assert!(all.orders().await.is_err(), "half a list is none");
    let (others, alices) = (AccountOf::Others, AccountOf::User("alice".to_owned()));
    assert_eq!(all.accounts(), BTreeSet::from([others.clone(), alices.clone()]));
    assert!(all.orders_of(&alices).await.is_err());
    assert_eq!(all.orders_of(&others).await.unwrap()[0].user, "bob");
    assert_eq!(all.positions_of(&alices).await.unwrap(), []);
}

#[test]
fn the_most_careful_account_says_how_ids_are_treated() {
    for class in [Idempotency::Dedupes, Idempotency::Queryable, Idempotency::None] {
        assert_eq!(world(class, false).all.idempotency(), class);
    }
}
