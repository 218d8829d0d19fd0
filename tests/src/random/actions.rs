//! Random commands over a small world, so that they meet each other.

use crate::resp::{Conn, Value};
use crate::rng::Rng;
use std::collections::BTreeMap;

/// Words of a command.
type Words = Vec<Vec<u8>>;

const TAGS: &[&str] = &["", "", "", "{t1}", "{t2}"];
const USERS: &[&str] = &["alice", "bob", "c.r-o@l_"];
const IDS: &[&str] = &["1", "2", "3", "4", "5"];
const SYMBOLS: &[&str] = &["IBM", "AIG", "M&M", "BTC/USDT"];
const PRICES: &[&str] = &["95", "99.50", "100.00", "100.00000001", "104.5", "110"];
const GARBAGE: &[&[u8]] =
    &[b"abc", b"nan", b"1e5", b"\xff\xfe", b"-1", b"0", b"1.123456789", b" ", b"99999999999999999999", b"running"];

/// The world and what is known of locks.
pub(super) struct Actor<'a> {
    rng: &'a mut Rng,
    conn: Conn,
    db: usize,
    /// Key and token of the last locks.
    locks: Vec<(String, String)>,
    /// Not where replicas follow, now or later, nor with an append-only file: a server that reloads drops
    /// what has expired without a word to either.
    may_reload: bool,
    /// Per command: done and refused.
    tally: BTreeMap<String, (usize, usize)>,
}

fn words(line: &str) -> Words {
    line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

impl<'a> Actor<'a> {
    pub(super) fn new(rng: &'a mut Rng, conn: Conn, may_reload: bool) -> Self {
        Self { rng, conn, may_reload, db: 0, locks: Vec::new(), tally: BTreeMap::new() }
    }

    /// Runs `count` commands. Refusals are fine; a lost connection is not.
    pub(super) fn act(&mut self, count: usize) {
        self.conn.run("SELECT 0");
        self.db = 0;
        for _ in 0..count {
            if self.rng.chance(4) {
                self.transaction();
            } else {
                let command = self.command();
                let reply = self.conn.call(&command);
                let tally = self.tally.entry(String::from_utf8_lossy(&command[0]).into_owned()).or_default();
                if reply.is_error() { tally.1 += 1 } else { tally.0 += 1 }
            }
        }
        println!("commands done and refused: {:?}", self.tally);
        super::clear_names(&mut self.conn);
    }

    fn transaction(&mut self) {
        self.conn.run("MULTI");
        for _ in 0..self.rng.between(1, 6) {
            let command = self.command();
            self.conn.call(&command);
        }
        let end = if self.rng.chance(85) { "EXEC" } else { "DISCARD" };
        self.conn.raw(end);
        // SELECT may have been part of what was discarded.
        let db = self.db;
        self.conn.run(&format!("SELECT {db}"));
    }

    fn command(&mut self) -> Words {
        match self.rng.below(100) {
            0..46 => self.strat(),
            46..66 => self.hash(),
            66..86 => self.whole_key(),
            86..94 => self.derived(),
            _ => self.database(),
        }
    }

    fn key(&mut self) -> String {
        let kind = if self.rng.chance(12) { "alert" } else { "strategy" };
        self.key_of(kind)
    }

    fn key_of(&mut self, kind: &str) -> String {
        let (tag, user, id) = (*self.rng.pick(TAGS), *self.rng.pick(USERS), *self.rng.pick(IDS));
        format!("{tag}user:{user}:{kind}:{id}")
    }

    fn symbol(&mut self) -> String {
        format!("{}{}", self.rng.pick(TAGS), self.rng.pick(SYMBOLS))
    }

    fn strat(&mut self) -> Words {
        let key = self.key();
        let price = *self.rng.pick(PRICES);
        words(&match self.rng.below(15) {
            0..4 => self.set(&key),
            4 if self.rng.chance(50) => format!("STRAT.UPDATE {key} trail_ref {price}"),
            4 => format!("STRAT.UPDATE {key} stop_loss {price} note {price}"),
            5 => format!("STRAT.UPDATE {key} status {}", self.rng.pick(&["RUNNING", "STOPPED", "COMPLETED", "FAILED"])),
            6 => format!("STRAT.UPDATE {key} symbol {}", self.rng.pick(SYMBOLS)),
            7 => format!("STRAT.DEL {key}"),
            8 | 9 => format!("STRAT.SLCHECK {} {price}", self.symbol()),
            10 => {
                let tag = self.rng.pick(&["", "TAG t1", "TAG t2"]);
                let now = self.rng.between(0, 5_000);
                format!("STRAT.DUE {now} {tag} LIMIT {}", self.rng.between(1, 20))
            }
            11 => return if self.rng.chance(70) { self.claim_queued() } else { self.lock(&key) },
            12 => self.report(),
            13 => {
                let (alert, symbol) = (self.key_of("alert"), *self.rng.pick(SYMBOLS));
                let (side, life) = (*self.rng.pick(&["ABOVE", "BELOW"]), *self.rng.pick(&["", "", "EX 1000000"]));
                format!("STRAT.ALERT {alert} {symbol} {side} {price} {life}")
            }
            _ => format!("STRAT.LIST STATUS STOPPED COUNT {}", self.rng.between(1, 9)),
        })
    }

    /// Does what an engine does: takes an order of a queue and claims it.
    fn claim_queued(&mut self) -> Words {
        let queue = format!("{}{}", self.rng.pick(TAGS), self.rng.pick(&["queue:orders", "queue:exits"]));
        let newest = self.conn.raw(&format!("XREVRANGE {queue} + - COUNT 1"));
        let Value::Array(entries) = newest else { return words("STRAT.EPOCH") };
        let Some(entry) = entries.first() else { return words("STRAT.EPOCH") };
        let fields = entry.items()[1].fields();
        let (key, action) = (fields["key"].clone(), fields["action"].clone());
        self.claim(&key, &action)
    }

    fn set(&mut self, key: &str) -> String {
        let mut line =
            format!("STRAT.SET {key} symbol {} quantity {}", self.rng.pick(SYMBOLS), self.rng.between(1, 50));
        let side = *self.rng.pick(&["LONG", "SHORT"]);
        let extras = [
            format!("side {side}"),
            format!("stop_loss {}", self.rng.pick(PRICES)),
            format!("take_profit {}", self.rng.pick(PRICES)),
            format!("trail {}", self.rng.pick(&["1", "4.5", "2%"])),
            format!("buy_at {}", self.rng.between(0, 9_000)),
            format!("sell_at {}", self.rng.between(0, 9_000)),
            format!("position {} side {side}", if side == "LONG" { "BOUGHT" } else { "SHORTED" }),
            format!("status {}", self.rng.pick(&["RUNNING", "STOPPED"])),
        ];
        for extra in extras {
            // The side may come twice then, which is refused: also a case.
            if self.rng.chance(40) {
                line = format!("{line} {extra}");
            }
        }
        line
    }

    fn lock(&mut self, key: &str) -> Words {
        let action = *self.rng.pick(&["BUY", "SELL", "STOPLOSS", "TAKEPROFIT", "SQUAREOFF"]);
        self.claim(key, action)
    }

    fn claim(&mut self, key: &str, action: &str) -> Words {
        let ttl = if self.rng.chance(50) { 3_600_000 } else { self.rng.between(1, 30) };
        let command = words(&format!("STRAT.LOCK {key} {action} engine {ttl}"));
        if let Value::Bulk(token) = self.conn.call(&command) {
            self.locks.push((key.to_owned(), String::from_utf8_lossy(&token).into_owned()));
        }
        command
    }

    fn report(&mut self) -> String {
        let Some((key, token)) = self.locks.pop() else { return "STRAT.EPOCH".to_owned() };
        let tail = *self.rng.pick(&[
            "NEW ORDER o1",
            "PARTIAL_FILL CUMQTY 1 AVGPX 100.5 ORDER o1",
            "FILL CUMQTY 10 AVGPX 100.5 ORDER o1",
            "FILL CUMQTY 50 AVGPX 99 ORDER o1",
            "REJECTED TEXT no TS 1000",
            "CANCELED CUMQTY 1 AVGPX 100 TS 2000",
            "EXPIRED",
        ]);
        if self.rng.chance(60) {
            self.locks.push((key.clone(), token.clone()));
        }
        format!("STRAT.REPORT {key} {token} {tail}")
    }

    fn field_value(&mut self) -> (&'static str, Vec<u8>) {
        let (name, good): (&str, &[&str]) = *self.rng.pick(&[
            ("symbol", SYMBOLS),
            ("quantity", &["1", "10", "0.5"]),
            ("stop_loss", PRICES),
            ("take_profit", PRICES),
            ("trail", &["1", "4.5", "2%", "99.9%"]),
            ("trail_ref", PRICES),
            ("trail_from", &["", "0", "5", "9000000000000"]),
            ("entry_price", PRICES),
            ("status", &["RUNNING", "STOPPED", "COMPLETED", "FAILED"]),
            ("position", &["NONE", "BOUGHT", "SHORTED", "SOLD", "EXITED_BY_SL"]),
            ("side", &["LONG", "SHORT"]),
            ("pending", &["", "BUY", "STOPLOSS"]),
            ("working", &["", "SELL"]),
            ("filled_quantity", &["0", "5", "10"]),
            ("exit_quantity", &["0", "5"]),
            ("buy_at", &["", "100", "4000"]),
            ("sell_at", &["", "100", "4000"]),
            ("retry_at", &["", "200"]),
            ("retry_action", &["", "STOPLOSS"]),
            ("cycle", &["0", "7"]),
            ("condition", &["ABOVE", "below"]),
            ("price", PRICES),
            ("note", &["anything"]),
        ]);
        let value =
            if self.rng.chance(6) { self.rng.pick(GARBAGE).to_vec() } else { self.rng.pick(good).as_bytes().to_vec() };
        (name, value)
    }

    fn hash(&mut self) -> Words {
        let key = self.key().into_bytes();
        let (name, value) = self.field_value();
        let name = name.as_bytes().to_vec();
        match self.rng.below(10) {
            0..5 => {
                let (other, other_value) = self.field_value();
                vec![b"HSET".to_vec(), key, name, value, other.as_bytes().to_vec(), other_value]
            }
            5 => {
                let symbol = self.rng.pick(SYMBOLS).as_bytes().to_vec();
                vec![b"HSET".to_vec(), key, b"symbol".to_vec(), symbol, b"quantity".to_vec(), b"5".to_vec()]
            }
            6 => vec![b"HDEL".to_vec(), key, name],
            7 => vec![b"HSETNX".to_vec(), key, name, value],
            8 => {
                let script = b"redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('HDEL', KEYS[1], 'note')";
                vec![b"EVAL".to_vec(), script.to_vec(), b"1".to_vec(), key, name, value]
            }
            _ => {
                let mut command = vec![b"HDEL".to_vec(), key.clone()];
                // Every field, so that the key goes with its last one.
                let all = self.conn.call(&[b"HKEYS".to_vec(), key]);
                if let Value::Array(names) = all {
                    command.extend(names.iter().filter(|name| matches!(name, Value::Bulk(_))).map(Value::bytes));
                }
                command.push(b"x".to_vec());
                command
            }
        }
    }

    fn whole_key(&mut self) -> Words {
        let (a, b) = (self.key(), self.key());
        let db = self.rng.below(super::DATABASES_USED);
        let line = match self.rng.below(18) {
            0 => format!("DEL {a} {b}"),
            1 => format!("UNLINK {a}"),
            2 | 3 => format!("RENAME {a} {b}"),
            4 => format!("RENAMENX {a} {b}"),
            5 => format!("COPY {a} {b} REPLACE"),
            6 => format!("COPY {a} {b} DB {db}"),
            7 | 8 => format!("MOVE {a} {db}"),
            9 => format!("SET {a} text"),
            10 => format!("SETEX {a} 1000000 text"),
            11 => format!("EXPIRE {a} {}", self.rng.pick(&["1000000", "-1"])),
            12 => format!("PEXPIRE {a} {}", self.rng.between(1, 40)),
            13 => format!("PERSIST {a}"),
            14 => format!("SORT list STORE {a}"),
            15 => return self.restore(&a, &b),
            16 => format!("RENAME {a} elsewhere:{}", self.rng.below(4)),
            _ => format!("RENAME elsewhere:{} {b}", self.rng.below(4)),
        };
        words(&line)
    }

    fn restore(&mut self, from: &str, to: &str) -> Words {
        let Value::Bulk(bytes) = self.conn.raw(&format!("DUMP {from}")) else { return words("LPUSH list b a c") };
        let mut command = words(&format!("RESTORE {to} 0"));
        command.extend([bytes, b"REPLACE".to_vec()]);
        command
    }

    fn derived(&mut self) -> Words {
        let tag = *self.rng.pick(TAGS);
        let set = if self.rng.chance(50) {
            format!("{tag}active_strategies")
        } else {
            format!("{tag}symbol:{}:strategies", self.rng.pick(SYMBOLS))
        };
        let member = format!("{}:{}", self.rng.pick(USERS), self.rng.pick(IDS));
        let (trail, other) = (format!("{tag}trail:IBM"), format!("{tag}trail:AIG"));
        words(&match self.rng.below(12) {
            0 | 1 => format!("SADD {set} {member} garbage a:b:c"),
            2 | 3 => format!("SREM {set} {member}"),
            4 => format!("DEL {set}"),
            5 => format!("SPOP {set}"),
            6 => format!("RENAME {set} elsewhere:set"),
            7 => format!("RENAME elsewhere:set {set}"),
            8 => format!("DEL {trail}"),
            9 => format!("RENAME {trail} {other}"),
            10 => {
                let (from, upto) = (self.rng.between(0, 5), self.rng.between(5, 9));
                let value = format!("{} {upto}", self.rng.pick(PRICES)).into_bytes();
                return vec![b"HSET".to_vec(), trail.into_bytes(), format!("long:{from}").into_bytes(), value];
            }
            // The name is taken until the checkpoint clears it.
            _ => {
                if self.rng.chance(10) {
                    format!("SET {set} text")
                } else {
                    format!("SUNIONSTORE {set} elsewhere:set")
                }
            }
        })
    }

    fn database(&mut self) -> Words {
        let (a, b) = (self.rng.below(super::DATABASES_USED), self.rng.below(super::DATABASES_USED));
        words(&match self.rng.below(200) {
            0..20 => format!("SWAPDB {a} {b}"),
            20 => "FLUSHDB".to_owned(),
            21 => "FLUSHDB ASYNC".to_owned(),
            22 if self.rng.chance(30) => "FLUSHALL".to_owned(),
            23 | 24 if self.may_reload => "DEBUG RELOAD".to_owned(),
            25..40 => "LPUSH list 3 1 2".to_owned(),
            _ => {
                self.db = a;
                format!("SELECT {a}")
            }
        })
    }
}
