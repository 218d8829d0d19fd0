//! Feeds that anybody can write to: the real engine hears them, and stops fire by them.

use crate::resp::Conn;
use crate::servers::engine::{self, Env};
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use std::time::{Duration, Instant};
use strat_fakes::Fake;
use strat_fakes::binance::Binance;

mod untimely;

const LIMIT: Duration = Duration::from_secs(40);
const KEY: &str = "user:al:strategy:s1";

/// An engine with the paper broker, which fills at the feed's prices.
struct Stage {
    // Dropped in this order: whoever asks goes before whoever answers.
    engine: Engine,
    _postgres: Postgres,
    conn: Conn,
    _redis: Redis,
}

impl Stage {
    fn start(own: &[(&str, &str)]) -> Self {
        let redis = Redis::with(Options::new().durable());
        let postgres = Postgres::start();
        let common = [("REDIS_URL", redis.url()), ("DATABASE_URL", postgres.url())];
        let own = own.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let env: Env = common.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
        assert!(engine::run(&["migrate"], &env, LIMIT).status.success());
        // Without a price nobody calls it healthy yet.
        let engine = Engine::launch(&["run"], env);
        let conn = redis.conn();
        Self { engine, _postgres: postgres, conn, _redis: redis }
    }

    fn wait_field(&mut self, field: &str, wanted: &str) {
        self.wait_field_while(field, wanted, |_| {});
    }

    /// Waits while prices are told.
    fn wait_field_while(&mut self, field: &str, wanted: &str, mut tell: impl FnMut(&mut Conn)) {
        let started = Instant::now();
        loop {
            tell(&mut self.conn);
            let fields = self.conn.run(&format!("STRAT.GET {KEY}")).fields();
            if fields.get(field).map_or("", String::as_str) == wanted {
                return;
            }
            assert!(started.elapsed() < LIMIT, "{field} is never {wanted}: {fields:?}\n{}", self.engine.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Buys 10, with a stop at 95, at the prices that are told.
    fn buy(&mut self, symbol: &str, mut tell: impl FnMut(&mut Conn)) {
        self.conn.run(&format!("STRAT.SET {KEY} symbol {symbol} quantity 10 stop_loss 95 buy_at {}", now_ms()));
        self.wait_field_while("filled_quantity", "10", &mut tell);
        self.wait_field_while("working", "", tell);
    }

    fn wait_price(&mut self, symbol: &str, price: &str, mut tell: impl FnMut(&mut Conn)) {
        until(&format!("the price of {symbol} is {price}"), LIMIT, || {
            tell(&mut self.conn);
            let known = self.conn.run(&format!("GET price:{symbol}"));
            (known != crate::resp::Value::Nil && known.text() == price).then_some(())
        });
    }
}

fn metric(engine: &Engine, name: &str) -> String {
    let (_, body) = engine.get("/metrics").unwrap();
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_default()
}

#[test]
fn ticks_of_a_redis_stream_fire_stops_also_those_written_while_the_engine_was_away() {
    let mut stage = Stage::start(&[("STRAT_FEED_KIND", "stream")]);
    // A stream that is not there yet: the engine is told with the first entry that it hears.
    stage.wait_price("IBM", "100.00", |conn| drop(conn.run("XADD ticks * symbol IBM price 100.00 size 3")));
    stage.buy("IBM", |conn| drop(conn.run("XADD ticks * symbol IBM price 100.00")));
    // What makes no sense is put aside with the reason, and harms nobody.
    stage.conn.run("XADD ticks * symbol IBM price 1e2");
    stage.conn.run("XADD ticks * price 1");
    stage.wait_price("IBM", "99.5", |conn| drop(conn.run("XADD ticks * symbol IBM price 99.5")));
    let aside = stage.conn.run("XRANGE ticks:rejected - +");
    let text = format!("{aside:?}");
    assert_eq!(aside.items().len(), 2, "{text}");
    assert!(text.contains("price '1e2' is not a plain decimal") && text.contains("it has no field 'symbol'"), "{text}");
    assert_eq!(metric(&stage.engine, "strat_feed_rejected_total"), "2");
    // It goes on where it stopped: the price that crosses the stop is written while nobody reads.
    until("the position is written down", LIMIT, || {
        let newest = stage.conn.run("XREVRANGE ticks + - COUNT 1").items()[0].items()[0].text();
        let kept = stage.conn.run("GET ticks:position");
        (kept != crate::resp::Value::Nil && kept.text() == newest).then_some(())
    });
    stage.engine.kill_9();
    stage.conn.run("XADD ticks * symbol IBM price 94.80");
    stage.conn.run("XADD ticks * symbol IBM price 99.90");
    stage.engine.start_again();
    // By none of the prices that follow: only the one that was written meanwhile crosses it.
    stage.wait_field_while("position", "EXITED_BY_SL", |conn| drop(conn.run("XADD ticks * symbol IBM price 99.90")));
    stage.wait_field("status", "COMPLETED");
    assert_eq!(stage.engine.terminate(), Some(0), "{}", stage.engine.log());
}

#[test]
fn the_stream_is_trimmed_and_what_is_too_old_is_no_price() {
    let mut stage = Stage::start(&[("STRAT_FEED_KIND", "stream"), ("STRAT_FEED_STREAM", "feed:in")]);
    let old = now_ms() - 3_600_000;
    stage.conn.run(&format!("SET feed:in:position {old}-0"));
    for number in 1..=1_000 {
        stage.conn.run(&format!("XADD feed:in {old}-{number} symbol OLD price 1"));
    }
    // The engine may have begun before or after that: it is started anew with the old entries there.
    stage.engine.kill_9();
    stage.conn.run("DEL price:OLD");
    stage.conn.run(&format!("SET feed:in:position {old}-0"));
    stage.engine.start_again();
    stage.wait_price("NEW", "2", |conn| drop(conn.run("XADD feed:in * symbol NEW price 2")));
    assert_eq!(stage.conn.run("EXISTS price:OLD").int(), 0, "an hour old: no price of now");
    until("the old entries are trimmed", LIMIT, || {
        // Redis drops whole nodes of about a hundred entries.
        let first = stage.conn.run("XRANGE feed:in - + COUNT 1").items()[0].items()[0].text();
        let (ms, number) = first.split_once('-').unwrap();
        (ms != old.to_string() || number.parse::<u32>().unwrap() > 800).then_some(())
    });
}

#[test]
fn a_stream_that_begins_anew_with_older_ids_is_read_on() {
    let mut stage = Stage::start(&[("STRAT_FEED_KIND", "stream")]);
    let ahead = now_ms() + 3_600_000;
    let mut number = 0;
    stage.wait_price("IBM", "100", |conn| {
        number += 1;
        conn.run(&format!("XADD ticks {ahead}-{number} symbol IBM price 100 ts {}", now_ms()));
    });
    // As after a failover to a server whose clock is behind.
    stage.conn.run("DEL ticks");
    stage.wait_price("IBM", "101", |conn| drop(conn.run("XADD ticks * symbol IBM price 101")));
}

#[test]
fn any_json_over_a_websocket_is_a_feed() {
    let fake = Fake::start(Binance::default());
    let url = format!("{}/stream?token=hunter2", fake.socket_url());
    let hello = r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}"#;
    let mut stage = Stage::start(&[
        ("STRAT_FEED_KIND", "websocket"),
        ("STRAT_FEED_URL", &url),
        ("STRAT_FEED_SUBSCRIBE_MESSAGE", hello),
        ("STRAT_FEED_JSON_ONLY", "/data/e=trade"),
        ("STRAT_FEED_JSON_ITEMS", "/data"),
        ("STRAT_FEED_JSON_SYMBOL", "/s"),
        ("STRAT_FEED_JSON_PRICE", "/p"),
        ("STRAT_FEED_JSON_TIME", "/T"),
        ("STRAT_FEED_JSON_SIZE", "/q"),
    ]);
    stage.wait_price("BTCUSDT", "100.00000000", |_| fake.set_price("BTCUSDT", "100"));
    stage.buy("BTCUSDT", |_| fake.set_price("BTCUSDT", "100"));
    fake.hub.cut();
    until("the stop has fired over the next connection", LIMIT, || {
        fake.set_price("BTCUSDT", "94.8");
        let fields = stage.conn.run(&format!("STRAT.GET {KEY}")).fields();
        (fields["position"] == "EXITED_BY_SL").then_some(())
    });
    assert_eq!(fake.hub.opened(), 2);
    assert_eq!(stage.engine.terminate(), Some(0), "{}", stage.engine.log());
    assert!(!stage.engine.log().contains("hunter2"), "{}", stage.engine.log());
}

#[test]
fn a_feed_that_is_not_set_up_says_what_is_missing() {
    let redis = Redis::start();
    let postgres = Postgres::start();
    for (own, complaint) in [
        (vec![("STRAT_FEED_KIND", "websocket")], "set feed.url (STRAT_FEED_URL)"),
        (vec![("STRAT_FEED_KIND", "binance")], "set feed.subscribe (STRAT_FEED_SUBSCRIBE)"),
        (vec![("STRAT_BROKER_KIND", "binance")], "set binance.user, binance.symbols"),
    ] {
        let common = [("REDIS_URL", redis.url()), ("DATABASE_URL", postgres.url())];
        let own = own.into_iter().map(|(name, value)| (name, value.to_owned()));
        let env: Env = common.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
        assert!(engine::run(&["migrate"], &env, LIMIT).status.success());
        let ended = engine::run(&["run"], &env, LIMIT);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains(complaint), "{said}");
    }
}
