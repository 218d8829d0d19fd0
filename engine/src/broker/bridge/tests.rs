use super::*;
use crate::broker::BrokerHealth;
use crate::broker::OrderSide;
use crate::clock::LiveClock;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use strat_core::ExecType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What the fake server does with a request.
#[derive(Clone)]
enum Reply {
    /// Sends these bytes and closes.
    Bytes(String),
    /// Says nothing, keeps the connection.
    Hang,
}

/// Answers each request with the next reply, the last one for ever; keeps the requests. Lists of orders have replies
/// of their own where there are any.
struct Fake {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn start(replies: Vec<Reply>) -> Self {
        Self::with_lists(replies, Vec::new()).await
    }

    async fn with_lists(replies: Vec<Reply>, lists: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let Some(request) = read_request(&mut socket).await else { continue };
                let is_list = |request: &String| !lists.is_empty() && request.contains("/v1/orders HTTP");
                let replies = if is_list(&request) { &lists } else { &replies };
                let index = {
                    let mut log = log.lock().unwrap();
                    log.push(request.clone());
                    log.iter().filter(|other| is_list(other) == is_list(&request)).count() - 1
                };
                match replies[index.min(replies.len() - 1)].clone() {
                    Reply::Bytes(bytes) => socket.write_all(bytes.as_bytes()).await.unwrap_or_default(),
                    Reply::Hang => held.push(socket),
                }
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn bridge(&self) -> Bridge {
        bridge(&format!("http://{}/base/", self.address), 64)
    }
}

/// Head and body of a request.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut part = [0; 4096];
    loop {
        let length = socket.read(&mut part).await.ok().filter(|length| *length > 0)?;
        text.push_str(&String::from_utf8_lossy(&part[..length]));
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= announced.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
    }
}

fn bridge(url: &str, in_flight_max: usize) -> Bridge {
    let timeout = Duration::from_millis(300);
    let class = Idempotency::Queryable;
    Bridge::new(BridgeSettings { url: url.to_owned(), class, timeout, settle: Duration::ZERO, in_flight_max }).unwrap()
}

fn answer(status: &str, body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
}

fn good() -> Value {
    json!({"client_order_id": "ID1", "user": "alice", "symbol": "M&M", "side": "BUY", "quantity": "10",
        "status": "PARTIAL_FILL", "cum_qty": "4", "avg_px": "99.5", "text": "so far\n", "ts_ms": 1_760_000_000_000_i64})
}

/// The good order with one field changed; `null` takes it out.
fn but(field: &str, value: Value) -> Reply {
    let mut order = good();
    match value {
        Value::Null => drop(order.as_object_mut().unwrap().remove(field)),
        value => order[field] = value,
    }
    answer("200 OK", &order.to_string())
}

fn request() -> OrderRequest {
    OrderRequest {
        client_order_id: "ID1".into(),
        user: "alice".into(),
        symbol: "M&M".into(),
        side: OrderSide::Buy,
        quantity: "10".parse().unwrap(),
        leg: strat_core::Leg::Entry,
        protection: None,
        last_price: None,
    }
}

const NAME: OrderRef<'static> = OrderRef { client_order_id: "ID1", user: "alice", symbol: "M&M" };

#[tokio::test]
async fn an_order_is_sent_once_and_its_state_is_exact() {
    let fake = Fake::start(vec![answer("200 OK", &good().to_string())]).await;
    let bridge = fake.bridge();
    let state = bridge.submit(&request()).await.unwrap();
    assert_eq!(
        (state.status, state.cum_qty, state.text.as_str()),
        (ExecType::PartialFill, "4".parse().unwrap(), "so far ")
    );
    assert_eq!((state.avg_px, state.ts_ms), (Some("99.5".parse().unwrap()), 1_760_000_000_000));
    assert_eq!(bridge.lookup(NAME).await.unwrap().unwrap(), state);
    bridge.cancel(NAME).await.unwrap();
    assert_eq!(bridge.reports().try_next().unwrap(), state, "what a cancellation finds out is news");
    let heard = fake.heard();
    let firsts: Vec<_> = heard.iter().map(|request| request.lines().next().unwrap()).collect();
    let about = "/base/v1/orders/ID1?user=alice&symbol=M%26M HTTP/1.1";
    assert_eq!(firsts, ["POST /base/v1/orders HTTP/1.1", &format!("GET {about}"), &format!("DELETE {about}")]);
    let body: Value = serde_json::from_str(heard[0].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        body,
        json!({"client_order_id": "ID1", "user": "alice", "symbol": "M&M", "side": "BUY", "quantity": "10"})
    );
}

#[tokio::test]
async fn whatever_is_not_a_clear_answer_is_unknown() {
    let broken = |text: &str| Reply::Bytes(text.to_owned());
    let lies = [
        ("503", answer("503 Service Unavailable", "<h1>503</h1>")),
        ("500 with an order", answer("500 Internal Server Error", &good().to_string())),
        ("400", answer("400 Bad Request", r#"{"error":"timed out"}"#)),
        ("redirect", answer("307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/", "")),
        ("202", answer("202 Accepted", &good().to_string())),
        ("HTML", answer("200 OK", "<html>log in</html>")),
        ("empty", answer("200 OK", "")),
        ("cut JSON", answer("200 OK", &good().to_string()[..60])),
        ("body breaks off", broken("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"client_order_id\"")),
        ("head breaks off", broken("HTTP/1.1 200 O")),
        ("no HTTP", broken("hello\r\n\r\n")),
        ("closed", broken("")),
        ("no answer", Reply::Hang),
        ("endless", answer("200 OK", &" ".repeat(ORDER_BYTES_MAX + 1))),
        ("another id", but("client_order_id", json!("ID2"))),
        ("another user", but("user", json!("bob"))),
        ("another symbol", but("symbol", json!("IBM"))),
        ("another side", but("side", json!("SELL"))),
        ("no side", but("side", json!("buy"))),
        ("unknown status", but("status", json!("MAYBE"))),
        ("missing status", but("status", Value::Null)),
        ("NaN quantity", but("quantity", json!("NaN"))),
        ("number quantity", but("quantity", json!(10))),
        ("negative cum_qty", but("cum_qty", json!("-1"))),
        ("cum_qty above quantity", but("cum_qty", json!("11"))),
        ("float cum_qty", but("cum_qty", json!("4e0"))),
        ("part that is whole", but("cum_qty", json!("10"))),
        ("fill that is not whole", but("status", json!("FILL"))),
        ("new with fills", but("status", json!("NEW"))),
        ("rejected with fills", but("status", json!("REJECTED"))),
        ("fills without a price", but("avg_px", json!(""))),
        ("NaN price", but("avg_px", json!("nan"))),
        ("before the epoch", but("ts_ms", json!(-1))),
        ("fractional time", but("ts_ms", json!(1.5))),
        ("garbage refusal", answer("422 Unprocessable Entity", "<h1>422</h1>")),
        ("a repeat", answer("422 Unprocessable Entity", r#"{"error":"duplicate order"}"#)),
    ];
    for (name, reply) in lies {
        let fake = Fake::start(vec![reply]).await;
        let answer = fake.bridge().submit(&request()).await;
        assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{name}: {answer:?}");
        assert_eq!(fake.heard().len(), 1, "{name}: sent once");
    }
}

#[tokio::test]
async fn a_lookup_takes_no_lie_for_absence() {
    let absent = answer("404 Not Found", r#"{"error":"no such order"}"#);
    let fake = Fake::start(vec![absent.clone()]).await;
    assert_eq!(fake.bridge().lookup(NAME).await, Ok(None));
    assert_eq!(fake.bridge().cancel(NAME).await, Ok(()));
    for (name, reply) in [
        ("a wrong path", answer("404 Not Found", "<h1>nginx</h1>")),
        ("another 404", answer("404 Not Found", r#"{"error":"no such route"}"#)),
        ("gone", answer("410 Gone", r#"{"error":"no such order"}"#)),
        ("503", answer("503 Service Unavailable", "")),
        ("another id", but("client_order_id", json!("ID2"))),
        ("null", answer("200 OK", "null")),
        ("no answer", Reply::Hang),
    ] {
        let fake = Fake::start(vec![reply]).await;
        let bridge = fake.bridge();
        let looked = bridge.lookup(NAME).await;
        assert!(matches!(looked, Err(BrokerError::Unknown(_))), "{name}: {looked:?}");
        let cancelled = bridge.cancel(NAME).await;
        assert!(matches!(cancelled, Err(BrokerError::Unknown(_))), "{name}: {cancelled:?}");
    }
}

#[tokio::test]
async fn refusals_and_throttling_are_told_apart() {
    let refused = answer("422 Unprocessable Entity", r#"{"error":"insufficient margin"}"#);
    let throttled = |after: &str| answer(&format!("429 Too Many Requests\r\nRetry-After: {after}"), "slow down");
    for (reply, expected) in [
        (refused, BrokerError::Rejected("insufficient margin".into())),
        (throttled("3"), BrokerError::RateLimited { retry_after: Duration::from_secs(3) }),
        (throttled("0"), BrokerError::RateLimited { retry_after: Duration::from_millis(100) }),
        (throttled("99999999999"), BrokerError::RateLimited { retry_after: Duration::from_secs(60) }),
        (throttled("Wed, 21 Oct"), BrokerError::RateLimited { retry_after: Duration::from_secs(1) }),
    ] {
        let fake = Fake::start(vec![reply]).await;
        assert_eq!(fake.bridge().submit(&request()).await, Err(expected));
    }
}

#[tokio::test]
async fn what_was_never_sent_is_unavailable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = bridge(&format!("http://{address}"), 64).submit(&request()).await;
    assert!(matches!(answer, Err(BrokerError::Unavailable(ref why)) if why.contains("refused")), "{answer:?}");
    // Nobody gets a turn while the only one is waiting for its answer.
    let fake = Fake::start(vec![Reply::Hang]).await;
    let bridge = bridge(&format!("http://{}", fake.address), 1);
    let order = request();
    let both = [bridge.submit(&order), bridge.submit(&order)];
    let [first, second] = futures_util::future::join_all(both).await.try_into().unwrap();
    assert!(matches!(first, Err(BrokerError::Unknown(_))), "{first:?}");
    assert!(matches!(second, Err(BrokerError::Unavailable(_) | BrokerError::Unknown(_))), "{second:?}");
    assert!(fake.heard().len() <= 2);
}

#[tokio::test]
async fn lists_are_believed_as_a_whole_or_not_at_all() {
    let orders = |second: Value| answer("200 OK", &json!({"orders": [good(), second]}).to_string());
    let fake = Fake::start(vec![orders(good())]).await;
    let listed = fake.bridge().orders().await.unwrap();
    assert_eq!((listed.len(), listed[0].quantity, listed[0].side), (2, "10".parse().unwrap(), OrderSide::Buy));
    let fake = Fake::start(vec![orders(json!({"client_order_id": "ID2"}))]).await;
    assert!(matches!(fake.bridge().orders().await, Err(BrokerError::Unknown(_))));
    let held = |user: &str, quantity: &str| json!({"user": user, "symbol": "IBM", "quantity": quantity});
    let positions = |list: &[Value]| answer("200 OK", &json!({ "positions": list }).to_string());
    let fake = Fake::start(vec![positions(&[held("al", "-5"), held("bo", "0")])]).await;
    let quantity = "-5".parse().unwrap();
    let expected = BrokerPosition { user: "al".into(), symbol: "IBM".into(), quantity };
    assert_eq!(fake.bridge().positions().await, Ok(vec![expected]));
    for bad in [[held("al", "1"), held("al", "1")], [held("al", "1"), held("bo", "inf")]] {
        let fake = Fake::start(vec![positions(&bad)]).await;
        assert!(matches!(fake.bridge().positions().await, Err(BrokerError::Unknown(_))), "{bad:?}");
    }
    let fake = Fake::start(vec![answer("404 Not Found", r#"{"error":"no such order"}"#)]).await;
    assert!(matches!(fake.bridge().orders().await, Err(BrokerError::Unknown(_))));
}

#[tokio::test]
async fn reports_go_on_after_trouble_and_what_was_missed_is_asked_for() {
    let polled =
        |last: i64, reports: Vec<Value>| answer("200 OK", &json!({"last": last, "reports": reports}).to_string());
    let numbered = |seq: i64, id: &str| {
        let mut report = good();
        (report["seq"], report["client_order_id"]) = (json!(seq), json!(id));
        report
    };
    let mut missed = good();
    missed["client_order_id"] = json!("MISSED");
    let orders = answer("200 OK", &json!({ "orders": [missed] }).to_string());
    let none = answer("200 OK", r#"{"orders":[]}"#);
    let polls = vec![
        polled(7, vec![]),
        polled(8, vec![numbered(8, "FIRST")]),
        answer("502 Bad Gateway", "<h1>"),
        polled(9, vec![numbered(9, "SECOND")]),
        polled(9, vec![]),
    ];
    let fake = Fake::with_lists(polls, vec![none, orders]).await;
    let (bridge, cancel) = (Arc::new(fake.bridge()), CancellationToken::new());
    let health = Arc::new(BrokerHealth::new("bridge".to_owned(), Arc::new(LiveClock)));
    let task = tokio::spawn({
        let (bridge, cancel) = (Arc::clone(&bridge), cancel.clone());
        let heard = Arc::clone(&health);
        async move { bridge.poll_reports(&heard, cancel).await }
    });
    let mut ids = Vec::new();
    while ids.len() < 3 {
        let next = tokio::time::timeout(Duration::from_secs(10), bridge.reports().next()).await;
        ids.push(next.expect("a report").client_order_id);
    }
    ids.sort();
    assert_eq!(ids, ["FIRST", "MISSED", "SECOND"]);
    let paths: Vec<_> = fake.heard().iter().map(|r| r.split(' ').nth(1).unwrap().to_owned()).collect();
    let poll = |after: i64| format!("/base/v1/reports?after={after}&wait_ms=2000");
    assert_eq!(paths[1..3], ["/base/v1/orders".to_owned(), poll(7)], "{paths:?}");
    assert!(paths.contains(&poll(8)), "it goes on where it was: {paths:?}");
    let status = health.status();
    assert!(status.calls >= 4 && status.failed == 1, "each poll is noted: {status:?}");
    assert!(status.last.is_some_and(|last| last.error.contains("502")));
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("it ends when asked to").unwrap();
}
