//! Kite: the suite, and what is Kite's own.

use crate::stage::{LIMIT, SILENCE, Stage, TIMEOUT, USER, name, report, request, until};
use secrecy::SecretString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use strat_core::{ExecType, Leg};
use strat_engine::broker::{
    Broker, BrokerError, KiteBroker, KiteSettings, MarketProtection, OrderSide, Product, Standing, kite_log_in,
};
use strat_engine::clock::{Clock, LiveClock};
use strat_engine::feed::{Feed as _, KiteFeed, KiteMode, Stamp, Tick};
use strat_fakes::kite::Kite;
use strat_fakes::{Fake, Fills, NewOrder, Status, Updates};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

suite!(KiteStage);

struct KiteStage {
    fake: Fake,
    kite: Arc<KiteBroker>,
    broker: Arc<dyn Broker>,
    folder: TempDir,
    venue: Kite,
    _stop: DropGuard,
}

fn settings(fake: &Fake, folder: &Path, venue: &Kite) -> KiteSettings {
    KiteSettings {
        user: USER.to_owned(),
        api_key: venue.api_key.to_owned(),
        api_secret: SecretString::from(venue.api_secret),
        token_file: folder.join("token.json"),
        instruments_file: folder.join("instruments.csv"),
        rest_url: fake.rest_url(),
        stream_url: fake.socket_url(),
        exchange: "NSE".to_owned(),
        product: Product::Mis,
        market_protection: MarketProtection::Automatic,
        timeout: TIMEOUT,
        settle: Duration::from_secs(5),
        silence: SILENCE,
    }
}

/// When logins are dated: their token is good for a day at least, whatever the hour at which the test runs.
struct Tomorrow;

impl Clock for Tomorrow {
    fn now_ms(&self) -> i64 {
        LiveClock.now_ms() + 24 * 60 * 60 * 1_000
    }
}

impl KiteStage {
    /// As [`Stage::start`], without a login.
    fn without_login() -> Self {
        Self::of(Kite::default())
    }

    fn of(venue: Kite) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::start(venue.clone());
        let kite = Arc::new(KiteBroker::new(settings(&fake, folder.path(), &venue), Arc::new(LiveClock)).unwrap());
        let stop = CancellationToken::new();
        let (running, cancel) = (Arc::clone(&kite), stop.clone());
        tokio::spawn(async move { running.run(cancel).await });
        Self { fake, broker: Arc::clone(&kite) as _, kite, folder, venue, _stop: stop.drop_guard() }
    }

    fn settings(&self) -> KiteSettings {
        settings(&self.fake, self.folder.path(), &self.venue)
    }

    async fn log_in(&self) {
        kite_log_in(&self.settings(), self.venue.request_token, &Tomorrow).await.unwrap();
    }

    /// The form of the last placement.
    fn form(&self) -> Vec<(String, String)> {
        self.venue.last_form.lock().unwrap().clone()
    }

    /// A feed of the fake's market.
    fn feed(&self, symbols: &[&str], mode: KiteMode) -> KiteFeed {
        let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
        KiteFeed::new(self.settings(), symbols, mode, Arc::new(LiveClock)).unwrap()
    }
}

#[async_trait::async_trait]
impl Stage for KiteStage {
    async fn start() -> Self {
        let stage = Self::without_login();
        stage.log_in().await;
        let asked = ["GET /user/profile", "GET /instruments", "GET /orders"];
        until("it is up", || stage.fake.hub.opened() > 0 && asked.iter().all(|path| stage.fake.asked(path) > 0)).await;
        // The order book of before the connection, and that of after it.
        stage.broker.orders().await.unwrap();
        stage
    }

    fn fake(&self) -> &Fake {
        &self.fake
    }

    fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_taken_up_without_a_restart_and_its_end_is_told() {
    let stage = KiteStage::without_login();
    let early = stage.broker.submit(&request::<KiteStage>("EARLY1", "10")).await;
    assert!(
        matches!(&early, Err(BrokerError::Unavailable(why)) if why.contains("strat-engine kite login")),
        "{early:?}"
    );
    assert!(stage.broker.complaint().is_some_and(|complaint| complaint.urgent));
    assert!(stage.fake.requests().is_empty(), "nothing is asked without a login: {:?}", stage.fake.requests());
    let refused = kite_log_in(&stage.settings(), "another", &LiveClock).await.unwrap_err();
    assert!(
        refused.contains("Kite refuses the request token") && !refused.contains(stage.venue.api_secret),
        "{refused}"
    );
    stage.log_in().await;
    let mode = std::fs::metadata(stage.folder.path().join("token.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(stage.kite.standing(), Standing::Good);
    stage.broker.submit(&request::<KiteStage>("EARLY1", "10")).await.unwrap();
    report(&*stage.broker, "EARLY1", ExecType::Fill, "10").await;
    stage.fake.set_expired(true);
    assert!(stage.broker.orders().await.is_err());
    assert!(matches!(stage.kite.standing(), Standing::Without(_)), "{:?}", stage.kite.standing());
    stage.fake.set_expired(false);
    stage.broker.orders().await.unwrap();
    assert_eq!(stage.kite.standing(), Standing::Good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_what_kite_documents() {
    let stage = KiteStage::start().await;
    let mut order = request::<KiteStage>("RQLYHBRGYJ746S3R2CEM", "75");
    (order.symbol, order.side, order.leg) = ("NFO/NIFTY26DECFUT".to_owned(), OrderSide::Sell, Leg::Exit);
    stage.broker.submit(&order).await.unwrap();
    let sent = |name: &str| stage.form().into_iter().find(|(known, _)| known == name).map(|(_, value)| value);
    for (name, value) in [
        ("exchange", "NFO"),
        ("tradingsymbol", "NIFTY26DECFUT"),
        ("transaction_type", "SELL"),
        ("quantity", "75"),
        ("product", "MIS"),
        ("order_type", "MARKET"),
        ("validity", "DAY"),
        ("market_protection", "-1"),
        ("tag", "RQLYHBRGYJ746S3R2CEM"),
    ] {
        assert_eq!(sent(name).as_deref(), Some(value), "{name}");
    }
    let listed = stage.broker.orders().await.unwrap();
    assert_eq!((listed[0].symbol.as_str(), listed[0].side), ("NFO/NIFTY26DECFUT", OrderSide::Sell));
    assert_eq!(stage.broker.positions().await.unwrap()[0].symbol, "NFO/NIFTY26DECFUT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kite_would_refuse_is_not_sent_for_that_counts() {
    let stage = KiteStage::start().await;
    let order = |id: &str, symbol: &str, quantity: &str| {
        let mut order = request::<KiteStage>(id, quantity);
        order.symbol = symbol.to_owned();
        order
    };
    let mut others = order("OTHERS1", "IBM", "1");
    others.user = "bob".to_owned();
    let refused = [
        others,
        order("HALF1", "IBM", "1.5"),
        order("ODDLOT1", "NFO/NIFTY26DECFUT", "76"),
        order("MUCH-TOO-LONG-FOR-A-TAG", "IBM", "1"),
    ];
    for order in refused {
        let answer = stage.broker.submit(&order).await;
        assert!(matches!(answer, Err(BrokerError::Rejected(_))), "{order:?}: {answer:?}");
    }
    assert_eq!(stage.fake.asked("POST /orders"), 0);
    let mut exit = order("EXITODDLOT1", "NFO/NIFTY26DECFUT", "76");
    exit.leg = Leg::Exit;
    stage.broker.submit(&exit).await.unwrap();
    assert_eq!(stage.fake.placed("EXITODDLOT1"), 1, "an exit is not held back by a list");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_refused_after_it_was_taken_is_told() {
    let stage = KiteStage::start().await;
    stage.fake.set_fills(Fills::ByHand);
    stage.fake.set_updates(Updates::Dropped);
    let taken = stage.broker.submit(&request::<KiteStage>("TAKEN1", "10")).await.unwrap();
    assert_eq!(taken.status, ExecType::New);
    let no = stage.fake.book(|book| book.by_id("TAKEN1").unwrap().no);
    stage.fake.end(no, Status::Rejected).unwrap();
    // No update comes; the order book is looked at.
    let told = report(&*stage.broker, "TAKEN1", ExecType::Rejected, "0").await;
    assert_eq!(told.text, "Insufficient funds.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_alone_is_no_match_and_two_orders_under_it_are_for_a_person() {
    let stage = KiteStage::start().await;
    let place = |symbol: &str, quantity: &str| {
        let client = NewOrder {
            id: "SAME1".into(),
            symbol: symbol.into(),
            buy: true,
            quantity: quantity.parse().unwrap(),
            limit: None,
        };
        stage.fake.take(client);
    };
    place("M&M", "10");
    let other = stage.broker.lookup(name::<KiteStage>("SAME1")).await;
    assert!(matches!(&other, Err(BrokerError::Unknown(why)) if why.contains("another order")), "{other:?}");
    let stage = KiteStage::start().await;
    stage.broker.submit(&request::<KiteStage>("SAME1", "10")).await.unwrap();
    assert!(stage.broker.lookup(name::<KiteStage>("SAME1")).await.unwrap().is_some());
    let client =
        NewOrder { id: "SAME1".into(), symbol: "IBM".into(), buy: true, quantity: "10".parse().unwrap(), limit: None };
    stage.fake.take(client);
    let two = stage.broker.lookup(name::<KiteStage>("SAME1")).await;
    assert!(matches!(&two, Err(BrokerError::Unknown(why)) if why.contains("2 orders")), "{two:?}");
    assert!(stage.broker.cancel(name::<KiteStage>("SAME1")).await.is_err(), "neither is cancelled on a guess");
    assert_eq!(stage.fake.asked("DELETE"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_look_ups_reads_the_order_book_a_few_times() {
    let stage = KiteStage::start().await;
    stage.fake.set_fills(Fills::ByHand);
    for number in 0..5 {
        stage.broker.submit(&request::<KiteStage>(&format!("STORM{number}"), "10")).await.unwrap();
    }
    let before = stage.fake.asked("GET /orders");
    let ids: Vec<_> = (0..100).map(|number| format!("STORM{}", number % 5)).collect();
    let looks = ids.iter().map(|id| stage.broker.lookup(name::<KiteStage>(id)));
    for found in futures_util::future::join_all(looks).await {
        assert_eq!(found.unwrap().unwrap().status, ExecType::New);
    }
    let asked = stage.fake.asked("GET /orders") - before;
    assert!((1..=4).contains(&asked), "{asked} readings for 100 look-ups");
}

async fn next(feed: &mut KiteFeed) -> Tick {
    timeout(LIMIT, feed.next()).await.expect("a tick").unwrap().unwrap()
}

/// The next tick that is not a repeat of the subscription's first price.
async fn next_at(feed: &mut KiteFeed, price: &str) -> Tick {
    loop {
        let tick = next(feed).await;
        if tick.price_text == price {
            return tick;
        }
    }
}

/// The same in mode `full`, with the exchange's time: what was asked for on the connection has all been answered then. An answer
/// that is still to come would tell a later price before the connection ends.
async fn next_full_at(feed: &mut KiteFeed, price: &str) {
    while next_at(feed, price).await.stamp != Stamp::Market {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_come_in_every_mode_and_unit() {
    let stage = KiteStage::start().await;
    stage.fake.set_price("M&M", "3051.05");
    stage.fake.set_price("CDS/USDINR26DECFUT", "84.1234567");
    let modes = [
        (KiteMode::Ltp, "3051.05", "3051.1"),
        (KiteMode::Quote, "3051.1", "3051.2"),
        (KiteMode::Full, "3051.2", "3050"),
    ];
    for (mode, price, then) in modes {
        let mut feed = stage.feed(&["M&M", "CDS/USDINR26DECFUT"], mode);
        let mut seen = std::collections::BTreeMap::new();
        while seen.len() < 2 {
            let tick = next(&mut feed).await;
            seen.insert(tick.symbol.to_string(), tick.price_text);
        }
        let all: Vec<_> = seen.into_iter().collect();
        let wanted = [("CDS/USDINR26DECFUT", "84.1234567"), ("M&M", price)];
        assert_eq!(all, wanted.map(|(symbol, price)| (symbol.to_owned(), price.to_owned())), "{mode:?}");
        let before_ms = LiveClock.now_ms();
        stage.fake.set_price("M&M", then);
        let ts_ms = next_at(&mut feed, then).await.ts_ms;
        // The exchange's time is in whole seconds; other modes have none, and it is the time of arrival.
        let from_ms = if mode == KiteMode::Full { before_ms / 1_000 * 1_000 } else { before_ms };
        assert!((from_ms..=LiveClock.now_ms()).contains(&ts_ms), "{mode:?}: {ts_ms}");
        assert!(mode != KiteMode::Full || ts_ms % 1_000 == 0, "{ts_ms}");
    }
    assert_eq!(stage.fake.asked("GET /instruments"), 1, "the list of the day is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_cut_closed_or_silent_subscribes_again() {
    let stage = KiteStage::start().await;
    let mut feed = stage.feed(&["IBM"], KiteMode::Full);
    stage.fake.set_price("IBM", "99.05");
    next_full_at(&mut feed, "99.05").await;
    for (harm, price) in ["cut", "close", "mute"].into_iter().zip(["99.1", "99.15", "99.2"]) {
        let opened = stage.fake.hub.opened();
        match harm {
            "cut" => stage.fake.hub.cut(),
            "close" => stage.fake.hub.close(),
            _ => stage.fake.hub.mute(),
        }
        stage.fake.set_price("IBM", price);
        next_full_at(&mut feed, price).await;
        assert!(stage.fake.hub.opened() > opened);
    }
    // A message that does not add up, and one of a length that Kite does not have: no price, and no end.
    stage.fake.hub.say(&strat_fakes::Message::binary(vec![0, 1, 0, 184, 0, 0, 1, 1, 0, 0]));
    stage.fake.hub.say(&strat_fakes::Message::binary(vec![0, 1, 0, 9, 0, 0, 1, 1, 0, 0, 0, 1, 0]));
    stage.fake.set_price("IBM", "99.25");
    loop {
        match next(&mut feed).await.price_text.as_str() {
            // Both answers to the last subscription had it.
            "99.2" => {}
            other => break assert_eq!(other, "99.25"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_symbols_than_a_connection_takes_are_divided_among_two_which_both_come_back() {
    let stage = KiteStage::of(Kite::with_shares(3_001));
    stage.log_in().await;
    until("the order updates are connected", || stage.fake.hub.opened() == 1).await;
    let symbols: Vec<_> = stage.venue.instruments.shares().iter().map(|share| share.symbol()).collect();
    let symbols: Vec<_> = symbols.iter().map(String::as_str).collect();
    let mut feed = stage.feed(&symbols, KiteMode::Full);
    // The fake takes no more than Kite on one connection.
    let mut heard = std::collections::BTreeSet::new();
    while heard.len() < symbols.len() {
        heard.insert(next(&mut feed).await.symbol);
    }
    assert_eq!(stage.fake.hub.opened(), 3);
    stage.fake.hub.cut();
    for symbol in symbols.iter().step_by(100) {
        stage.fake.set_price(symbol, "99.05");
    }
    let mut changed = symbols.iter().step_by(100).count();
    while changed > 0 {
        // Told once more by both answers to the subscription: of each the first counts.
        let tick = next(&mut feed).await;
        changed -= usize::from(tick.price_text == "99.05" && heard.remove(&tick.symbol));
    }
    assert!(stage.fake.hub.opened() >= 5);
    let many = (0..6_001).map(|number| format!("S{number}")).collect();
    let refused = KiteFeed::new(stage.settings(), many, KiteMode::Full, Arc::new(LiveClock));
    assert!(refused.is_err_and(|error| error.to_string().contains("6001 symbols")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_waits_for_the_login_of_the_day() {
    let stage = KiteStage::without_login();
    let mut feed = stage.feed(&["IBM", "NOSUCH"], KiteMode::Ltp);
    assert!(timeout(Duration::from_millis(300), feed.next()).await.is_err());
    stage.log_in().await;
    assert_eq!(&*next(&mut feed).await.symbol, "IBM");
}
