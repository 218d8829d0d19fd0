//! What a scan of the hashes gives: an own reading of the rules, apart from the module's.

use super::DATABASES_USED;
use crate::dump::keys;
use crate::resp::{Conn, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A hash under a strategy's name.
enum Read {
    Valid {
        symbol: String,
        status: String,
    },
    /// Some field does not parse: not guarded, and said so.
    Garbage,
}

const PREFIXES: &[&str] = &["", "{t1}", "{t2}"];

/// Everything in which the module's answers differ from the scan.
pub(super) fn differences(conn: &mut Conn) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut garbage = BTreeSet::new();
    for db in 0..DATABASES_USED {
        conn.run(&format!("SELECT {db}"));
        let hashes = scan(conn);
        let bad = hashes.iter().filter(|(_, read)| matches!(read, Read::Garbage));
        garbage.extend(bad.map(|(key, _)| format!("db{db}: {key}: not guarded")));
        garbage.extend(compare_alerts(conn, db, &mut wrong));
        // A storm that is not drained yet: the primary goes on with it by itself.
        let drains = keys(conn).into_iter().map(|key| String::from_utf8_lossy(&key).into_owned());
        wrong.extend(drains.filter(|key| key.contains("drain:")).map(|key| format!("db{db}: {key} is not drained")));
        for prefix in PREFIXES {
            compare_partition(conn, &hashes, db, prefix, &mut wrong);
        }
    }
    conn.run("SELECT 0");
    let lines = conn.run("STRAT.DEBUG VERIFY").texts();
    let (known, unknown): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| garbage.iter().any(|start| line.starts_with(start.as_str())));
    wrong.extend(unknown.into_iter().map(|line| format!("VERIFY: {line}")));
    let unlisted = garbage.iter().filter(|start| !known.iter().any(|line| line.starts_with(start.as_str())));
    wrong.extend(unlisted.map(|start| format!("VERIFY does not list {start}")));
    wrong
}

/// The alerts' hashes of the selected database against the listing; what VERIFY must say of those that do not parse.
fn compare_alerts(conn: &mut Conn, db: usize, wrong: &mut Vec<String>) -> Vec<String> {
    let (mut valid, mut garbage) = (BTreeSet::new(), Vec::new());
    for key in keys(conn) {
        let Ok(name) = String::from_utf8(key) else { continue };
        if !name.contains("user:") || !name.contains(":alert:") || conn.run(&format!("TYPE {name}")).text() != "hash" {
            continue;
        }
        let pairs = conn.run(&format!("HGETALL {name}")).pairs();
        let fields = pairs.iter().map(|(field, value)| (field.text(), value.bytes())).collect();
        if is_alert(&fields) {
            valid.insert(name);
        } else {
            garbage.push(format!("db{db}: {name}: not watched"));
        }
    }
    let mut listed = BTreeSet::new();
    for (user, tag) in
        ["alice", "bob", "c.r-o@l_"].iter().flat_map(|user| ["", "TAG t1", "TAG t2"].map(|tag| (user, tag)))
    {
        listed.extend(conn.run(&format!("STRAT.ALERTS {user} {tag} COUNT 1000")).items()[1].texts());
    }
    if listed != valid {
        wrong.push(format!("db{db} ALERTS lists {listed:?}, there are {valid:?}"));
    }
    garbage
}

fn is_alert(fields: &BTreeMap<String, Vec<u8>>) -> bool {
    let text = |name: &str| fields.get(name).map_or(&b""[..], Vec::as_slice);
    !text("symbol").is_empty()
        && is_symbol(text("symbol"))
        && ["ABOVE", "BELOW"].iter().any(|side| text("condition").eq_ignore_ascii_case(side.as_bytes()))
        && decimal(text("price")).is_some()
        && [&b""[..], b"ACTIVE", b"TRIGGERED"].contains(&text("status"))
}

/// The hashes under strategies' names of the selected database.
fn scan(conn: &mut Conn) -> BTreeMap<String, Read> {
    let mut hashes = BTreeMap::new();
    for key in keys(conn) {
        let Ok(name) = String::from_utf8(key) else { continue };
        if is_strategy(&name) && conn.run(&format!("TYPE {name}")).text() == "hash" {
            let pairs = conn.run(&format!("HGETALL {name}")).pairs();
            let fields = pairs.iter().map(|(field, value)| (field.text(), value.bytes())).collect();
            hashes.insert(name, read(&fields));
        }
    }
    hashes
}

fn is_strategy(name: &str) -> bool {
    let bare = PREFIXES.iter().rev().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let ids = bare.strip_prefix("user:").and_then(|rest| rest.split_once(":strategy:"));
    ids.is_some_and(|(user, id)| !user.is_empty() && !id.is_empty())
}

fn read(fields: &BTreeMap<String, Vec<u8>>) -> Read {
    let given = |name: &str| fields.get(name).map(Vec::as_slice).filter(|value| !value.is_empty());
    let every = |names: &[&str], good: &dyn Fn(&[u8]) -> bool| names.iter().all(|name| given(name).is_none_or(good));
    let word =
        |choices: &'static [&'static str]| move |value: &[u8]| choices.iter().any(|choice| choice.as_bytes() == value);
    let actions = word(&["BUY", "SELL", "STOPLOSS", "TAKEPROFIT", "SQUAREOFF"]);
    let good = given("symbol").is_some_and(is_symbol)
        && given("quantity").is_some_and(|value| decimal(value).is_some_and(|units| units > 0))
        && every(
            &["stop_loss", "take_profit", "prior_exit_price", "exit_price", "entry_price", "trail_ref"],
            &|value| decimal(value).is_some(),
        )
        && every(&["trail"], &is_trail)
        && every(&["filled_quantity", "exit_quantity", "prior_exit_quantity"], &|value| {
            decimal(value).is_some_and(|units| units >= 0)
        })
        && every(&["pending", "working", "retry_action"], &actions)
        && every(
            &["attempt", "retry_at", "buy_at", "sell_at", "cycle", "version", "updated_at", "trail_from"],
            &is_count,
        )
        && every(&["side"], &word(&["LONG", "SHORT"]))
        && every(&["status"], &word(&["RUNNING", "STOPPED", "COMPLETED", "FAILED"]))
        && every(
            &["position"],
            &word(&["NONE", "BOUGHT", "SHORTED", "SOLD", "COVERED", "EXITED_BY_SL", "EXITED_BY_TP"]),
        )
        && every(&["on_stop"], &word(&["SQUAREOFF", "LEAVE"]));
    if !good {
        return Read::Garbage;
    }
    let text = |name: &str| given(name).map(|value| String::from_utf8_lossy(value).into_owned());
    Read::Valid {
        symbol: text("symbol").unwrap_or_default(),
        status: text("status").unwrap_or_else(|| "RUNNING".to_owned()),
    }
}

fn is_symbol(value: &[u8]) -> bool {
    value.len() <= 64 && value.iter().all(|byte| byte.is_ascii_graphic() && !b":{}".contains(byte))
}

fn is_count(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_digit) && std::str::from_utf8(value).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// A positive decimal, or a percentage below 100.
fn is_trail(value: &[u8]) -> bool {
    let percent = value.strip_suffix(b"%");
    let units = decimal(percent.unwrap_or(value)).unwrap_or(0);
    units > 0 && (percent.is_none() || units < 100 * 100_000_000)
}

/// Units of 10⁻⁸ of a plain decimal.
fn decimal(value: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(value).ok()?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 25 || fraction.len() > 8 || !plain(whole) || !plain(fraction) {
        return None;
    }
    let units: i128 = format!("{whole}{fraction:0<8}").parse().ok()?;
    (units < 90_000_000_000 * 100_000_000).then_some(sign * units)
}

fn compare_partition(
    conn: &mut Conn,
    hashes: &BTreeMap<String, Read>,
    db: usize,
    prefix: &str,
    wrong: &mut Vec<String>,
) {
    let tag = prefix.trim_matches(['{', '}']);
    let option = if tag.is_empty() { String::new() } else { format!("TAG {tag}") };
    let valid = hashes.iter().filter_map(|(key, read)| match read {
        Read::Valid { symbol, status } if belongs(key, prefix) => Some((key.clone(), symbol.clone(), status.clone())),
        _ => None,
    });
    let valid: Vec<_> = valid.collect();
    let mut expect = |what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>| {
        if found != expected {
            let missing: Vec<_> = expected.difference(found).collect();
            let extra: Vec<_> = found.difference(expected).collect();
            wrong.push(format!("db{db} {what} {option}: missing {missing:?}, too many {extra:?}"));
        }
    };
    for status in ["RUNNING", "STOPPED", "COMPLETED", "FAILED"] {
        let keys = valid.iter().filter(|(_, _, of)| of == status).map(|(key, _, _)| key.clone()).collect();
        expect(&format!("LIST {status}"), &list(conn, &format!("{option} STATUS {status}")), &keys);
    }
    let member = |key: &str| key[prefix.len()..].replacen("user:", "", 1).replacen(":strategy:", ":", 1);
    let running: Vec<_> = valid.iter().filter(|(_, _, status)| status == "RUNNING").collect();
    let members = running.iter().map(|(key, _, _)| member(key)).collect();
    expect("active_strategies", &set(conn, &format!("{prefix}active_strategies")), &members);
    let mut by_symbol: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (key, symbol, _) in &running {
        by_symbol.entry(symbol).or_default().insert(key.clone());
    }
    let counts = by_symbol.iter().map(|(symbol, keys)| format!("{symbol} {}", keys.len())).collect();
    let reply = conn.run(&format!("STRAT.SYMBOLS {option}"));
    let found = reply.pairs().iter().map(|(symbol, count)| format!("{} {}", symbol.text(), count.int())).collect();
    expect("SYMBOLS", &found, &counts);
    for symbol in ["IBM", "AIG", "M&M", "BTC/USDT"] {
        let keys = by_symbol.remove(symbol).unwrap_or_default();
        expect(&format!("LIST SYMBOL {symbol}"), &list(conn, &format!("{option} SYMBOL {symbol}")), &keys);
        let members = keys.iter().map(|key| member(key)).collect();
        expect(&format!("set of {symbol}"), &set(conn, &format!("{prefix}symbol:{symbol}:strategies")), &members);
    }
}

fn belongs(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| !rest.starts_with('{'))
}

fn set(conn: &mut Conn, key: &str) -> BTreeSet<String> {
    match conn.raw(&format!("SMEMBERS {key}")) {
        Value::Array(members) => members.iter().map(Value::text).collect(),
        other => BTreeSet::from([format!("{other:?}")]),
    }
}

fn list(conn: &mut Conn, filter: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = conn.run(&format!("STRAT.LIST {filter} CURSOR {cursor} COUNT 7"));
        for key in page.items()[1].texts() {
            assert!(found.insert(key.clone()), "LIST {filter} gives {key} twice");
        }
        cursor = page.items()[0].text();
        if cursor == "0" {
            return found;
        }
    }
}
