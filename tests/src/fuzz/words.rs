//! The small world that the commands are about, and what does not belong into it.

use super::script::Words;
use crate::rng::Rng;

const TAGS: &[&str] = &["", "", "", "", "", "", "{t}", "{a:b}"];
const BAD_TAGS: &[&str] = &["{}", "{", "{t", "}", "{%s%n}", "{t}{t}", "{\u{20ac}}", "{ }"];
const USERS: &[&str] = &["alice", "bob", "c.r-o@l_"];
const IDS: &[&str] = &["1", "2", "3", "4", "5"];
const BAD_IDS: &[&str] = &["", ":", "a:strategy:b", "a b", "\u{e9}", "*", "%n"];
const SYMBOLS: &[&str] = &["IBM", "AIG", "M&M", "BTC/USDT", "%s%n", "TS"];
const PRICES: &[&str] = &["95", "99.50", "100.00", "100.00000001", "104.5", "110", "-5", "0"];

/// What hardly any argument may be.
const NASTY: &[&[u8]] = &[
    b"",
    b" ",
    b"0",
    b"-0",
    b"00",
    b"-1",
    b"+1",
    b"1.",
    b".5",
    b"1e5",
    b"0x10",
    b"nan",
    b"NaN",
    b"inf",
    b"-inf",
    b"0.00000001",
    b"0.000000001",
    b"1.123456789",
    b"89999999999.99999999",
    b"90000000000",
    b"99999999999999999999999",
    b"9007199254740991",
    b"9007199254740992",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551615-18446744073709551615",
    b"\0",
    b"a\0b",
    b"\r\n",
    b"x\r\n+OK\r\n",
    b"\xff\xfe",
    b"\xf0\x9f\x92",
    b"\xe2\x82\xac",
    b"%s%s%s%n%n%n",
    b"{",
    b"}",
    b"{}",
    b"::",
    b"BUY engine 1-1",
    b"99 101 5",
    b"99 101 5;98 103 6",
    b"TS",
    b"NX",
    b"RESTORE",
    b"TAG",
    b"EPOCH",
    b"TOKEN",
    b"IFVERSION",
    b"COUNT",
    b"LIMIT",
    b"CUMQTY",
    b"ACK",
    b"RUNNING",
    b"STOPPED",
    b"SHORT",
    b"BOUGHT",
    b"SHORTED",
    b"STOPLOSS",
];

/// Lengths at which something changes: limits of ids, symbols, names and values, and far beyond.
const LENGTHS: &[usize] = &[63, 64, 65, 127, 128, 129, 1_024, 1_025, 65_536, 65_537];

/// Fields with a meaning and values that they take.
pub(super) const FIELDS: &[(&str, &[&str])] = &[
    ("symbol", SYMBOLS),
    ("side", &["LONG", "SHORT"]),
    ("quantity", &["1", "10", "0.5", "89999999999.99999999"]),
    ("stop_loss", PRICES),
    ("take_profit", PRICES),
    ("trail", &["5", "1.5%", ""]),
    ("buy_time", &["09:30", "23:59:59", ""]),
    ("timezone", &["Asia/Kolkata", "Etc/GMT+5"]),
    ("status", &["RUNNING", "RUNNING", "STOPPED", "COMPLETED", "FAILED"]),
    ("position", &["NONE", "BOUGHT", "SHORTED", "SOLD", "COVERED", "EXITED_BY_SL", "EXITED_BY_TP"]),
    ("pending", &["", "BUY", "SELL", "STOPLOSS", "SQUAREOFF"]),
    ("working", &["", "BUY", "SELL", "TAKEPROFIT"]),
    ("on_stop", &["SQUAREOFF", "LEAVE"]),
    ("filled_quantity", &["", "0", "5", "10", "89999999999"]),
    ("exit_quantity", &["0", "5", "89999999999"]),
    ("prior_exit_quantity", &["0", "3", "89999999999"]),
    ("prior_exit_price", PRICES),
    ("exit_price", PRICES),
    ("attempt", &["0", "3", "9007199254740991"]),
    ("retry_at", &["", "200", "9223372036854775807"]),
    ("retry_action", &["", "STOPLOSS", "SELL"]),
    ("buy_at", &["", "100", "4000", "9007199254740991"]),
    ("sell_at", &["", "100", "4000"]),
    ("cycle", &["0", "7", "9007199254740991"]),
    ("cycle_at", &["", "100", "9223372036854775807"]),
    ("version", &["0", "7", "9007199254740991"]),
    ("updated_at", &["0", "9223372036854775807"]),
    ("error", &["", "why\nnot"]),
    ("note", &["anything", ""]),
];

/// The words of a line without blanks in them.
pub(super) fn words(line: &str) -> Words {
    line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

pub(super) fn tag(rng: &mut Rng) -> &'static str {
    let tags = if rng.chance(3) { BAD_TAGS } else { TAGS };
    tags[rng.below(tags.len())]
}

pub(super) fn key(rng: &mut Rng) -> String {
    let id = if rng.chance(2) { *rng.pick(BAD_IDS) } else { *rng.pick(IDS) };
    format!("{}user:{}:strategy:{id}", tag(rng), rng.pick(USERS))
}

/// With its tag.
pub(super) fn symbol(rng: &mut Rng) -> String {
    format!("{}{}", tag(rng), rng.pick(SYMBOLS))
}

pub(super) fn price(rng: &mut Rng) -> &'static str {
    PRICES[rng.below(PRICES.len())]
}

/// A key of ours that is not a strategy's.
pub(super) fn derived(rng: &mut Rng) -> String {
    let (tag, symbol) = (tag(rng), *rng.pick(SYMBOLS));
    match rng.below(9) {
        0 => format!("{tag}active_strategies"),
        1 => format!("{tag}symbol:{symbol}:strategies"),
        2 => format!("{tag}queue:orders"),
        3 => format!("{tag}queue:exits"),
        4 => format!("{tag}journal"),
        5 => format!("{tag}price:{symbol}"),
        6 => format!("{tag}drain:{symbol}"),
        7 => format!("{tag}lock:order:{}:{}", rng.pick(USERS), rng.pick(IDS)),
        _ => format!("elsewhere:{}", rng.below(3)),
    }
}

/// A member of the sets.
pub(super) fn member(rng: &mut Rng) -> String {
    format!("{}:{}", rng.pick(USERS), rng.pick(IDS))
}

pub(super) fn field(rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let (name, values) = *rng.pick(FIELDS);
    let value = if rng.chance(2) { nasty(rng) } else { rng.pick(values).as_bytes().to_vec() };
    (name, value)
}

/// Something that hardly any argument may be.
pub(super) fn nasty(rng: &mut Rng) -> Vec<u8> {
    match rng.below(100) {
        0..70 => rng.pick(NASTY).to_vec(),
        70..80 => (0..rng.below(24)).map(|_| rng.below(256) as u8).collect(),
        80..90 => (rng.between(-3, 12_000)).to_string().into_bytes(),
        90..94 if rng.chance(10) => vec![b'z'; *rng.pick(LENGTHS)],
        94 if rng.chance(2) => vec![b'z'; 1 << 20],
        95 => key(rng).into_bytes(),
        96 => derived(rng).into_bytes(),
        _ => vec![b'z'; *rng.pick(&LENGTHS[..6])],
    }
}

/// Changes a command somewhere behind its name: other values, other lengths, other orders, other numbers of arguments.
pub(super) fn mutate(rng: &mut Rng, command: &mut Words) {
    for _ in 0..rng.between(1, 2) {
        let at = rng.below(command.len());
        if at == 0 {
            command.push(nasty(rng));
            continue;
        }
        match rng.below(10) {
            0..5 => command[at] = nasty(rng),
            5 => drop(command.remove(at)),
            6 => command.insert(at, command[at].clone()),
            7 => command.insert(at, nasty(rng)),
            8 => {
                let other = rng.between(1, command.len() as i64 - 1) as usize;
                command.swap(at, other);
            }
            _ => {
                let word = &mut command[at];
                match word.len() {
                    0 => word.push(b'x'),
                    length => word[rng.below(length)] ^= 1 << rng.below(8),
                }
            }
        }
    }
}
