use super::*;
use crate::net::{Frame, Socket, SocketBounds};
use proptest::prelude::*;
use serde_json::{Value, json};
use strat_fakes::Fake;
use strat_fakes::binance::Binance;

/// The documentation's trade, in a combined stream.
pub(super) fn trade() -> Value {
    json!({"stream": "bnbbtc@trade", "data": {
        "e": "trade", "E": 1_672_515_782_136_i64, "s": "BNBBTC", "t": 12345, "p": "0.001", "q": "100",
        "T": 1_672_515_782_135_i64, "m": true, "M": true,
    }})
}

pub(super) fn dialect() -> Trades {
    Trades::new(&["BNBBTC".to_owned(), "BTCUSDT".to_owned()])
}

fn read(dialect: &mut Trades, message: &str) -> (Result<Heard, String>, Vec<Tick>) {
    let mut ticks = VecDeque::new();
    let heard = dialect.read(message.as_bytes(), &mut ticks);
    (heard, ticks.into())
}

#[test]
fn a_trade_is_read_exactly() {
    let (heard, ticks) = read(&mut dialect(), &trade().to_string());
    assert_eq!((heard, ticks.len()), (Ok(Heard::Read), 1));
    let tick = &ticks[0];
    assert_eq!((&*tick.symbol, tick.price_text.as_str(), tick.ts_ms), ("BNBBTC", "0.001", 1_672_515_782_135));
    assert_eq!((tick.price, tick.size), ("0.001".parse().unwrap(), Some("100".parse().unwrap())));
}

#[test]
fn what_is_no_trade_is_told_apart() {
    for (message, heard) in [
        (r#"{"result":null,"id":1}"#, Ok(Heard::Welcome)),
        (r#"{"code":2,"msg":"Invalid request","id":1}"#, Ok(Heard::Over("Binance says 'Invalid request'".into()))),
        (r#"{"error":{"code":2,"msg":"x"},"id":1}"#, Ok(Heard::Over(r#"Binance says {"code":2,"msg":"x"}"#.into()))),
        (
            r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#,
            Ok(Heard::Over("the server is about to go".into())),
        ),
        (r#"{"stream":"x","data":{"e":"aggTrade","p":"1"}}"#, Ok(Heard::Read)),
    ] {
        assert_eq!(read(&mut dialect(), message), (heard, vec![]), "{message}");
    }
    for (name, wrong) in [
        ("p", json!("1e3")),
        ("p", json!(0.001)),
        ("p", json!("0.00")),
        ("p", json!("-1")),
        ("p", json!(null)),
        ("q", json!("0")),
        ("T", json!("soon")),
        ("T", json!(-1)),
        ("T", json!(1.5)),
        ("t", json!(-1)),
        ("s", json!("DOGEBTC")),
    ] {
        let mut message = trade();
        message["data"][name] = wrong.clone();
        let (heard, ticks) = read(&mut dialect(), &message.to_string());
        assert!(heard.is_err() && ticks.is_empty(), "{name} {wrong}: {heard:?}");
    }
    // Two prices: nobody picks one.
    let twice = trade().to_string().replace(r#""p":"0.001""#, r#""p":"0.001","p":"1000""#);
    assert!(read(&mut dialect(), &twice).0.is_err());
}

#[test]
fn every_symbol_is_asked_for_and_no_request_is_too_long() {
    let symbols: Vec<String> = (0..450).map(|number| format!("S{number}USDT")).collect();
    let greetings = Trades::new(&symbols).greetings();
    let asked: Vec<Value> = greetings.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(
        asked.iter().map(|request| request["params"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [200, 200, 50]
    );
    assert_eq!((asked[0]["params"][7].as_str(), asked[2]["id"].as_u64()), (Some("s7usdt@trade"), Some(3)));
}

#[test]
fn what_two_sessions_tell_counts_once_and_a_count_that_begins_anew_is_heard() {
    let mut dialect = dialect();
    let mut tell = |id: u64, handed_over: bool| {
        if handed_over {
            dialect.handed_over();
        }
        let mut message = trade();
        message["data"]["t"] = json!(id);
        read(&mut dialect, &message.to_string()).1.len()
    };
    assert_eq!([tell(10, false), tell(11, false), tell(11, false)], [1, 1, 1], "one session tells what it likes");
    assert_eq!([tell(10, true), tell(11, false), tell(12, false)], [0, 0, 1]);
    dialect.told = dialect.told.take().map(|(told, _)| (told, Instant::now()));
    let mut message = trade();
    message["data"]["t"] = json!(1);
    assert_eq!(read(&mut dialect, &message.to_string()).1.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = dialect().read(&bytes, &mut VecDeque::new());
    }

    /// A damaged trade is another trade, or none: what is told is what is written.
    #[test]
    fn a_damaged_trade(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = trade().to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut ticks = VecDeque::new();
        let _ = dialect().read(&bytes, &mut ticks);
        for tick in ticks {
            // What is passed over need not be UTF-8, nor its numbers within any range.
            let Ok(written) = serde_json::from_str::<Value>(&String::from_utf8_lossy(&bytes)) else { continue };
            prop_assert_eq!(&tick.price_text, written["data"]["p"].as_str().unwrap());
            prop_assert_eq!(tick.price, tick.price_text.parse().unwrap());
            prop_assert_eq!(tick.ts_ms, written["data"]["T"].as_i64().unwrap());
        }
    }

    #[test]
    fn any_price(text in "[-0-9.e]{0,16}") {
        let mut message = trade();
        message["data"]["p"] = json!(text);
        for tick in read(&mut dialect(), &message.to_string()).1 {
            prop_assert_eq!(tick.price, text.parse().unwrap());
            prop_assert!(tick.price > Price::ZERO);
        }
    }
}

async fn price(feed: &mut BinanceFeed) -> String {
    tokio::time::timeout(Duration::from_secs(20), feed.next()).await.unwrap().unwrap().unwrap().price_text
}

/// Tells prices until the feed hears one, as a market does; answers it.
async fn heard(fake: &Fake, feed: &mut BinanceFeed, text: &str) -> String {
    let mut told = tokio::time::interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            price = price(feed) => return price,
            _ = told.tick() => fake.set_price("BTCUSDT", text),
        }
    }
}

fn feed(fake: &Fake, idle_ms: u64, renew_ms: u64) -> BinanceFeed {
    let ms = Duration::from_millis;
    BinanceFeed::renewed(&fake.socket_url(), &["BTCUSDT".to_owned()], ms(idle_ms), ms(renew_ms))
}

#[tokio::test]
async fn it_comes_back_after_a_cut_a_close_and_a_silence() {
    let fake = Fake::start(Binance::default());
    let mut feed = feed(&fake, 400, 0);
    assert_eq!(heard(&fake, &mut feed, "1").await, "1.00000000");
    let ends: [fn(&Fake); 3] = [|fake| fake.hub.cut(), |fake| fake.hub.close(), |fake| fake.hub.mute()];
    for (number, end) in ends.iter().enumerate() {
        end(&fake);
        let text = (number + 2).to_string();
        // What was told before the end may still come.
        while heard(&fake, &mut feed, &text).await != format!("{text}.00000000") {}
        assert_eq!(fake.hub.opened(), number + 2);
    }
    assert_eq!(feed.0.bad(), 0);
}

#[tokio::test]
async fn a_successor_takes_over_without_a_gap_or_a_repeat() {
    let fake = Fake::start(Binance::default());
    let mut feed = feed(&fake, 5_000, 50);
    let first = heard(&fake, &mut feed, "1").await;
    assert_eq!(first, "1.00000000");
    // Each price is told once, while sessions come and go.
    let mut wanted = 1_000;
    let until = fake.hub.opened() + 5;
    while fake.hub.opened() < until {
        wanted += 1;
        fake.set_price("BTCUSDT", &wanted.to_string());
        let text = loop {
            let text = price(&mut feed).await;
            if text != "1.00000000" {
                break text;
            }
        };
        assert_eq!(text, format!("{wanted}.00000000"), "in order, none missing, none twice");
    }
}

/// A ping of the server's is answered: without a pong Binance leaves.
#[tokio::test]
async fn pings_are_answered() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        use futures_util::{SinkExt as _, StreamExt as _};
        use tokio_tungstenite::tungstenite::Message;
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket.send(Message::Ping("1672515782136".into())).await.unwrap();
        loop {
            if let Message::Pong(payload) = socket.next().await.unwrap().unwrap() {
                // With the socket: its end is not what is waited for.
                return (payload, socket);
            }
        }
    });
    let s = Duration::from_secs;
    let bounds = SocketBounds { connect: s(5), silence: s(20), ping: Duration::ZERO, message_bytes: 1_000 };
    let mut socket = Socket::connect(&url, Vec::new(), bounds).await.unwrap();
    let read: Result<Frame, _> = tokio::select! {
        frame = socket.next() => frame,
        payload = server => {
            assert_eq!(&payload.unwrap().0[..], b"1672515782136");
            return;
        }
    };
    panic!("{read:?}");
}
