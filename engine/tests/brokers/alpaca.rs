//! Alpaca.

use crate::stage::{SILENCE, SYMBOL, Stage, TIMEOUT, USER, name, report, request, until};
use std::sync::Arc;
use std::time::Duration;
use strat_core::ExecType;
use strat_engine::broker::{AlpacaBroker, AlpacaSettings, Broker, BrokerError};
use strat_engine::clock::LiveClock;
use strat_engine::feed::{AlpacaFeed, AlpacaFeedSettings, Feed, Tick};
use strat_fakes::alpaca::{Alpaca, KEY_ID, MARKET, SECRET_KEY, STREAM};
use strat_fakes::{Fake, Fills};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::{CancellationToken, DropGuard};

struct AlpacaStage {
    fake: Fake,
    broker: Arc<dyn Broker>,
    _stop: DropGuard,
}

fn settings(fake: &Fake) -> AlpacaSettings {
    AlpacaSettings {
        user: USER.to_owned(),
        rest_url: fake.rest_url(),
        stream_url: format!("{}{STREAM}", fake.socket_url()),
        key_id: KEY_ID.into(),
        secret_key: SECRET_KEY.into(),
        timeout: TIMEOUT,
        settle: Duration::from_secs(1),
        silence: SILENCE,
        in_flight_max: 16,
    }
}

/// An account, and the stage of it that is caught up.
async fn start(account: Alpaca) -> AlpacaStage {
    let fake = Fake::start(account);
    let broker = Arc::new(AlpacaBroker::new(settings(&fake), Arc::new(LiveClock)).unwrap());
    let stop = CancellationToken::new();
    tokio::spawn({
        let (broker, stop) = (Arc::clone(&broker), stop.clone());
        async move { broker.run(stop).await }
    });
    until("it has caught up", || fake.asked("GET /v2/orders?status=all") > 0).await;
    AlpacaStage { fake, broker, _stop: stop.drop_guard() }
}

#[async_trait::async_trait]
impl Stage for AlpacaStage {
    async fn start() -> Self {
        start(Alpaca::paper()).await
    }

    fn fake(&self) -> &Fake {
        &self.fake
    }

    fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }
}

suite!(AlpacaStage);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_account_tells_in_text_what_a_paper_one_tells_in_bytes() {
    let stage = start(Alpaca::live()).await;
    stage.broker().submit(&request::<AlpacaStage>("LIVE1", "10")).await.unwrap();
    report(&**stage.broker(), "LIVE1", ExecType::Fill, "10").await;
    // Not by a list that made good what could not be read.
    assert_eq!(stage.fake().asked("GET /v2/orders?status=all"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_many_pages_is_whole_and_ended_orders_are_in_it() {
    let stage = AlpacaStage::start().await;
    let broker = stage.broker();
    // More than two pages; whole milliseconds have several orders each.
    for number in 0..1_100 {
        if number == 1_000 {
            stage.fake().set_fills(Fills::ByHand);
        }
        broker.submit(&request::<AlpacaStage>(&format!("MANY{number}"), "1")).await.unwrap();
    }
    let orders = broker.orders().await.unwrap();
    let (ended, open): (Vec<_>, Vec<_>) = orders.iter().partition(|order| order.state.status.is_terminal());
    assert_eq!((ended.len(), open.len()), (1_000, 100));
    let last = broker.lookup(name::<AlpacaStage>("MANY1099")).await.unwrap();
    assert!(last.is_some_and(|state| !state.status.is_terminal()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_another_user_or_of_a_coin_never_leaves() {
    let stage = AlpacaStage::start().await;
    let asked = stage.fake().asked("POST");
    let mut others = request::<AlpacaStage>("OTHERS1", "1");
    others.user = "bob".to_owned();
    let mut coin = request::<AlpacaStage>("COIN1", "1");
    coin.symbol = "BTC/USD".to_owned();
    for order in [others, coin] {
        let answer = stage.broker().submit(&order).await;
        assert!(matches!(answer, Err(BrokerError::Rejected(_))), "{answer:?}");
    }
    assert_eq!(stage.fake().asked("POST"), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fractions_and_short_positions_are_exact() {
    let stage = AlpacaStage::start().await;
    let mut sell = request::<AlpacaStage>("SHORT1", "2.12345678");
    sell.side = strat_engine::broker::OrderSide::Sell;
    stage.broker().submit(&sell).await.unwrap();
    let held = stage.broker().positions().await.unwrap();
    assert_eq!((held.len(), held[0].quantity.to_string().as_str()), (1, "-2.12345678"));
}

fn feed(fake: &Fake, secret_key: &str) -> AlpacaFeed {
    let settings = AlpacaFeedSettings {
        url: format!("{}{MARKET}", fake.socket_url()),
        key_id: KEY_ID.into(),
        secret_key: secret_key.into(),
        symbols: vec![SYMBOL.to_owned()],
        timeout: TIMEOUT,
        silence: SILENCE,
    };
    AlpacaFeed::new(settings).unwrap()
}

/// What a feed hears, listened to by a task of its own.
fn listen(mut feed: AlpacaFeed) -> UnboundedReceiver<Tick> {
    let (tell, heard) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(tick)) = feed.next().await {
            if tell.send(tick).is_err() {
                return;
            }
        }
    });
    heard
}

/// The tick at this price, which is told until it is heard.
async fn hear(heard: &mut UnboundedReceiver<Tick>, fake: &Fake, price: &str) -> Tick {
    let mut tick = None;
    until(&format!("a tick at {price}"), || {
        fake.set_price(SYMBOL, price);
        tick = std::iter::from_fn(|| heard.try_recv().ok()).find(|tick| tick.price_text == price);
        tick.is_some()
    })
    .await;
    tick.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trades_are_heard_again_after_a_cut_a_silence_and_a_close() {
    let fake = Fake::start(Alpaca::paper());
    let mut heard = listen(feed(&fake, SECRET_KEY));
    let first = hear(&mut heard, &fake, "100.25").await;
    assert_eq!((&*first.symbol, first.price), (SYMBOL, "100.25".parse().unwrap()));
    assert!((first.ts_ms - strat_fakes::now_ms()).abs() < 60_000);
    for (trouble, price) in [(0, "101.5"), (1, "102.5"), (2, "103.5")] {
        let opened = fake.hub.opened();
        match trouble {
            0 => fake.hub.cut(),
            1 => fake.hub.mute(),
            _ => fake.hub.close(),
        }
        hear(&mut heard, &fake, price).await;
        assert!(fake.hub.opened() > opened, "{trouble}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_taken_hears_nothing_until_it_is() {
    let fake = Fake::start(Alpaca::paper());
    fake.set_expired(true);
    let mut heard = listen(feed(&fake, SECRET_KEY));
    until("it has tried more than once", || fake.hub.opened() > 1).await;
    fake.set_price(SYMBOL, "99");
    assert!(heard.try_recv().is_err());
    fake.set_expired(false);
    hear(&mut heard, &fake, "98").await;
}
