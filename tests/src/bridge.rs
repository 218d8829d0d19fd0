//! The engine trades over the bridge, and the simulated broker at the other end is what it says it is.

mod audit;
mod health;
mod lies;

use crate::resp::Conn;
use crate::servers::engine::{self, Env, http};
use crate::servers::simbroker::SimBroker;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use serde_json::{Value as Json, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);
/// Longest wait for an answer of the broker that may not come.
const PATIENCE: Duration = Duration::from_millis(700);

fn ask(broker: &SimBroker, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    http(broker.port(), method, path, body, PATIENCE)
}

fn json_of(answer: Option<(u16, String)>) -> (u16, Json) {
    let (status, body) = answer.expect("an answer");
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in '{body}'")))
}

fn submit(broker: &SimBroker, id: &str, quantity: &str) -> Option<(u16, String)> {
    let order = json!({"client_order_id": id, "user": "al", "symbol": "IBM", "side": "BUY", "quantity": quantity});
    ask(broker, "POST", "/v1/orders", &order.to_string())
}

fn put(broker: &SimBroker, path: &str, body: &str) -> bool {
    ask(broker, "PUT", path, body).is_some_and(|(status, _)| status == 200)
}

fn lookup(broker: &SimBroker, id: &str) -> (u16, Json) {
    json_of(ask(broker, "GET", &format!("/v1/orders/{id}?user=al&symbol=IBM"), ""))
}

fn truth(broker: &SimBroker) -> Json {
    json_of(ask(broker, "GET", "/control/orders", "")).1
}

fn wait_status(broker: &SimBroker, id: &str, wanted: &str) -> Json {
    until(&format!("{id} is {wanted}"), LIMIT, || Some(lookup(broker, id).1).filter(|order| order["status"] == wanted))
}

fn lines(broker: &SimBroker) -> Vec<Json> {
    let text = std::fs::read_to_string(broker.ledger()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Events of one order id, in their order, with the number of the order.
fn events(broker: &SimBroker, id: &str) -> Vec<(String, Option<u64>)> {
    let own = lines(broker).into_iter().filter(|line| line["client_order_id"] == id && line["event"] != "lookup");
    own.map(|line| (line["event"].as_str().unwrap().to_owned(), line["order_no"].as_u64())).collect()
}

/// What an engine needs to trade at this broker.
fn env(broker: &SimBroker, redis: &Redis, postgres: &Postgres, word: &str) -> Env {
    [
        ("REDIS_URL", redis.url()),
        ("DATABASE_URL", postgres.url()),
        ("STRAT_BROKER_KIND", "bridge".to_owned()),
        ("STRAT_BROKER_URL", format!("http://127.0.0.1:{}", broker.port())),
        ("STRAT_BROKER_CLASS", word.to_owned()),
        ("STRAT_BROKER_SETTLE_MS", "1000".to_owned()),
        ("STRAT_FEED_SYMBOLS", "OTHER=100".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Buys 10 at the broker's first price.
fn buy(conn: &mut Conn, key: &str, engine: &Engine) {
    conn.run(&format!("STRAT.SET {key} symbol IBM quantity 10 stop_loss 95 buy_at {}", now_ms()));
    wait_field(conn, key, "filled_quantity", "10", engine);
    wait_field(conn, key, "working", "", engine);
}

/// The price falls below the stop, and the position is sold at the broker's.
fn stop_out(conn: &mut Conn, key: &str, broker: &SimBroker, engine: &Engine) {
    assert!(put(broker, "/control/price", r#"{"symbol":"IBM","price":"94.5"}"#));
    assert_eq!(conn.run("STRAT.SLCHECK IBM 94.80").int(), 1);
    wait_field(conn, key, "position", "EXITED_BY_SL", engine);
}

fn trades_one_strategy(class: &str, word: &str) {
    let broker = SimBroker::start(&["--class", class, "--fill-ms", "20..80"]);
    let redis = Redis::with(Options::new().durable());
    let postgres = Postgres::start();
    let env = env(&broker, &redis, &postgres, word);
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let mut engine = Engine::start(&["run"], env);
    let mut conn = redis.conn();
    let key = "user:al:strategy:s1";
    buy(&mut conn, key, &engine);
    stop_out(&mut conn, key, &broker, &engine);
    let fields = conn.run(&format!("STRAT.GET {key}")).fields();
    assert_eq!((fields["entry_price"].as_str(), fields["exit_price"].as_str()), ("100", "94.5"), "{fields:?}");
    let lines = lines(&broker);
    for (side, field) in [("BUY", "last_buy_order"), ("SELL", "last_sl_order")] {
        let of = |event: &str| {
            lines.iter().filter(|line| line["event"] == event && line["side"] == side).collect::<Vec<_>>()
        };
        assert_eq!((of("submit").len(), of("accept").len()), (1, 1), "{side}: {lines:?}");
        assert_eq!(of("accept")[0]["client_order_id"], fields[field].as_str());
        let filled: i64 =
            of("fill").iter().map(|line| line["quantity"].as_str().unwrap().parse::<i64>().unwrap()).sum();
        assert_eq!(filled, 10, "{side}: {lines:?}");
    }
    let (status, _) = json_of(http(broker.port(), "POST", "/control/quiet", "", LIMIT));
    assert_eq!((status, truth(&broker)["positions"].clone()), (200, json!([])));
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}

fn wait_field(conn: &mut Conn, key: &str, field: &str, wanted: &str, engine: &Engine) {
    let started = std::time::Instant::now();
    loop {
        let fields = conn.run(&format!("STRAT.GET {key}")).fields();
        if fields.get(field).map_or("", String::as_str) == wanted {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{field} is never {wanted}: {fields:?}\n{}", engine.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_strategy_trades_once_at_a_broker_that_dedupes() {
    trades_one_strategy("A", "dedupes");
}

#[test]
fn a_strategy_trades_once_at_a_broker_that_can_be_asked() {
    trades_one_strategy("B", "queryable");
}

#[test]
fn a_strategy_trades_once_at_a_broker_that_does_neither() {
    trades_one_strategy("C", "none");
}

#[test]
fn a_repeated_id_is_treated_as_its_class_says() {
    let accepts = |broker: &SimBroker| lines(broker).iter().filter(|line| line["event"] == "accept").count();
    for (class, while_open, after_end, orders) in [("A", 200, 200, 1), ("B", 422, 200, 2), ("C", 200, 200, 3)] {
        let broker = SimBroker::start(&["--class", class, "--fill-ms", "1500"]);
        assert_eq!(json_of(submit(&broker, "X", "10")).1["status"], "NEW");
        let (status, repeat) = json_of(submit(&broker, "X", "10"));
        assert_eq!(status, while_open, "class {class}: {repeat}");
        assert!(status == 200 || repeat["error"] == "duplicate order", "{repeat}");
        let (status, cancelled) = json_of(ask(&broker, "DELETE", "/v1/orders/X?user=al&symbol=IBM", ""));
        assert_eq!((status, &cancelled["status"]), (200, &json!("CANCELED")));
        assert_eq!(json_of(submit(&broker, "X", "10")).0, after_end, "class {class}");
        assert_eq!(accepts(&broker), orders, "class {class}: {:?}", events(&broker, "X"));
        assert_eq!(lookup(&broker, "unheard").0, 404);
    }
}

#[test]
fn a_killed_broker_goes_on_from_its_ledger() {
    let mut broker = SimBroker::start(&["--class", "A", "--fill-ms", "5..10", "--late-ms", "400"]);
    assert!(put(&broker, "/control/price", r#"{"symbol":"IBM","price":"120.25"}"#));
    submit(&broker, "filled", "3");
    wait_status(&broker, "filled", "FILL");
    assert!(put(&broker, "/control/lies", "timeout_late=100"));
    assert_eq!(submit(&broker, "late", "7"), None, "no answer");
    broker.kill_9();
    // As a crash in the middle of a write leaves it.
    let mut ledger = std::fs::OpenOptions::new().append(true).open(broker.ledger()).unwrap();
    std::io::Write::write_all(&mut ledger, b"{\"ts\":1,\"event\":\"fi").unwrap();
    drop(ledger);
    broker.start_again();
    let late = wait_status(&broker, "late", "FILL");
    assert_eq!(late["avg_px"], "120.25", "prices are remembered");
    assert_eq!(wait_status(&broker, "filled", "FILL")["cum_qty"], "3");
    let truth = truth(&broker);
    assert_eq!(truth["positions"], json!([{"user": "al", "symbol": "IBM", "quantity": "10"}]));
    assert_eq!((truth["lies"].as_str(), truth["later"].as_u64()), (Some("timeout_late=100"), Some(0)));
    broker.kill_9();
    broker.start_again();
    assert_eq!(truth["orders"].as_array().unwrap().len(), 2);
    let events = events(&broker, "late");
    assert_eq!(events.iter().filter(|(event, _)| event == "accept").count(), 1, "placed once: {events:?}");
}
