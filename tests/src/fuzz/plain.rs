//! Commands of Redis on the keys that are ours, and ours from a script.

use super::commands::{DATABASES, Known};
use super::script::Words;
use super::words::{derived, field, key, member, nasty, price, tag, words};
use crate::rng::Rng;

pub(super) fn hash(rng: &mut Rng) -> Words {
    let key = key(rng).into_bytes();
    let (name, value) = field(rng);
    let name = name.as_bytes().to_vec();
    match rng.below(12) {
        0 | 1 => {
            let (other, other_value) = field(rng);
            vec![b"HSET".to_vec(), key, name, value, other.as_bytes().to_vec(), other_value]
        }
        2..6 => {
            let whole =
                [b"HSET".to_vec(), key, b"symbol".to_vec(), b"IBM".to_vec(), b"quantity".to_vec(), b"5".to_vec()];
            [&whole[..], &[name, value]].concat()
        }
        6 => vec![b"HDEL".to_vec(), key, name],
        7 => vec![b"HSETNX".to_vec(), key, name, value],
        8 => vec![b"HINCRBYFLOAT".to_vec(), key, name, b"0.000001".to_vec()],
        9 => vec![b"HINCRBY".to_vec(), key, name, b"9223372036854775807".to_vec()],
        10 => vec![b"HSET".to_vec(), key, nasty(rng), nasty(rng)],
        _ => vec![b"HGETALL".to_vec(), key],
    }
}

fn any_key(rng: &mut Rng) -> String {
    if rng.chance(90) { key(rng) } else { derived(rng) }
}

pub(super) fn whole_key(rng: &mut Rng, known: &Known) -> Words {
    let (a, b) = (any_key(rng), any_key(rng));
    let db = rng.below(DATABASES);
    words(&match rng.below(20) {
        0 => format!("DEL {a} {b}"),
        1 => format!("UNLINK {a}"),
        2 | 3 => format!("RENAME {a} {b}"),
        4 => format!("RENAMENX {a} {b}"),
        5 => format!("COPY {a} {b} REPLACE"),
        6 => format!("COPY {a} {b} DB {db} REPLACE"),
        7 => format!("MOVE {a} {db}"),
        8 => format!("SET {a} text"),
        9 => format!("APPEND {a} x"),
        10 => format!("EXPIRE {a} {}", rng.pick(&["1000000", "-1"])),
        11 => format!("PEXPIRE {a} {}", rng.between(1, 40)),
        12 => format!("PERSIST {a}"),
        13 => format!("SORT list ALPHA STORE {a}"),
        14 => format!("GETDEL {a}"),
        15 => format!("OBJECT ENCODING {a}"),
        16 | 17 => format!("DUMP {a}"),
        18 => format!("LPUSH {a} x"),
        _ => {
            let value = known.dump(rng).unwrap_or_else(|| nasty(rng));
            let mut command = words(&format!("RESTORE {b} {} ", rng.pick(&["0", "30", "100000"])));
            command.extend([value, b"REPLACE".to_vec()]);
            return command;
        }
    })
}

pub(super) fn other_types(rng: &mut Rng, known: &Known) -> Words {
    // Mostly of the type that the command is for: what stands in the way of everything else is a case, not the rule.
    let any = rng.chance(8);
    let set = if any { derived(rng) } else { set_name(rng) };
    let name = if any { derived(rng) } else { stream_name(rng) };
    let other = set_name(rng);
    let entry = known.entry(rng);
    words(&match rng.below(20) {
        0 => format!("SADD {set} {} garbage a:b:c", member(rng)),
        1 => format!("SREM {set} {}", member(rng)),
        2 => format!("SPOP {set}"),
        3 => format!("SUNIONSTORE {set} {other}"),
        4 => format!("SMOVE {set} {other} {}", member(rng)),
        5 => format!("XADD {name} * key {} action SELL cycle 1", key(rng)),
        6 => format!("XADD {name} 18446744073709551615-18446744073709551615 a b"),
        7 => format!("XDEL {name} {entry}"),
        8 => format!("XTRIM {name} MAXLEN {}", rng.below(5)),
        9 => format!("XGROUP CREATE {name} engine 0 MKSTREAM"),
        10 => format!("XREADGROUP GROUP engine c COUNT 5 STREAMS {name} >"),
        11 => format!("XACK {name} engine {entry}"),
        12 => format!("XAUTOCLAIM {name} engine d 0 0 COUNT 3"),
        13 => format!("XGROUP DESTROY {name} engine"),
        14 => format!("XRANGE {name} - + COUNT 3"),
        15 => format!("DEL {name} {set} {}", derived(rng)),
        16 => {
            let value = nasty(rng);
            return [words(&format!("SET {}", derived(rng))), vec![value]].concat();
        }
        17 => return vec![b"SET".to_vec(), format!("{}drain:IBM", tag(rng)).into_bytes(), b"99 101 5".to_vec()],
        18 => return vec![b"SET".to_vec(), derived(rng).into_bytes(), b"BUY engine 1-1".to_vec()],
        _ => format!("SMEMBERS {set}"),
    })
}

/// Ours from a script; few texts, for the server keeps each.
pub(super) fn script(rng: &mut Rng) -> Words {
    let text = *rng.pick(&[
        "return redis.pcall('STRAT.SET', KEYS[1], 'symbol', 'IBM', 'quantity', ARGV[1])",
        "return redis.call('STRAT.SLCHECK', 'IBM', ARGV[1])",
        "redis.call('HSET', KEYS[1], 'stop_loss', ARGV[1]) return redis.pcall('STRAT.GET', KEYS[1])",
        "redis.pcall('STRAT.DEL', KEYS[1]) return redis.pcall('STRAT.LOCK', KEYS[1], 'BUY', 'lua', 100)",
        "redis.setresp(3) return redis.pcall('STRAT.GET', KEYS[1])",
    ]);
    vec![
        b"EVAL".to_vec(),
        text.as_bytes().to_vec(),
        b"1".to_vec(),
        key(rng).into_bytes(),
        price(rng).as_bytes().to_vec(),
    ]
}

fn set_name(rng: &mut Rng) -> String {
    let tag = tag(rng);
    if rng.chance(50) { format!("{tag}active_strategies") } else { format!("{tag}symbol:IBM:strategies") }
}

fn stream_name(rng: &mut Rng) -> String {
    let name = ["queue:orders", "queue:exits", "queue:exits", "journal"][rng.below(4)];
    format!("{}{name}", tag(rng))
}
