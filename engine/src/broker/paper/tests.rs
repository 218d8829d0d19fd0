use super::*;
use crate::broker::OrderSide;
use crate::clock::ReplayClock;

fn broker(settings: PaperSettings) -> PaperBroker {
    PaperBroker::new(settings, Arc::new(ReplayClock::at(1)), Ledger::in_memory(), &[])
}

fn order(id: &str) -> OrderRequest {
    OrderRequest {
        client_order_id: id.into(),
        user: "alice".into(),
        symbol: "IBM".into(),
        side: OrderSide::Buy,
        quantity: "10".parse().unwrap(),
        leg: strat_core::Leg::Entry,
        protection: None,
        last_price: None,
    }
}

fn name(id: &str) -> OrderRef<'_> {
    OrderRef { client_order_id: id, user: "alice", symbol: "IBM" }
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_order_fills_whole_at_the_next_price_of_its_symbol() {
    let broker = broker(PaperSettings::default());
    assert_eq!(broker.submit(&order("A")).await.unwrap().status, ExecType::New);
    assert_eq!(broker.on_tick("SPY", price("1"), 5).unwrap(), 0);
    assert_eq!(broker.on_tick("IBM", price("180.10"), 6).unwrap(), 1);
    let report = broker.reports().try_next().unwrap();
    assert_eq!((report.status, report.avg_px, report.ts_ms), (ExecType::Fill, Some(price("180.1")), 6));
    assert_eq!((broker.on_tick("IBM", price("181"), 7).unwrap(), broker.open_orders()), (0, 0));
}

#[tokio::test]
async fn the_same_client_order_id_is_the_same_order() {
    let broker = broker(PaperSettings::default());
    broker.submit(&order("A")).await.unwrap();
    broker.on_tick("IBM", price("180"), 6).unwrap();
    let again = broker.submit(&order("A")).await.unwrap();
    assert_eq!((again.status, again.cum_qty), (ExecType::Fill, "10".parse().unwrap()));
    assert_eq!(broker.open_orders(), 0);
}

#[tokio::test]
async fn a_cancelled_order_keeps_what_was_filled_and_stays_dead() {
    let broker = broker(PaperSettings { partial_percent: 100, ..PaperSettings::default() });
    broker.submit(&order("A")).await.unwrap();
    broker.on_tick("IBM", price("100"), 2).unwrap();
    assert_eq!(broker.reports().try_next().unwrap().status, ExecType::PartialFill);
    broker.cancel(name("A")).await.unwrap();
    broker.cancel(name("A")).await.unwrap();
    broker.cancel(name("never-sent")).await.unwrap();
    let state = broker.lookup(name("A")).await.unwrap().unwrap();
    assert_eq!((state.status, state.cum_qty), (ExecType::Canceled, "5".parse().unwrap()));
    assert_eq!(broker.on_tick("IBM", price("100"), 3).unwrap(), 0);
}

#[tokio::test]
async fn parts_add_up_and_average() {
    let broker = broker(PaperSettings { partial_percent: 100, ..PaperSettings::default() });
    broker.submit(&order("A")).await.unwrap();
    for (tick, text) in ["100", "200", "300", "400", "500"].into_iter().enumerate() {
        broker.on_tick("IBM", price(text), tick as i64).unwrap();
    }
    let state = broker.lookup(name("A")).await.unwrap().unwrap();
    // 5 at 100, 2 at 200, 1 at 300, 1 at 400 and the last at 500.
    assert_eq!(
        (state.status, state.cum_qty, state.avg_px),
        (ExecType::Fill, "10".parse().unwrap(), Some(price("210")))
    );
}

#[tokio::test]
async fn a_timeout_is_unknown_and_the_order_may_exist() {
    let broker = broker(PaperSettings { timeout_percent: 100, ..PaperSettings::default() });
    let mut exist = 0;
    for id in 0..40 {
        let id = format!("T{id}");
        assert!(matches!(broker.submit(&order(&id)).await, Err(BrokerError::Unknown(_))));
        exist += u32::from(broker.lookup(name(&id)).await.unwrap().is_some());
    }
    assert!((1..40).contains(&exist), "{exist}");
}

/// A broker that goes on from its ledger.
fn reopened(path: &std::path::Path) -> PaperBroker {
    let (ledger, lines) = Ledger::open(path).unwrap();
    PaperBroker::new(PaperSettings::default(), Arc::new(ReplayClock::at(1)), ledger, &lines)
}

#[tokio::test]
async fn after_a_crash_the_books_are_as_the_ledger_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.jsonl");
    let broker = reopened(&path);
    for id in ["filled", "cancelled", "open"] {
        broker.submit(&order(id)).await.unwrap();
        match id {
            "filled" => drop(broker.on_tick("IBM", price("180"), 6).unwrap()),
            "cancelled" => broker.cancel(name(id)).await.unwrap(),
            _ => {}
        }
    }
    drop(broker);
    let broker = reopened(&path);
    let status = async |id| broker.lookup(name(id)).await.unwrap().unwrap().status;
    assert_eq!(status("filled").await, ExecType::Fill);
    assert_eq!(status("cancelled").await, ExecType::Canceled);
    assert_eq!(status("open").await, ExecType::New);
    assert_eq!((broker.open_orders(), broker.submit(&order("open")).await.unwrap().status), (1, ExecType::New));
    assert_eq!(broker.on_tick("IBM", price("181"), 9).unwrap(), 1);
}

#[tokio::test]
async fn orders_and_positions_are_listed_as_they_stand_also_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.jsonl");
    let broker = reopened(&path);
    broker.submit(&order("bought")).await.unwrap();
    broker.on_tick("IBM", price("180"), 6).unwrap();
    for (id, quantity) in [("sold", "15"), ("open", "1")] {
        let sale = OrderRequest { side: OrderSide::Sell, quantity: quantity.parse().unwrap(), ..order(id) };
        broker.submit(&sale).await.unwrap();
        if id == "sold" {
            broker.on_tick("IBM", price("181"), 7).unwrap();
        }
    }
    check(broker).await;
    check(reopened(&path)).await;

    async fn check(broker: PaperBroker) {
        let mut orders = broker.orders().await.unwrap();
        orders.sort_by(|a, b| a.state.client_order_id.cmp(&b.state.client_order_id));
        let shown: Vec<_> = orders
            .iter()
            .map(|o| (o.state.client_order_id.as_str(), o.side, o.state.status, o.state.cum_qty))
            .collect();
        let quantity = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(
            shown,
            [
                ("bought", OrderSide::Buy, ExecType::Fill, quantity("10")),
                ("open", OrderSide::Sell, ExecType::New, quantity("0")),
                ("sold", OrderSide::Sell, ExecType::Fill, quantity("15")),
            ]
        );
        let short = BrokerPosition { user: "alice".into(), symbol: "IBM".into(), quantity: quantity("-5") };
        assert_eq!(broker.positions().await.unwrap(), [short]);
    }
}
