use super::*;
use crate::clock::ReplayClock;
use proptest::prelude::*;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

pub(super) fn pointer(text: &str) -> Pointer {
    text.parse().unwrap()
}

pub(super) fn mapping() -> Mapping {
    Mapping {
        items: pointer(""),
        only: None,
        symbol: pointer("/s"),
        price: pointer("/p"),
        time: Some(pointer("/t")),
        time_unit: TimeUnit::Millis,
        size: Some(pointer("/v")),
        id: None,
    }
}

fn read(mapping: Mapping, message: &str) -> (Result<Heard, String>, Vec<Tick>) {
    let clock = Arc::new(ReplayClock::at(77));
    let mut dialect = Mapped { mapping, subscribe: String::new(), clock, symbols: HashSet::new() };
    let mut ticks = VecDeque::new();
    let heard = dialect.read(message.as_bytes(), &mut ticks);
    (heard, ticks.into())
}

fn shown(ticks: &[Tick]) -> Vec<String> {
    let one = |tick: &Tick| {
        let size = tick.size.map_or("-".to_owned(), |size| size.to_string());
        format!("{} {} {} {size}", tick.symbol, tick.price_text, tick.ts_ms)
    };
    ticks.iter().map(one).collect()
}

#[test]
fn numbers_and_texts_are_read_as_they_are_written() {
    for (message, tick) in [
        (r#"{"s":"IBM","p":99.50,"t":1760000000000,"v":3}"#, "IBM 99.50 1760000000000 3"),
        (r#"{"s":"IBM","p":"99.5","t":"1760000000000"}"#, "IBM 99.5 1760000000000 -"),
        (r#"{"p":89999999999.99999999,"s":"M&M","t":5,"v":null}"#, "M&M 89999999999.99999999 5 -"),
        (r#" { "s" : "BTC\/USDT" , "p" : 0.00000001 , "t" : 5.9 } "#, "BTC/USDT 0.00000001 5 -"),
    ] {
        let (heard, ticks) = read(mapping(), message);
        assert_eq!((heard, shown(&ticks)), (Ok(Heard::Read), vec![tick.to_owned()]), "{message}");
    }
}

#[test]
fn a_trade_may_have_a_name_and_a_time_of_its_own() {
    let named = |id: &str| Mapping { id: Some(pointer(id)), ..mapping() };
    let message = r#"{"s":"IBM","p":1,"t":5,"n":96921,"u":"a-7","o":{}}"#;
    for (mapping, id) in [
        (mapping(), None),
        (named("/n"), Some(TradeId::of_number(96_921))),
        (named("/u"), Some(TradeId::of_text("a-7"))),
        (named("/o"), None),
        (named("/none"), None),
    ] {
        let (_, ticks) = read(mapping, message);
        assert_eq!((ticks[0].id, ticks[0].stamp), (id, Stamp::Market));
    }
    let (_, ticks) = read(Mapping { time: None, ..mapping() }, message);
    assert_eq!((ticks[0].ts_ms, ticks[0].stamp), (77, Stamp::Arrival));
}

#[test]
fn what_is_no_tick_is_passed_over_and_what_makes_no_sense_is_an_error() {
    for message in ["{}", "[]", "1", "null", r#"{"ok":true}"#, r#"{"s":"IBM"}"#, r#"{"s":"IBM","p":null,"t":1}"#] {
        assert_eq!(read(mapping(), message), (Ok(Heard::Read), vec![]), "{message}");
    }
    for message in [
        "",
        "{",
        r#"{"s":"IBM","p":1e2,"t":1}"#,
        r#"{"s":"IBM","p":true,"t":1}"#,
        r#"{"s":"IBM","p":[1],"t":1}"#,
        r#"{"s":"A:B","p":1,"t":1}"#,
        r#"{"s":"IBM","p":1}"#,
        r#"{"s":"IBM","p":1,"t":"soon"}"#,
        r#"{"s":"IBM","p":1,"t":-1}"#,
        r#"{"s":"IBM","p":1,"t":1,"v":"much"}"#,
        r#"{"s":"IBM","p":1.123456789,"t":1}"#,
        r#"{"s":"IBM","p":1,"p":2,"t":1}"#,
    ] {
        let (heard, ticks) = read(mapping(), message);
        assert!(heard.is_err() && ticks.is_empty(), "{message}: {heard:?} {ticks:?}");
    }
}

#[test]
fn lists_conditions_and_deep_places() {
    let deep = Mapping {
        items: pointer("/result/trades"),
        only: Some((pointer("/type"), "trade".to_owned())),
        symbol: pointer("/sym/0"),
        price: pointer("/a~1b/c~0d"),
        time: None,
        size: None,
        ..mapping()
    };
    let trades =
        r#"[{"sym":["IBM"],"a/b":{"c~d":1}},{"sym":["X"],"a/b":{"c~d":"no"}},{"sym":["SBIN"],"a/b":{"c~d":2}}]"#;
    let (heard, ticks) = read(deep.clone(), &format!(r#"{{"type":"trade","result":{{"trades":{trades}}}}}"#));
    assert!(heard.is_err(), "one of them makes no sense, the others are taken");
    assert_eq!(shown(&ticks), ["IBM 1 77 -", "SBIN 2 77 -"]);
    let (heard, ticks) = read(deep, &format!(r#"{{"type":"quote","result":{{"trades":{trades}}}}}"#));
    assert_eq!((heard, ticks.len()), (Ok(Heard::Read), 0));
    let list = Mapping { time: None, ..mapping() };
    assert_eq!(shown(&read(list, r#"[{"s":"A","p":1},{"s":"B","p":2}]"#).1), ["A 1 77 -", "B 2 77 -"]);
}

#[test]
fn pointers_are_those_of_the_rfc() {
    for text in ["", "/", "/a", "/a~1b", "/m~0n", "/0/1", "/ /\"", "/a//b"] {
        assert_eq!(pointer(text).to_string(), text);
    }
    for text in ["a", "/a~", "/a~2", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"] {
        assert!(text.parse::<Pointer>().is_err(), "{text}");
    }
    let json = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"m~n":8,"\u0065":9}"#;
    let whole: &RawValue = serde_json::from_str(json).unwrap();
    for (text, found) in [
        ("/foo/0", Some(r#""bar""#)),
        ("/foo/01", None),
        ("/foo/-", None),
        ("/foo/2", None),
        ("/foo/+1", None),
        ("/", Some("0")),
        ("/a~1b", Some("1")),
        ("/c%d", Some("2")),
        ("/m~0n", Some("8")),
        ("/e", Some("9")),
        ("/e/x", None),
    ] {
        assert_eq!(pointer(text).find(whole).unwrap().map(RawValue::get), found, "{text}");
    }
}

#[test]
fn times_in_every_unit() {
    for (unit, text, ms) in [
        (TimeUnit::Seconds, "1760000000", Some(1_760_000_000_000)),
        (TimeUnit::Seconds, "1760000000.1239", Some(1_760_000_000_123)),
        (TimeUnit::Seconds, "1760000000.5", Some(1_760_000_000_500)),
        (TimeUnit::Seconds, "99999999999999999999", None),
        (TimeUnit::Seconds, "9223372036854775807", None),
        (TimeUnit::Millis, "1760000000123", Some(1_760_000_000_123)),
        (TimeUnit::Micros, "1760000000123999", Some(1_760_000_000_123)),
        (TimeUnit::Nanos, "1760000000123999999", Some(1_760_000_000_123)),
        (TimeUnit::Millis, "1e3", None),
        (TimeUnit::Millis, "-5", None),
        (TimeUnit::Millis, "5.", None),
        (TimeUnit::Rfc3339, "2026-11-22T09:30:00.123456Z", Some(1_795_339_800_123)),
        (TimeUnit::Rfc3339, "2026-11-22T15:00:00+05:30", Some(1_795_339_800_000)),
        (TimeUnit::Rfc3339, "2026-11-22", None),
        (TimeUnit::Rfc3339, "1969-12-31T23:59:59Z", None),
    ] {
        assert_eq!(unit.parse(text), ms, "{text} in {unit}");
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(mapping(), &String::from_utf8_lossy(&bytes));
    }

    /// What a message says in place of a price is told word for word, or not at all.
    #[test]
    fn any_price(price in "[-0-9.eE+]{1,16}", quoted in any::<bool>()) {
        let quote = if quoted { "\"" } else { "" };
        let message = format!(r#"{{"s":"IBM","p":{quote}{price}{quote},"t":1}}"#);
        for tick in read(mapping(), &message).1 {
            prop_assert_eq!(&tick.price_text, &price);
            prop_assert_eq!(tick.price, price.parse().unwrap());
        }
    }

    #[test]
    fn any_pointer(text in "[/~a0-9]{0,20}", json in "[\\[\\]{}:,\"a0-9]{0,30}") {
        if let (Ok(pointer), Ok(whole)) = (text.parse::<Pointer>(), serde_json::from_str::<&RawValue>(&json)) {
            let with_other_eyes: serde_json::Value = serde_json::from_str(&json).unwrap();
            if let Ok(found) = pointer.find(whole) {
                let found = found.map(|raw| serde_json::from_str::<serde_json::Value>(raw.get()).unwrap());
                prop_assert_eq!(found.as_ref(), with_other_eyes.pointer(&text).filter(|value| !value.is_null()));
            }
        }
    }
}

/// A server that wants to hear `hello` and then says what it is told to, on each connection anew.
async fn server(sessions: Vec<Vec<Message>>) -> String {
    use futures_util::{SinkExt as _, StreamExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for messages in sessions {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
            for message in messages {
                socket.send(message).await.unwrap();
            }
        }
        std::future::pending::<()>().await;
    });
    address
}

#[tokio::test]
async fn it_says_hello_reads_and_comes_back() {
    let tick = |price: &str| Message::text(format!(r#"{{"s":"IBM","p":{price},"t":1}}"#));
    let first = vec![tick("1"), Message::text("rubbish"), Message::binary(r#"{"s":"IBM","p":2,"t":1}"#)];
    let url = server(vec![first, vec![Message::text(r#"{"ok":1}"#), tick("3")]]).await;
    let clock = Arc::new(ReplayClock::at(77));
    let mut feed = MappedFeed::new(&url, "hello", mapping(), Duration::from_secs(5), clock);
    for price in ["1", "2", "3"] {
        let next = tokio::time::timeout(Duration::from_secs(10), feed.next()).await;
        assert_eq!(next.unwrap().unwrap().unwrap().price_text, price);
    }
    assert_eq!(feed.0.bad(), 1);
}
