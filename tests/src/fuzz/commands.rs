//! Commands from templates, and what is learned from their replies; `words::mutate` makes nonsense of them.

use super::plain;
use super::script::Words;
use super::words::{field, key, price, symbol, tag, words};
use crate::resp::Value;
use crate::rng::Rng;

/// Databases that the commands use.
pub(super) const DATABASES: usize = 4;
/// Things learned from replies that are kept of each kind.
const KEPT: usize = 64;

/// What replies have taught: without it no lock would ever be held.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Keys of strategies that were set.
    keys: Vec<String>,
    /// Key and token of locks.
    locks: Vec<(String, String)>,
    /// Values of DUMP.
    dumps: Vec<Vec<u8>>,
    /// Ids of stream entries.
    entries: Vec<String>,
    epoch: String,
}

fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() == KEPT {
        list.remove(0);
    }
    list.push(item);
}

impl Known {
    /// Learns from a command's reply.
    pub(super) fn learn(&mut self, command: &Words, reply: &Value) {
        if matches!(reply, Value::Int(_)) && command[0] == b"STRAT.SET" {
            keep(&mut self.keys, String::from_utf8_lossy(&command[1]).into_owned());
        }
        let Value::Bulk(bytes) = reply else { return };
        let text = || String::from_utf8_lossy(bytes).into_owned();
        match command[0].as_slice() {
            b"STRAT.LOCK" if command.len() > 1 => {
                keep(&mut self.locks, (String::from_utf8_lossy(&command[1]).into_owned(), text()));
            }
            b"STRAT.EPOCH" => self.epoch = text(),
            b"DUMP" => keep(&mut self.dumps, bytes.clone()),
            b"XADD" => keep(&mut self.entries, text()),
            _ => {}
        }
    }

    fn lock(&self, rng: &mut Rng) -> (String, String) {
        match self.locks.last() {
            Some(newest) if rng.chance(60) => newest.clone(),
            Some(_) if rng.chance(75) => rng.pick(&self.locks).clone(),
            _ => (key(rng), format!("{}-0", rng.between(0, 9))),
        }
    }

    /// A key that holds a strategy, as far as is known.
    fn strategy(&self, rng: &mut Rng) -> String {
        match self.keys.last() {
            Some(newest) if rng.chance(30) => newest.clone(),
            Some(_) if rng.chance(75) => rng.pick(&self.keys).clone(),
            _ => key(rng),
        }
    }

    /// A value of DUMP; none where there is none, and now and then.
    pub(super) fn dump(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        (!self.dumps.is_empty() && rng.chance(95)).then(|| rng.pick(&self.dumps).clone())
    }

    /// The id of a stream's entry, or what looks like one.
    pub(super) fn entry(&self, rng: &mut Rng) -> String {
        let made_up = rng.chance(20) || self.entries.is_empty();
        if made_up { format!("{}-{}", rng.between(0, 99), rng.below(3)) } else { rng.pick(&self.entries).clone() }
    }
}

/// A command that may be changed by `mutate`.
pub(super) fn any(rng: &mut Rng, known: &Known) -> Words {
    match rng.below(100) {
        0..55 => strat(rng, known),
        55..70 => plain::hash(rng),
        70..84 => plain::whole_key(rng, known),
        84..98 => plain::other_types(rng, known),
        _ => plain::script(rng),
    }
}

fn strat(rng: &mut Rng, known: &Known) -> Words {
    let key = if rng.chance(50) { known.strategy(rng) } else { key(rng) };
    match rng.below(32) {
        0..7 => set(rng, &key),
        7 => words(&format!("STRAT.GET {key}")),
        8..11 => update(rng, &key, known),
        11 => words(&format!("STRAT.DEL {key}")),
        12 => list(rng),
        13 => words(&format!("STRAT.SYMBOLS {}", if rng.chance(50) { "TAG t" } else { "" })),
        14..19 => slcheck(rng),
        19 | 20 => {
            let tag = rng.pick(&["", "TAG t", "TAG a:b"]);
            words(&format!("STRAT.DUE {} {tag} LIMIT {}", rng.between(0, 5_000), rng.between(1, 20)))
        }
        21..24 => lock(rng, &key, known),
        24 => {
            let (key, token) = known.lock(rng);
            words(&format!("STRAT.EXTEND {key} {token} {}", rng.between(1, 5_000)))
        }
        25 => {
            let (key, token) = known.lock(rng);
            words(&format!("STRAT.UNLOCK {key} {token}"))
        }
        26..29 => report(rng, known),
        29 => take(rng, known),
        30 => words(&format!("XGROUP CREATE {}queue:exits engine 0 MKSTREAM", if rng.chance(80) { "" } else { "{t}" })),
        _ => {
            let line: &&str = rng.pick(&["STRAT.EPOCH", "INFO strat", "STRAT.DEBUG VERIFY", "COMMAND DOCS strat.set"]);
            words(line)
        }
    }
}

fn set(rng: &mut Rng, key: &str) -> Words {
    let option = *rng.pick(&["", "", "", "", "", "", "", "NX", "RESTORE 1-0 0", "RESTORE  7"]);
    let mut command = words(&format!("STRAT.SET {key} {option}"));
    let mut names = vec!["symbol", "quantity"];
    for name in ["symbol", "quantity"] {
        let values =
            super::words::FIELDS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, values)| values);
        command.extend([name.as_bytes().to_vec(), rng.pick(values).as_bytes().to_vec()]);
    }
    if rng.chance(60) {
        // In the market, or about to go there: what has a life.
        let line = *rng.pick(&[
            "position BOUGHT stop_loss 99.50 take_profit 104.5",
            "position BOUGHT stop_loss 104.5",
            "side SHORT position SHORTED stop_loss 104.5 take_profit 95",
            "side SHORT position SHORTED stop_loss 99.50 on_stop LEAVE",
            "buy_at 100 sell_at 4000",
            "side SHORT buy_at 4000 sell_at 100 stop_loss 110",
        ]);
        command.extend(words(line));
        names.extend(line.split(' ').step_by(2));
    }
    for _ in 0..rng.below(4) {
        let (name, value) = field(rng);
        // A name twice is refused: sometimes that is the case in hand.
        if !names.contains(&name) || rng.chance(3) {
            names.push(name);
            command.extend([name.as_bytes().to_vec(), value]);
        }
    }
    command
}

fn update(rng: &mut Rng, key: &str, known: &Known) -> Words {
    let mut command = words(&format!("STRAT.UPDATE {key}"));
    if rng.chance(10) {
        command.extend(words(&format!("IFVERSION {}", rng.between(0, 9))));
    }
    if rng.chance(15) {
        let (locked, token) = known.lock(rng);
        command[1] = locked.into_bytes();
        command.extend([b"TOKEN".to_vec(), token.into_bytes()]);
    }
    for _ in 0..rng.between(1, 3) {
        let (name, value) = field(rng);
        command.extend([name.as_bytes().to_vec(), value]);
    }
    command
}

fn list(rng: &mut Rng) -> Words {
    let mut line = "STRAT.LIST".to_owned();
    for option in
        ["TAG t", "USER alice", "SYMBOL IBM", "STATUS STOPPED", "CURSOR 3", "COUNT 5", "WITHVALUES", "COUNT 10000"]
    {
        if rng.chance(25) {
            line = format!("{line} {option}");
        }
    }
    words(&line)
}

fn slcheck(rng: &mut Rng) -> Words {
    let tag = tag(rng);
    let mut command = words("STRAT.SLCHECK");
    for _ in 0..rng.between(1, 4) {
        let symbol =
            if rng.chance(2) { symbol(rng) } else { format!("{tag}{}", rng.pick(&["IBM", "AIG", "M&M", "%s%n"])) };
        command.extend([symbol.into_bytes(), price(rng).as_bytes().to_vec()]);
    }
    if rng.chance(30) {
        command.extend([b"TS".to_vec(), rng.between(0, 9_000).to_string().into_bytes()]);
    }
    command
}

fn lock(rng: &mut Rng, key: &str, known: &Known) -> Words {
    let action = *rng.pick(&["BUY", "SELL", "STOPLOSS", "TAKEPROFIT", "SQUAREOFF"]);
    let ttl = if rng.chance(50) { 3_600_000 } else { rng.between(1, 30) };
    let epoch = if rng.chance(20) { format!("EPOCH {}", known.epoch) } else { String::new() };
    words(&format!("STRAT.LOCK {key} {action} engine {ttl} {epoch}"))
}

fn take(rng: &mut Rng, known: &Known) -> Words {
    let queue = *rng.pick(&["queue:exits", "queue:orders", "{t}queue:exits", "queue:others"]);
    let epoch = if rng.chance(20) { format!("EPOCH {}", known.epoch) } else { String::new() };
    words(&format!("STRAT.TAKE {queue} engine {} COUNT {} {epoch}", rng.between(1, 3_600_000), rng.between(0, 5)))
}

fn report(rng: &mut Rng, known: &Known) -> Words {
    let (key, token) = known.lock(rng);
    let tail = *rng.pick(&[
        "NEW ORDER o1",
        "PARTIAL_FILL CUMQTY 1 AVGPX 100.5 ORDER o1",
        "FILL CUMQTY 10 AVGPX 100.5",
        "FILL CUMQTY 89999999999 AVGPX 89999999999",
        "FILL CUMQTY 5 AVGPX -3 TS 9223372036854775807",
        "REJECTED TEXT no TS 1000",
        "CANCELED CUMQTY 1 AVGPX 100 TS 2000",
        "EXPIRED CUMQTY 0",
        "CANCELED ACTION BUY",
        "FILL ACTION SELL CUMQTY 5 AVGPX 1",
    ]);
    let ack = match rng.below(8) {
        0 => format!("ACK queue:exits {}", known.entry(rng)),
        _ => String::new(),
    };
    words(&format!("STRAT.REPORT {key} {token} {tail} {ack}"))
}

/// A command about the connection, a database or the server: never changed, for a wrong number would stop the test.
pub(super) fn fixed(rng: &mut Rng, known: &Known) -> Vec<Words> {
    let (a, b) = (rng.below(DATABASES), rng.below(DATABASES));
    let one = |line: &str| vec![words(line)];
    match rng.below(1_000) {
        0..100 => one(&format!("SELECT {a}")),
        100..250 => one("SELECT 0"),
        250..460 => transaction(rng, known),
        460..470 => one("MULTI"),
        470..500 => one("EXEC"),
        500..510 => one("DISCARD"),
        510..660 => one(&free_names(rng)),
        660..700 => one(&format!("WATCH {}", key(rng))),
        700..710 => one("UNWATCH"),
        710..770 => one(&format!("SWAPDB {a} {b}")),
        770..778 => one(["FLUSHDB", "FLUSHDB ASYNC", "FLUSHALL"][rng.below(3)]),
        778..786 => one("CLIENT PAUSE 3 WRITE"),
        786..790 => one("CLIENT UNPAUSE"),
        790..800 => one("DEBUG RELOAD"),
        800..880 => one(&config(rng)),
        // Too little memory for what is there, and enough again.
        880..882 => vec![words(&format!("CONFIG SET maxmemory {}", rng.pick(&["1", "3mb"])))],
        882..930 => vec![words("CONFIG SET maxmemory 0")],
        930..935 => vec![words("CONFIG SET maxmemory-policy allkeys-random")],
        935..945 => vec![words("CONFIG SET maxmemory-policy noeviction")],
        945..970 => one(&format!("HELLO {}", rng.between(2, 3))),
        _ => one("LPUSH list b a c"),
    }
}

fn transaction(rng: &mut Rng, known: &Known) -> Vec<Words> {
    let body = (0..rng.between(1, 8)).map(|_| any(rng, known)).collect::<Vec<_>>();
    let end = if rng.chance(90) { "EXEC" } else { "DISCARD" };
    [vec![words("MULTI")], body, vec![words(end)]].concat()
}

/// Deletes what may stand under the names that a partition needs.
fn free_names(rng: &mut Rng) -> String {
    let tag = ["", "", "{t}", "{a:b}"][rng.below(4)];
    format!("DEL {tag}active_strategies {tag}journal {tag}queue:orders {tag}queue:exits {tag}symbol:IBM:strategies")
}

fn config(rng: &mut Rng) -> String {
    let (name, values) = *rng.pick(&[
        ("max-fired-per-call", &["1", "2", "1000", "0", "abc"][..]),
        ("price-ttl-ms", &["1", "10000", "-1"]),
        ("journal-maxlen", &["1000", "1000000", "1"]),
        ("retry-backoff-ms", &["1", "500", "3600000"]),
        ("retry-backoff-max-ms", &["1", "3600000", "99999999999"]),
    ]);
    format!("CONFIG SET strat.{name} {}", rng.pick(values))
}
