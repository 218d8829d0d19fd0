//! Binance Spot: the suite, and what is its own: its clock, its filters, ids that are taken again, bans.

use crate::stage::{LIMIT, SILENCE, Stage, TIMEOUT, USER, name, report, request, until};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use strat_core::{ExecType, Leg};
use strat_engine::broker::{BinanceBroker, BinanceSettings, Broker, BrokerError};
use strat_engine::clock::{Clock, LiveClock};
use strat_fakes::binance::{API_KEY, API_SECRET, Binance, Knobs, STREAM};
use strat_fakes::{Fake, Fills, Lie, Message, Updates};
use tokio_util::sync::{CancellationToken, DropGuard};

struct BinanceStage {
    fake: Fake,
    knobs: Arc<Knobs>,
    broker: Arc<dyn Broker>,
    _stop: DropGuard,
}

fn settings(fake: &Fake) -> BinanceSettings {
    BinanceSettings {
        rest_url: fake.rest_url(),
        stream_url: format!("{}{STREAM}", fake.socket_url()),
        user: USER.to_owned(),
        symbols: vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()],
        api_key: API_KEY.into(),
        api_secret: API_SECRET.into(),
        recv_window: Duration::from_secs(2),
        timeout: TIMEOUT,
        settle: Duration::from_secs(1),
        silence: SILENCE,
        renew: Duration::from_secs(3_600),
        in_flight_max: 16,
    }
}

impl BinanceStage {
    async fn with(change: impl FnOnce(&mut BinanceSettings)) -> Self {
        let knobs = Arc::new(Knobs::default());
        let fake = Fake::start(Binance(Arc::clone(&knobs)));
        let mut settings = settings(&fake);
        change(&mut settings);
        let broker = Arc::new(BinanceBroker::new(settings, Arc::new(LiveClock)).unwrap());
        let stop = CancellationToken::new();
        tokio::spawn({
            let (broker, stop) = (Arc::clone(&broker), stop.clone());
            async move { broker.run(stop).await }
        });
        // One list of each symbol.
        until("it has caught up", || fake.asked("GET /api/v3/allOrders") >= 2).await;
        Self { fake, knobs, broker, _stop: stop.drop_guard() }
    }
}

#[async_trait::async_trait]
impl Stage for BinanceStage {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    fn fake(&self) -> &Fake {
        &self.fake
    }

    fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    fn symbol() -> &'static str {
        "BTCUSDT"
    }
}

suite!(BinanceStage);

/// A broker whose stream does not run.
fn alone(fake: &Fake, clock: Arc<dyn Clock>) -> BinanceBroker {
    BinanceBroker::new(settings(fake), clock).unwrap()
}

fn order(id: &str, quantity: &str) -> strat_engine::broker::OrderRequest {
    request::<BinanceStage>(id, quantity)
}

fn posts(fake: &Fake) -> usize {
    fake.asked("POST /api/v3/order")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_clock_is_measured_and_measured_again_when_it_complains() {
    let knobs = Arc::new(Knobs::default());
    let fake = Fake::start(Binance(Arc::clone(&knobs)));
    knobs.clock_ahead_ms.store(-90_000, SeqCst);
    let broker = alone(&fake, Arc::new(LiveClock));
    broker.submit(&order("CLOCK1", "1")).await.unwrap();
    assert_eq!(fake.asked("GET /api/v3/time"), 1);
    assert!(broker.clock_skew() >= Duration::from_secs(90), "its stamps are that far off: {:?}", broker.clock_skew());
    // Its clock is set: the next request is refused with -1021, the time measured, and the request sent once more.
    knobs.clock_ahead_ms.store(3_600_000, SeqCst);
    broker.submit(&order("CLOCK2", "1")).await.unwrap();
    assert_eq!((fake.asked("GET /api/v3/time"), posts(&fake), fake.placed("CLOCK2")), (2, 3, 1));
}

/// A clock that jumps about: no measurement of it is worth anything.
struct Wild(std::sync::atomic::AtomicI64);

impl Clock for Wild {
    fn now_ms(&self) -> i64 {
        LiveClock.now_ms() + 100_000 * self.0.fetch_add(1, SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_cannot_be_measured_sends_nothing_and_ends() {
    let fake = Fake::start(Binance::default());
    let broker = alone(&fake, Arc::new(Wild(0.into())));
    let answer = broker.submit(&order("WILD1", "1")).await;
    assert!(matches!(answer, Err(BrokerError::Unavailable(_))), "{answer:?}");
    assert_eq!((fake.placed("WILD1"), posts(&fake)), (0, 2), "tried twice, not for ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_refuse_before_anything_is_sent() {
    let fake = Fake::start(Binance::default());
    fake.set_price("BTCUSDT", "100");
    let broker = alone(&fake, Arc::new(LiveClock));
    for (id, quantity, words) in [
        ("F1", "0.000001", "not sent: filter LOT_SIZE: quantity 0.000001 is below minQty 0.00001"),
        ("F2", "1.000001", "not sent: filter LOT_SIZE: quantity 1.000001 is no multiple of stepSize 0.00001"),
        ("F3", "108", "not sent: filter MARKET_LOT_SIZE: quantity 108 is above maxQty 107"),
        ("F4", "0.04999", "not sent: filter NOTIONAL: 0.04999 at 100 is worth 4.999, below minNotional 5"),
    ] {
        assert_eq!(broker.submit(&order(id, quantity)).await, Err(BrokerError::Rejected(words.to_owned())));
    }
    assert_eq!(posts(&fake), 0);
    // An exit is not judged by what it is worth: the position has to go.
    let exit = strat_engine::broker::OrderRequest { leg: Leg::Exit, ..order("F5", "0.04999") };
    broker.submit(&exit).await.unwrap();
    broker.submit(&order("F6", "0.05")).await.unwrap();
    assert_eq!(fake.asked("GET /api/v3/exchangeInfo"), 1, "read once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_is_refused_here() {
    let fake = Fake::start(Binance::default());
    let broker = alone(&fake, Arc::new(LiveClock));
    let mut wrong =
        vec![order("A1", "1"), order("A2", "1"), order("A 3", "1"), order(&"A".repeat(37), "1"), order("", "1")];
    wrong[0].user = "bob".to_owned();
    wrong[1].symbol = "DOGEUSDT".to_owned();
    for order in wrong {
        let answer = broker.submit(&order).await;
        assert!(matches!(&answer, Err(BrokerError::Rejected(why)) if why.starts_with("not sent: ")), "{answer:?}");
    }
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_whose_order_has_ended_makes_no_second_order() {
    let stage = BinanceStage::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    let first = order("ENDED1", "1");
    broker.submit(&first).await.unwrap();
    report(&**broker, "ENDED1", ExecType::Fill, "1").await;
    let again = broker.submit(&first).await.unwrap();
    assert_eq!((again.status, fake.placed("ENDED1"), posts(fake)), (ExecType::Fill, 1, 1));
    // After a time-out without a trace, too: it may still arrive.
    fake.lie(Lie::PlaceLate(LIMIT));
    let late = order("ENDED2", "1");
    for _ in 0..2 {
        assert!(matches!(broker.submit(&late).await, Err(BrokerError::Unknown(_))));
    }
    assert_eq!((fake.placed("ENDED2"), posts(fake)), (0, 2), "asked for, not sent again");
    // What was refused may be sent again: it was never there.
    fake.lie(Lie::Refuse("closed"));
    let refused = order("ENDED3", "1");
    assert!(matches!(broker.submit(&refused).await, Err(BrokerError::Rejected(_))));
    broker.submit(&refused).await.unwrap();
    assert_eq!(fake.placed("ENDED3"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_is_kept_to_and_nothing_is_sent_meanwhile() {
    let stage = BinanceStage::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    broker.submit(&order("BAN1", "1")).await.unwrap();
    stage.knobs.bans.store(true, SeqCst);
    fake.limit(1, Duration::from_secs(2));
    let began = std::time::Instant::now();
    assert_eq!(
        broker.lookup(name::<BinanceStage>("BAN1")).await,
        Err(BrokerError::RateLimited { retry_after: Duration::from_secs(2) })
    );
    let sent = fake.requests().len();
    let exit = strat_engine::broker::OrderRequest { leg: Leg::Exit, ..order("BAN2", "1") };
    for _ in 0..5 {
        let answers = (broker.submit(&exit).await, broker.cancel(name::<BinanceStage>("BAN1")).await);
        assert!(
            matches!(answers, (Err(BrokerError::RateLimited { .. }), Err(BrokerError::RateLimited { .. }))),
            "{answers:?}"
        );
        assert!(matches!(broker.orders().await, Err(BrokerError::RateLimited { .. })));
    }
    assert_eq!(fake.requests().len(), sent, "an exit, a cancellation and a list wait like everything else");
    until("the ban is over", || began.elapsed() >= Duration::from_secs(2)).await;
    broker.submit(&exit).await.unwrap();
    assert_eq!(fake.placed("BAN2"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_firewall_says_nothing_of_the_order_and_is_left_alone() {
    let fake = Fake::start(Binance::default());
    let broker = alone(&fake, Arc::new(LiveClock));
    fake.lie(Lie::Refuse("firewall"));
    let answer = broker.submit(&order("WALL1", "1")).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    let looked = broker.lookup(name::<BinanceStage>("WALL1")).await;
    assert!(matches!(looked, Err(BrokerError::RateLimited { .. })), "{looked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn near_the_limit_of_weight_exits_have_the_rest() {
    let stage = BinanceStage::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    stage.knobs.used_weight.store(5_000, SeqCst);
    broker.lookup(name::<BinanceStage>("NONE")).await.unwrap();
    assert!(matches!(broker.submit(&order("HEAVY1", "1")).await, Err(BrokerError::RateLimited { .. })));
    assert!(matches!(broker.positions().await, Err(BrokerError::RateLimited { .. })));
    let exit = strat_engine::broker::OrderRequest { leg: Leg::Exit, ..order("HEAVY2", "1") };
    broker.submit(&exit).await.unwrap();
    assert_eq!((fake.placed("HEAVY1"), fake.placed("HEAVY2")), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_many_orders_is_listed_page_by_page() {
    let fake = Fake::start(Binance::default());
    let broker = alone(&fake, Arc::new(LiveClock));
    let ids: Vec<String> = (0..2_100).map(|number| format!("PAGED{number}")).collect();
    for id in &ids {
        fake.add("BTCUSDT", id, "1");
    }
    fake.set_fills(Fills::ByHand);
    broker.submit(&order("OPEN1", "1")).await.unwrap();
    let listed = broker.orders().await.unwrap();
    assert_eq!((listed.len(), fake.asked("GET /api/v3/allOrders?symbol=BTCUSDT")), (2_101, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_renewed_before_binance_ends_it() {
    let stage = BinanceStage::with(|settings| settings.renew = Duration::from_millis(100)).await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    broker.submit(&order("RENEW1", "10")).await.unwrap();
    for part in 1..=5 {
        let opened = fake.hub.opened();
        until("another session", || fake.hub.opened() > opened).await;
        fake.fill("RENEW1", "2", "100");
        let status = if part == 5 { ExecType::Fill } else { ExecType::PartialFill };
        report(&**broker, "RENEW1", status, &(2 * part).to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_whose_time_is_refused_is_made_with_the_time_measured_anew() {
    let stage = BinanceStage::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    broker.submit(&order("SKEW1", "10")).await.unwrap();
    stage.knobs.clock_ahead_ms.store(3_600_000, SeqCst);
    fake.hub.cut();
    fake.fill("SKEW1", "10", "100");
    report(&**broker, "SKEW1", ExecType::Fill, "10").await;
    assert_eq!(fake.asked("GET /api/v3/time"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_asked_for_and_a_server_that_leaves_is_left() {
    let stage = BinanceStage::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    broker.submit(&order("GARBLED1", "10")).await.unwrap();
    fake.set_updates(Updates::Dropped);
    fake.fill("GARBLED1", "4", "100");
    fake.hub.say(&Message::text(r#"{"subscriptionId":0,"event":{"e":"executionReport","E":1}}"#));
    report(&**broker, "GARBLED1", ExecType::PartialFill, "4").await;
    let opened = fake.hub.opened();
    fake.hub.say(&Message::text(r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#));
    until("another session", || fake.hub.opened() > opened).await;
}
