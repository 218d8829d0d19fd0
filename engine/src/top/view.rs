//! How a look is written down.

use super::look::{Look, STRATEGIES_MAX};
use crate::failure::one_line;
use serde_json::Value;
use strat_client::positions::Position;
use strat_core::StrategyKey;
use strat_core::strategy::Distance;

const COLUMNS: [&str; 11] =
    ["user", "strategy", "symbol", "side", "open", "entry", "last", "gain", "stop", "left", "pending"];
/// Columns that stand at the right, as numbers do.
const NUMBERS: std::ops::RangeInclusive<usize> = 4..=9;

/// The look as lines, at most so many rows of positions that the whole fits.
pub(super) fn lines(look: &Look, rows: usize) -> Vec<String> {
    let mut lines = vec![engine_line(look)];
    lines.extend(complaints(look));
    lines.push(module_line(look));
    lines.push(queues_line(look));
    lines.push(String::new());
    // The header and the line below the table.
    let room = rows.saturating_sub(lines.len() + 2);
    if look.module.is_ok() {
        lines.extend(table(&look.positions, room));
    } else {
        lines.push("open positions are not known while Redis does not answer".to_owned());
    }
    lines
}

fn engine_line(look: &Look) -> String {
    let engine = match &look.engine {
        Err(error) => return format!("engine   {} (is it running? http.addr says where it is asked)", one_line(error)),
        Ok(engine) => engine,
    };
    let text = |pointer: &str| one_line(engine.pointer(pointer).and_then(Value::as_str).unwrap_or("?"));
    let count = |pointer: &str| engine.pointer(pointer).and_then(Value::as_u64);
    let up = duration(count("/engine_uptime_in_seconds").unwrap_or(0));
    let watched = text("/guard/watching");
    format!(
        "engine   {}   {} {}   up {up}   stops watched by {watched}",
        text("/status"),
        text("/engine"),
        text("/engine_version")
    )
}

/// What the engine is not content with, one line each.
fn complaints(look: &Look) -> Vec<String> {
    let Ok(engine) = &look.engine else { return Vec::new() };
    let parts = ["redis", "postgres", "sync", "queues", "market", "guard"];
    let mut lines: Vec<_> = parts
        .iter()
        .filter_map(|part| Some((part, engine.pointer(&format!("/{part}/error"))?.as_str()?)))
        .map(|(part, error)| format!("!        {part}: {}", one_line(error)))
        .collect();
    if engine.get("reconciled").and_then(Value::as_bool) == Some(false) {
        lines.push("!        not reconciled: nothing is sent to the broker".to_owned());
    }
    lines
}

fn module_line(look: &Look) -> String {
    let counts = match &look.module {
        Err(error) => return format!("redis    {}", one_line(error)),
        Ok(counts) => counts,
    };
    let (ticks, fired) = look.rates.map_or(("?".to_owned(), "?".to_owned()), |(t, f)| (t.to_string(), f.to_string()));
    let mut line = format!(
        "redis    {ticks} ticks/s   {fired} fired/s   {} fired   {} armed   {} running of {} strategies   {} alerts",
        counts.fired, counts.armed, counts.running, counts.strategies, counts.alerts
    );
    for (count, what) in [(counts.draining, "storms under way"), (counts.unparseable, "NOT GUARDED: unreadable")] {
        if count > 0 {
            line.push_str(&format!("   {count} {what}"));
        }
    }
    line
}

fn queues_line(look: &Look) -> String {
    let Ok(engine) = &look.engine else { return "queues   ?".to_owned() };
    let count = |pointer: &str| {
        engine.pointer(pointer).and_then(Value::as_u64).map_or_else(|| "?".to_owned(), |count| count.to_string())
    };
    format!(
        "queues   {} exits   {} entries   journal {} unread, {} pending   last tick {} ms ago",
        count("/queues/exits"),
        count("/queues/orders"),
        count("/sync/unread"),
        count("/sync/pending"),
        count("/market/tick_age_ms"),
    )
}

/// `1d 2h`, `3h 4m`, `5m 6s`, `7s`
fn duration(seconds: u64) -> String {
    let parts = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = parts.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(parts.len() - 1);
    let mut rest = seconds;
    let shown = parts.iter().skip(first).take(2).map(|(unit, name)| {
        let text = format!("{}{name}", rest / unit);
        rest %= unit;
        text
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn table(positions: &[Position], room: usize) -> Vec<String> {
    let rows: Vec<_> = positions.iter().take(room).map(cells).collect();
    let width =
        |at: usize| rows.iter().map(|row| row[at].chars().count()).chain([COLUMNS[at].len()]).max().unwrap_or(0);
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let write = |row: &[String]| {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let width = widths[at];
            if NUMBERS.contains(&at) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![write(&COLUMNS.map(str::to_owned))];
    lines.extend(rows.iter().map(|row| write(row)));
    lines.push(match positions.len() {
        0 => "no open positions".to_owned(),
        count if count > room => format!("{room} of {count} open positions, nearest to their stops first"),
        count if count >= STRATEGIES_MAX => format!("{count} open positions, of the first {STRATEGIES_MAX} strategies"),
        count => format!("{count} open positions, nearest to their stops first"),
    });
    lines
}

fn cells(position: &Position) -> [String; COLUMNS.len()] {
    let strategy = &position.strategy;
    let (user, id) = StrategyKey::parse(strategy.key()).map_or(("?", "?"), |key| (key.user, key.strategy));
    let standing = position.standing.as_ref();
    let stop = standing.and_then(|standing| standing.stop);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        user.to_owned(),
        id.to_owned(),
        one_line(strategy.symbol()),
        position.side.to_string(),
        or_dash(standing.map(|standing| standing.open.to_string())),
        one_line(strategy.text("entry_price")),
        or_dash(position.last.as_deref().map(one_line)),
        or_dash(standing.and_then(|standing| standing.gain).map(|gain| gain.to_string())),
        stop.map_or_else(|| "NONE".to_owned(), |stop| stop.level.to_string()),
        or_dash(stop.and_then(left)),
        one_line(strategy.text("pending")),
    ]
}

/// `1.25%`
fn left(stop: Distance) -> Option<String> {
    let bps = stop.left_bps?;
    Some(format!("{}{}.{:02}%", if bps < 0 { "-" } else { "" }, bps.abs() / 100, bps.abs() % 100))
}

#[cfg(test)]
mod tests {
    use super::super::look::Counts;
    use super::*;
    use serde_json::json;
    use strat_client::Strategy;
    use strat_core::{Price, Side};

    fn position(user: &str, fields: &[(&str, &str)], last: Option<&str>) -> Position {
        let strategy = Strategy::new(format!("user:{user}:strategy:s1"), fields.iter().map(|(n, v)| (*n, *v)));
        let price = last.and_then(|text| Price::parse(text.as_bytes()).ok());
        let standing = price.and_then(|price| strategy.state().unwrap().standing(price, None));
        Position { strategy, side: Side::Long, last: last.map(str::to_owned), standing }
    }

    fn look(positions: Vec<Position>) -> Look {
        let engine = json!({
            "status": "unhealthy", "engine": "box:7", "engine_version": "0.1.0", "engine_uptime_in_seconds": 3_725,
            "reconciled": true, "postgres": {"status": "unhealthy", "error": "away\u{1b}[2J"},
            "queues": {"exits": 2, "orders": 3}, "sync": {"unread": null, "pending": 1},
            "market": {"tick_age_ms": 12}, "guard": {"watching": "redis"},
        });
        let counts = Counts { strategies: 9, running: 7, armed: 5, ..Counts::default() };
        Look { engine: Ok(engine), module: Ok(counts), rates: Some((40, 1)), positions }
    }

    #[test]
    fn a_look_says_health_rates_queues_and_how_far_stops_are() {
        let held = [
            ("symbol", "IBM"),
            ("quantity", "10"),
            ("position", "BOUGHT"),
            ("entry_price", "100"),
            ("stop_loss", "99"),
        ];
        let lines = lines(&look(vec![position("alice", &held, Some("101.00")), position("bob", &held[..4], None)]), 24);
        let text = lines.join("\n");
        for words in [
            "unhealthy   box:7 0.1.0   up 1h 2m   stops watched by redis",
            "!        postgres: away [2J",
            "40 ticks/s   1 fired/s",
            "7 running of 9 strategies",
            "2 exits   3 entries   journal ? unread, 1 pending   last tick 12 ms ago",
            "2 open positions, nearest to their stops first",
        ] {
            assert!(text.contains(words), "no '{words}' in\n{text}");
        }
        let alice: Vec<_> = lines.iter().find(|line| line.starts_with("alice")).unwrap().split_whitespace().collect();
        assert_eq!(alice, ["alice", "s1", "IBM", "LONG", "10", "100", "101.00", "10", "99", "1.98%"]);
        assert!(!text.contains('\u{1b}'), "nothing moves the cursor");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let held = [("symbol", "IBM"), ("quantity", "10"), ("position", "BOUGHT"), ("stop_loss", "99")];
        let positions: Vec<_> = (0..50).map(|n| position(&format!("u{n}"), &held, Some("100"))).collect();
        let lines = lines(&look(positions), 20);
        assert_eq!(lines.len(), 20);
        assert_eq!(lines.last().unwrap(), "13 of 50 open positions, nearest to their stops first");
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let look = Look {
            engine: Err("nobody answers".to_owned()),
            module: Err("away".to_owned()),
            rates: None,
            positions: Vec::new(),
        };
        let text = lines(&look, 24).join("\n");
        assert!(text.contains("nobody answers (is it running?") && text.contains("redis    away"), "{text}");
        assert!(text.contains("open positions are not known") && look.is_blind());
    }

    #[test]
    fn durations_are_short() {
        for (seconds, shown) in [(0, "0s"), (61, "1m 1s"), (7_200, "2h 0m"), (90_000, "1d 1h")] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
