//! The paper broker keeps the promises of the suite that need no wire: it has no sockets, tokens or limits.

use crate::stage::{SYMBOL, USER};
use std::sync::Arc;
use strat_core::{ExecType, Leg};
use strat_engine::broker::{
    Broker as _, BrokerError, Idempotency, Ledger, OrderRef, OrderRequest, OrderSide, PaperBroker, PaperSettings,
};
use strat_engine::clock::LiveClock;

fn broker(settings: PaperSettings) -> (tempfile::TempDir, PaperBroker) {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, lines) = Ledger::open(&folder.path().join("ledger.jsonl")).unwrap();
    (folder, PaperBroker::new(settings, Arc::new(LiveClock), ledger, &lines))
}

fn request(id: &str) -> OrderRequest {
    OrderRequest {
        client_order_id: id.to_owned(),
        user: USER.to_owned(),
        symbol: SYMBOL.to_owned(),
        side: OrderSide::Buy,
        quantity: "10".parse().unwrap(),
        leg: Leg::Entry,
        protection: None,
        last_price: None,
    }
}

fn name(id: &str) -> OrderRef<'_> {
    OrderRef { client_order_id: id, user: USER, symbol: SYMBOL }
}

#[tokio::test]
async fn an_order_is_placed_once_and_told_and_an_id_in_use_makes_no_second() {
    let (_folder, broker) = broker(PaperSettings::default());
    assert_eq!(broker.idempotency(), Idempotency::Dedupes);
    broker.submit(&request("PLACED1")).await.unwrap();
    assert_eq!(broker.submit(&request("PLACED1")).await.unwrap().client_order_id, "PLACED1");
    assert_eq!(broker.open_orders(), 1);
    broker.on_tick(SYMBOL, "99.5".parse().unwrap(), 6).unwrap();
    let told = broker.reports().next().await;
    assert_eq!((told.status, told.avg_px), (ExecType::Fill, Some("99.5".parse().unwrap())));
    assert_eq!(broker.lookup(name("PLACED1")).await.unwrap().unwrap(), told);
    assert_eq!(broker.orders().await.unwrap().len(), 1);
    assert_eq!(broker.positions().await.unwrap()[0].quantity, "10".parse().unwrap());
    assert_eq!(broker.lookup(name("NEVERSEEN")).await, Ok(None));
}

#[tokio::test]
async fn parts_add_up_and_a_cancellation_ends_an_order_once() {
    let (_folder, broker) = broker(PaperSettings { partial_percent: 100, ..PaperSettings::default() });
    broker.submit(&request("PARTS1")).await.unwrap();
    broker.on_tick(SYMBOL, "100".parse().unwrap(), 6).unwrap();
    let part = broker.reports().next().await;
    assert_eq!((part.status, part.cum_qty), (ExecType::PartialFill, "5".parse().unwrap()));
    for id in ["PARTS1", "PARTS1", "NEVERSEEN"] {
        broker.cancel(name(id)).await.unwrap();
    }
    let found = broker.lookup(name("PARTS1")).await.unwrap().unwrap();
    assert_eq!((found.status, found.cum_qty, found.avg_px), (ExecType::Canceled, part.cum_qty, part.avg_px));
}

#[tokio::test]
async fn a_refusal_is_one_and_a_time_out_is_none() {
    let (_folder, refuses) = broker(PaperSettings { reject_percent: 100, ..PaperSettings::default() });
    let refused = refuses.submit(&request("REFUSED1")).await;
    let ended = matches!(&refused, Err(BrokerError::Rejected(_)))
        || refused.as_ref().is_ok_and(|state| state.status == ExecType::Rejected);
    assert!(ended && refuses.open_orders() == 0, "{refused:?}");
    let (_folder, mute) = broker(PaperSettings { timeout_percent: 100, ..PaperSettings::default() });
    let mut found = 0;
    for number in 0..40 {
        let id = format!("LATE{number}");
        assert!(matches!(mute.submit(&request(&id)).await, Err(BrokerError::Unknown(_))));
        found += usize::from(mute.lookup(name(&id)).await.unwrap().is_some());
    }
    // Only the look-up tells which of them exist.
    assert!((1..40).contains(&found) && mute.open_orders() == found, "{found}");
}
