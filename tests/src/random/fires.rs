//! Random levels, random ticks: what fires is exactly what a plain comparison of every level says.

use crate::resp::Conn;
use crate::rng::Rng;
use crate::servers::Redis;
use std::collections::BTreeMap;

const STRATEGIES: usize = 400;
const TICKS: usize = 1_500;
const SYMBOLS: &[&str] = &["IBM", "AIG", "{t}IBM"];

/// What the model knows of a strategy; prices in hundredths.
struct Held {
    symbol: &'static str,
    long: bool,
    stop: Option<i64>,
    target: Option<i64>,
}

impl Held {
    /// The exit that a price fires; the stop is judged first.
    fn fired_by(&self, price: i64) -> Option<&'static str> {
        let beyond = |level: i64, falling: bool| if falling { price <= level } else { price >= level };
        if self.stop.is_some_and(|stop| beyond(stop, self.long)) {
            Some("STOPLOSS")
        } else if self.target.is_some_and(|target| beyond(target, !self.long)) {
            Some("TAKEPROFIT")
        } else {
            None
        }
    }
}

fn text(price: i64) -> String {
    format!("{}.{:02}", price / 100, price % 100)
}

/// Opens or replaces a position; the stop is on the losing side of 100, the target on the other.
fn arm(conn: &mut Conn, rng: &mut Rng, number: usize) -> (String, Held) {
    let symbol = *rng.pick(SYMBOLS);
    let tag = symbol.split_once('}').map_or("", |_| "{t}");
    let bare = symbol.trim_start_matches("{t}");
    let key = format!("{tag}user:u:strategy:{number}");
    let long = rng.chance(50);
    let away = if long { -1 } else { 1 };
    let mut level = |direction: i64| rng.chance(75).then(|| 10_000 + direction * rng.between(1, 400));
    let held = Held { symbol, long, stop: level(away), target: level(-away) };
    let (side, position) = if long { ("LONG", "BOUGHT") } else { ("SHORT", "SHORTED") };
    let levels = [("stop_loss", held.stop), ("take_profit", held.target)];
    let levels: String =
        levels.iter().filter_map(|(name, level)| Some(format!(" {name} {}", text((*level)?)))).collect();
    // By a command or by a plain write: the book must not care.
    let verb = if rng.chance(50) { "STRAT.SET" } else { "HSET" };
    conn.run(&format!("DEL user:u:strategy:{number} {key}"));
    conn.run(&format!("{verb} {key} symbol {bare} quantity 1 side {side} position {position}{levels}"));
    (key, held)
}

#[test]
fn a_tick_fires_exactly_what_it_crosses() {
    let mut rng = Rng::from_env("STRAT_RANDOM_SEED");
    let redis = Redis::start();
    let mut conn = redis.conn();
    let mut model: BTreeMap<String, Held> = (0..STRATEGIES).map(|number| arm(&mut conn, &mut rng, number)).collect();
    let mut fired_total = 0;
    for tick in 0..TICKS {
        let symbol = *rng.pick(SYMBOLS);
        let price = 10_000 + rng.between(-405, 405) * rng.between(0, 100) / 100;
        let crossed = |held: &Held| (held.symbol == symbol).then(|| held.fired_by(price)).flatten();
        let expected: BTreeMap<_, _> =
            model.iter().filter_map(|(key, held)| Some((key.clone(), crossed(held)?.to_owned()))).collect();
        let queue = if symbol.starts_with('{') { "{t}queue:exits" } else { "queue:exits" };
        conn.run(&format!("DEL {queue}"));
        let fired = conn.run(&format!("STRAT.SLCHECK {symbol} {} TS {tick}", text(price))).int();
        let entries = conn.run(&format!("XRANGE {queue} - +"));
        let orders = entries.items().iter().map(|entry| entry.items()[1].fields());
        let found: BTreeMap<_, _> = orders.map(|order| (order["key"].clone(), order["action"].clone())).collect();
        assert_eq!(found, expected, "tick {tick}: {symbol} at {}", text(price));
        assert_eq!(fired, i64::try_from(expected.len()).unwrap(), "tick {tick}");
        fired_total += expected.len();
        model.retain(|key, _| !expected.contains_key(key));
        // New positions in the place of the closed ones, and some that move.
        for key in expected.keys() {
            conn.run(&format!("DEL {key}"));
            let number = key.rsplit(':').next().unwrap().parse().unwrap();
            let (key, held) = arm(&mut conn, &mut rng, number);
            model.insert(key, held);
        }
        let number = rng.below(STRATEGIES);
        model.retain(|key, _| !key.ends_with(&format!(":{number}")));
        conn.run(&format!("DEL {{t}}user:u:strategy:{number}"));
        let (key, held) = arm(&mut conn, &mut rng, number);
        model.insert(key, held);
    }
    assert!(fired_total > TICKS / 10, "only {fired_total} fired");
    assert_eq!(conn.run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
}
