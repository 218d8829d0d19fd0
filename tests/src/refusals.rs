//! Bad input gets a stable code on one line of ASCII, and nothing is written.

use crate::dump::{difference, dump};
use crate::resp::{Conn, Value};
use crate::servers::Redis;
use std::fmt::Write;

const KEY: &str = "user:alice:strategy:s1";

/// A server with one idle strategy and one that holds a position.
fn prepared() -> (Redis, Conn) {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 buy_at 1000 sell_at 9000 stop_loss 99.50"));
    conn.run("STRAT.SET user:alice:strategy:held symbol IBM quantity 10 position BOUGHT stop_loss 1 cycle 1");
    conn.run("SET user:alice:strategy:text x");
    (redis, conn)
}

/// Every line must be refused with its code; all wrong ones are shown at once.
fn check_refused<A: AsRef<[u8]>>(conn: &mut Conn, cases: &[(&str, Vec<A>)]) {
    let before = dump(conn);
    let mut wrong = String::new();
    for (code, arguments) in cases {
        let shown: Vec<_> = arguments.iter().map(|a| String::from_utf8_lossy(a.as_ref()).into_owned()).collect();
        match conn.call(arguments) {
            Value::Error(text) => {
                let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
                if text.split(' ').next() != Some(code) || !printable || text.len() < code.len() + 8 {
                    writeln!(wrong, "{shown:?}\n   expected {code}, got -{text}").unwrap();
                }
            }
            other => writeln!(wrong, "{shown:?}\n   expected {code}, got {other:?}").unwrap(),
        }
        let after = dump(conn);
        if after != before {
            writeln!(wrong, "{shown:?}\n   wrote {}", difference(&before, &after)).unwrap();
            break;
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

/// `code: command line` per line; blank-separated words.
fn lines(text: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(": ").unwrap()).map(|(code, rest)| (code, rest.split(' ').collect())).collect()
}

#[test]
fn bad_fields_and_prices_are_refused() {
    let (_redis, mut conn) = prepared();
    let too_long = "x".repeat(129);
    let long_symbol = "S".repeat(65);
    let fields = [
        ("BADPRICE", "stop_loss", "nan"),
        ("BADPRICE", "stop_loss", "NaN"),
        ("BADPRICE", "stop_loss", "inf"),
        ("BADPRICE", "take_profit", "-inf"),
        ("BADPRICE", "take_profit", "1e5"),
        ("BADPRICE", "stop_loss", "1.123456789"),
        ("BADPRICE", "stop_loss", "90000000000"),
        ("BADPRICE", "stop_loss", "99999999999999999999999"),
        ("BADPRICE", "stop_loss", "+1"),
        ("BADPRICE", "stop_loss", "1."),
        ("BADPRICE", "stop_loss", ".5"),
        ("BADPRICE", "stop_loss", "1,5"),
        ("BADPRICE", "stop_loss", "0x10"),
        ("BADPRICE", "stop_loss", "abc"),
        ("BADPRICE", "stop_loss", " 1"),
        ("BADPRICE", "trail", "0%"),
        ("BADPRICE", "entry_price", "1e5"),
        ("BADFIELD", "quantity", "0"),
        ("BADFIELD", "quantity", "-1"),
        ("BADFIELD", "quantity", "0.000000001"),
        ("BADFIELD", "quantity", "nan"),
        ("BADFIELD", "quantity", "1e5"),
        ("BADFIELD", "quantity", "90000000000"),
        ("BADFIELD", "quantity", ""),
        ("BADFIELD", "symbol", "A B"),
        ("BADFIELD", "symbol", "A:B"),
        ("BADFIELD", "symbol", "A{B"),
        ("BADFIELD", "symbol", "A}B"),
        ("BADFIELD", "symbol", "A\r\nB"),
        ("BADFIELD", "symbol", "\u{e9}"),
        ("BADFIELD", "symbol", ""),
        ("BADFIELD", "symbol", &long_symbol),
        ("BADFIELD", "side", "long"),
        ("BADFIELD", "side", "BUY"),
        ("BADFIELD", "side", ""),
        ("BADFIELD", "status", "PAUSED"),
        ("BADFIELD", "status", "running"),
        ("BADFIELD", "position", "FLAT"),
        ("BADFIELD", "on_stop", "SOMETIMES"),
        ("BADFIELD", "buy_time", "9:30"),
        ("BADFIELD", "buy_time", "24:00"),
        ("BADFIELD", "sell_time", "12:00:60"),
        ("BADFIELD", "timezone", "no zone"),
        ("BADFIELD", "buy_at", "-1"),
        ("BADFIELD", "buy_at", "1.5"),
        ("BADFIELD", "sell_at", "99999999999999999999"),
        ("BADFIELD", "cycle", "x"),
        ("BADFIELD", "filled_quantity", "-1"),
        ("BADFIELD", "", "x"),
        ("BADFIELD", &too_long, "x"),
    ];
    let mut cases: Vec<(&str, Vec<&str>)> = Vec::new();
    for (code, name, value) in fields {
        // The field under test last, in place of the good one of that name.
        let good = [("symbol", "IBM"), ("quantity", "10")].into_iter().filter(|(given, _)| *given != name);
        let mut set = vec!["STRAT.SET", "user:alice:strategy:new"];
        set.extend(good.flat_map(|(name, value)| [name, value]));
        set.extend([name, value]);
        cases.push((code, set));
        cases.push((code, vec!["STRAT.UPDATE", KEY, name, value]));
        cases.push((code, vec!["STRAT.UPDATE", KEY, "note", "kept", name, value]));
    }
    check_refused(&mut conn, &cases);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let (_redis, mut conn) = prepared();
    let cases: Vec<(&str, Vec<&[u8]>)> = vec![
        ("BADFIELD", vec![b"STRAT.SET", b"user:alice:strategy:\xff", b"symbol", b"IBM", b"quantity", b"1"]),
        ("BADFIELD", vec![b"STRAT.SET", b"user:al\0ice:strategy:s", b"symbol", b"IBM", b"quantity", b"1"]),
        ("BADFIELD", vec![b"STRAT.SET", b"user:alice:strategy:s2", b"symbol", b"\xff\xfe", b"quantity", b"1"]),
        (
            "BADFIELD",
            vec![b"STRAT.SET", b"user:alice:strategy:s2", b"symbol", b"IBM", b"quantity", b"1", b"note", b"\xff"],
        ),
        ("BADFIELD", vec![b"STRAT.UPDATE", KEY.as_bytes(), b"no\xffte", b"x"]),
        ("BADPRICE", vec![b"STRAT.SLCHECK", b"IBM", b"1\0"]),
        ("BADPRICE", vec![b"STRAT.SLCHECK", b"IBM", b""]),
        ("BADFIELD", vec![b"STRAT.SLCHECK", b"I\r\nBM", b"1"]),
        ("BADFIELD", vec![b"STRAT.SLCHECK", b"", b"1"]),
    ];
    check_refused(&mut conn, &cases);
}

#[test]
fn bad_keys_are_refused_by_every_command() {
    let (_redis, mut conn) = prepared();
    let long_id = format!("user:{}:strategy:s", "x".repeat(129));
    let keys = [
        "s1",
        "user:alice",
        "user:alice:strategy:",
        "user::strategy:s1",
        "user:a b:strategy:s1",
        "user:alice:strategy:a:b",
        "user:alice:strategy:{x}",
        "{}user:alice:strategy:s1",
        "{xuser:alice:strategy:s1",
        "USER:alice:strategy:s1",
        &long_id,
        "",
    ];
    let commands = |key: &str| {
        let tails = [
            "STRAT.SET|symbol|IBM|quantity|1",
            "STRAT.GET",
            "STRAT.UPDATE|note|x",
            "STRAT.DEL",
            "STRAT.LOCK|BUY|engine|1000",
            "STRAT.EXTEND|1-1|1000",
            "STRAT.UNLOCK|1-1",
            "STRAT.REPORT|1-1|NEW",
        ];
        tails.map(|tail| {
            let mut words: Vec<_> = tail.split('|').map(str::to_owned).collect();
            words.insert(1, key.to_owned());
            ("BADFIELD", words)
        })
    };
    let cases: Vec<(&str, Vec<String>)> = keys.iter().flat_map(|key| commands(key)).collect();
    check_refused(&mut conn, &cases);
}

#[test]
fn syntax_errors_are_refused() {
    let (_redis, mut conn) = prepared();
    let cases = lines(
        "
        ERR: STRAT.SET
        ERR: STRAT.SET user:alice:strategy:s2
        ERR: STRAT.SET user:alice:strategy:s2 NX
        ERR: STRAT.SET user:alice:strategy:s2 symbol
        ERR: STRAT.SET user:alice:strategy:s2 symbol IBM quantity
        ERR: STRAT.GET
        ERR: STRAT.GET user:alice:strategy:s1 extra
        ERR: STRAT.UPDATE user:alice:strategy:s1
        ERR: STRAT.UPDATE user:alice:strategy:s1 note
        ERR: STRAT.UPDATE user:alice:strategy:s1 IFVERSION 1
        ERR: STRAT.UPDATE user:alice:strategy:s1 IFVERSION one note x
        ERR: STRAT.DEL
        ERR: STRAT.DEL user:alice:strategy:s1 user:alice:strategy:held
        ERR: STRAT.LIST TAG
        ERR: STRAT.LIST COLOUR red
        ERR: STRAT.LIST COUNT 0
        ERR: STRAT.LIST COUNT -1
        ERR: STRAT.LIST COUNT many
        ERR: STRAT.LIST CURSOR x
        ERR: STRAT.SYMBOLS TAG
        ERR: STRAT.SYMBOLS IBM
        ERR: STRAT.SLCHECK
        ERR: STRAT.SLCHECK IBM
        ERR: STRAT.SLCHECK IBM 100 TS
        ERR: STRAT.SLCHECK IBM 100 TS now
        ERR: STRAT.SLCHECK IBM 100 AIG
        ERR: STRAT.DUE
        ERR: STRAT.DUE now
        ERR: STRAT.DUE -5
        ERR: STRAT.DUE 1 LIMIT
        ERR: STRAT.DUE 1 LIMIT 0
        ERR: STRAT.DUE 1 LIMIT x
        ERR: STRAT.DUE 1 SOON
        ERR: STRAT.LOCK user:alice:strategy:s1 BUY engine
        ERR: STRAT.LOCK user:alice:strategy:s1 BUY engine x
        ERR: STRAT.LOCK user:alice:strategy:s1 BUY engine 0
        ERR: STRAT.LOCK user:alice:strategy:s1 BUY engine -5
        ERR: STRAT.LOCK user:alice:strategy:s1 BUY engine 1000 EPOCH
        ERR: STRAT.LOCK user:alice:strategy:s1 BUY engine 1000 SOON x
        ERR: STRAT.TAKE queue:exits engine
        ERR: STRAT.TAKE queue:exits engine 0
        ERR: STRAT.TAKE queue:exits engine 1000 COUNT
        ERR: STRAT.TAKE queue:exits engine 1000 COUNT 0
        ERR: STRAT.TAKE queue:exits engine 1000 COUNT 1001
        ERR: STRAT.TAKE queue:exits engine 1000 EPOCH
        ERR: STRAT.TAKE queue:exits engine 1000 SOON x
        ERR: STRAT.EXTEND user:alice:strategy:s1 1-1
        ERR: STRAT.EXTEND user:alice:strategy:s1 1-1 x
        ERR: STRAT.UNLOCK user:alice:strategy:s1
        ERR: STRAT.REPORT user:alice:strategy:s1 1-1
        ERR: STRAT.EPOCH now
        ERR: STRAT.DEBUG
        ERR: STRAT.DEBUG EVERYTHING
        ",
    );
    check_refused(&mut conn, &cases);
}

#[test]
fn what_is_missing_twice_or_kept_by_the_server_is_refused() {
    let (_redis, mut conn) = prepared();
    let cases = lines(
        "
        BADFIELD: STRAT.SET user:alice:strategy:s2 quantity 10
        BADFIELD: STRAT.SET user:alice:strategy:s2 symbol IBM
        BADFIELD: STRAT.SET user:alice:strategy:s2 symbol IBM quantity 1 symbol AIG
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 note a note b
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 version 7
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 updated_at 7
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 id s9
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 user_id bob
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 pending BUY
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 working BUY
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 attempt 3
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 retry_at 3
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 last_buy_order x
        BADFIELD: STRAT.UPDATE user:alice:strategy:s1 terminated_at 3
        BADVERSION: STRAT.UPDATE user:alice:strategy:s1 IFVERSION 7 note x
        BADTOKEN: STRAT.UPDATE user:alice:strategy:s1 TOKEN 1-1 note x
        BADTOKEN: STRAT.REPORT user:alice:strategy:s1 1-1 NEW
        BADFIELD: STRAT.SLCHECK A:B 1
        BADFIELD: STRAT.SLCHECK {t 1
        BADPRICE: STRAT.SLCHECK IBM nan
        BADPRICE: STRAT.SLCHECK IBM inf
        BADPRICE: STRAT.SLCHECK IBM 1e5
        BADPRICE: STRAT.SLCHECK IBM 1.123456789
        BADPRICE: STRAT.SLCHECK IBM 90000000000
        BADPRICE: STRAT.SLCHECK AIG 1 IBM abc
        NOSTRAT: STRAT.LOCK user:alice:strategy:none BUY engine 1000
        UNSYNCED: STRAT.LOCK user:alice:strategy:s1 BUY engine 1000 EPOCH 0123456789abcdef
        NOGROUP: STRAT.TAKE queue:exits engine 1000
        UNSYNCED: STRAT.TAKE queue:exits engine 1000 EPOCH 0123456789abcdef
        BADFIELD: STRAT.TAKE queue:exit engine 1000
        BADFIELD: STRAT.TAKE journal engine 1000
        BADFIELD: STRAT.TAKE {t}xqueue:exits engine 1000
        BUSY: STRAT.LOCK user:alice:strategy:s1 SELL engine 1000
        BUSY: STRAT.LOCK user:alice:strategy:s1 STOPLOSS engine 1000
        BUSY: STRAT.LOCK user:alice:strategy:held BUY engine 1000
        BUSY: STRAT.SET user:alice:strategy:held symbol IBM quantity 1
        BUSY: STRAT.UPDATE user:alice:strategy:held symbol AIG
        BUSY: STRAT.UPDATE user:alice:strategy:held side SHORT
        BUSY: STRAT.UPDATE user:alice:strategy:held status COMPLETED
        ",
    );
    check_refused(&mut conn, &cases);
}

#[test]
fn a_key_of_another_type_is_refused_by_every_command() {
    let (_redis, mut conn) = prepared();
    let cases = lines(
        "
        WRONGTYPE: STRAT.SET user:alice:strategy:text symbol IBM quantity 1
        WRONGTYPE: STRAT.GET user:alice:strategy:text
        WRONGTYPE: STRAT.UPDATE user:alice:strategy:text note x
        WRONGTYPE: STRAT.DEL user:alice:strategy:text
        WRONGTYPE: STRAT.LOCK user:alice:strategy:text BUY engine 1000
        WRONGTYPE: STRAT.TAKE queue:exits engine 1000
        ",
    );
    conn.run("SET queue:exits text");
    check_refused(&mut conn, &cases);
}

#[test]
fn reports_that_make_no_sense_are_refused() {
    let (_redis, mut conn) = prepared();
    let token = conn.run(&format!("STRAT.LOCK {KEY} BUY engine 60000")).text();
    let report = |tail: &str| {
        let line = format!("STRAT.REPORT {KEY} {token} {tail}");
        line.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let cases = vec![
        ("ERR", report("FILL")),
        ("ERR", report("PARTIAL_FILL")),
        ("ERR", report("FILL CUMQTY 10")),
        ("ERR", report("FILL AVGPX 10")),
        ("ERR", report("NEW ORDER")),
        ("ERR", report("NEW TS x")),
        ("ERR", report("NEW ACK queue:orders")),
        ("ERR", report("NEW COLOUR red")),
        ("BADFIELD", report("FILL CUMQTY -1 AVGPX 10")),
        ("BADFIELD", report("FILL CUMQTY x AVGPX 10")),
        ("BADPRICE", report("FILL CUMQTY 1 AVGPX nan")),
    ];
    check_refused(&mut conn, &cases);
    // The lock is still there, so the refusals cost nothing.
    assert_eq!(conn.run(&format!("STRAT.EXTEND {KEY} {token} 60000")).int(), 1);
}
