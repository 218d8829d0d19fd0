//! What must come out: the fill rule of the paper broker, read off its description and nothing else.
//!
//! For each tick in file order: (1) orders due at or before its time are submitted; (2) the levels
//! are checked with it; (3) every open order of its symbol fills at its price. An entry not filled
//! when its exit time comes is cancelled. Plain loops; shares no line with the code under test.

use super::decimal::{MONEY_PLACES, PRICE_PLACES, text, units};

/// One trade of the file.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    pub ts_ms: i64,
    /// Index into the symbols of [`Day`].
    pub symbol: usize,
    /// In 10⁻⁸.
    pub price: i128,
}

/// The file.
#[derive(Debug, Default)]
pub struct Day {
    pub symbols: Vec<String>,
    pub ticks: Vec<Tick>,
}

/// A strategy with its times worked out.
#[derive(Debug, Clone)]
pub struct Plan {
    pub user: String,
    pub id: String,
    pub symbol: String,
    pub long: bool,
    /// As given.
    pub quantity: String,
    pub entry_at: i64,
    pub exit_at: i64,
    /// As given; empty for none.
    pub stop_loss: String,
    pub take_profit: String,
}

/// What the report must say of a strategy; decimals in their shortest form, `null` as an empty text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub position: &'static str,
    pub status: &'static str,
    pub entry_price: String,
    pub entry_ts_ms: String,
    pub exit_price: String,
    pub exit_ts_ms: String,
    pub exit_reason: &'static str,
    pub quantity: String,
    pub pnl: String,
}

/// Price and time of a fill.
type Fill = (i128, i64);

/// How far a strategy has come.
enum Stage {
    Waiting,
    EntryOpen,
    Held(Fill),
    ExitOpen(Fill, &'static str),
}

/// Plays the day for one strategy.
pub fn play(plan: &Plan, day: &Day) -> Outcome {
    let level = |text: &str| (!text.is_empty()).then(|| units(text, PRICE_PLACES));
    let (stop, target) = (level(&plan.stop_loss), level(&plan.take_profit));
    let own_symbol = day.symbols.iter().position(|symbol| *symbol == plan.symbol);
    // Nothing happens to a strategy before the first of its two times.
    let first_time = plan.entry_at.min(plan.exit_at);
    let start = day.ticks.partition_point(|tick| tick.ts_ms < first_time);
    let mut stage = Stage::Waiting;
    for tick in &day.ticks[start..] {
        // (1)
        if plan.exit_at <= tick.ts_ms {
            match stage {
                Stage::Waiting | Stage::EntryOpen => return outcome(plan, "NONE", "COMPLETED", None, None),
                Stage::Held(entry) => stage = Stage::ExitOpen(entry, if plan.long { "SELL" } else { "BUY" }),
                Stage::ExitOpen(..) => {}
            }
        } else if plan.entry_at <= tick.ts_ms && matches!(stage, Stage::Waiting) {
            stage = Stage::EntryOpen;
        }
        if Some(tick.symbol) != own_symbol {
            continue;
        }
        // (2)
        if let Stage::Held(entry) = stage {
            if stop.is_some_and(|stop| if plan.long { tick.price <= stop } else { tick.price >= stop }) {
                stage = Stage::ExitOpen(entry, "STOPLOSS");
            } else if target.is_some_and(|target| if plan.long { tick.price >= target } else { tick.price <= target }) {
                stage = Stage::ExitOpen(entry, "TAKEPROFIT");
            }
        }
        // (3)
        let fill = (tick.price, tick.ts_ms);
        match stage {
            Stage::EntryOpen => stage = Stage::Held(fill),
            Stage::ExitOpen(entry, reason) => return closed(plan, entry, fill, reason),
            Stage::Waiting | Stage::Held(_) => {}
        }
    }
    match stage {
        Stage::Waiting | Stage::EntryOpen => outcome(plan, "NONE", "RUNNING", None, None),
        Stage::Held(entry) | Stage::ExitOpen(entry, _) => {
            outcome(plan, if plan.long { "BOUGHT" } else { "SHORTED" }, "RUNNING", Some(entry), None)
        }
    }
}

fn closed(plan: &Plan, entry: Fill, exit: Fill, reason: &'static str) -> Outcome {
    let position = match reason {
        "STOPLOSS" => "EXITED_BY_SL",
        "TAKEPROFIT" => "EXITED_BY_TP",
        "SELL" => "SOLD",
        _ => "COVERED",
    };
    outcome(plan, position, "COMPLETED", Some(entry), Some((exit, reason)))
}

fn outcome(
    plan: &Plan,
    position: &'static str,
    status: &'static str,
    entry: Option<Fill>,
    exit: Option<(Fill, &'static str)>,
) -> Outcome {
    let quantity = units(&plan.quantity, PRICE_PLACES);
    let price = |fill: Option<Fill>| fill.map_or_else(String::new, |(price, _)| text(price, PRICE_PLACES));
    let time = |fill: Option<Fill>| fill.map_or_else(String::new, |(_, ts_ms)| ts_ms.to_string());
    let exit_fill = exit.map(|(fill, _)| fill);
    let gain = match (entry, exit_fill) {
        (Some((bought, _)), Some((sold, _))) if plan.long => (sold - bought) * quantity,
        (Some((sold, _)), Some((bought, _))) => (sold - bought) * quantity,
        _ => 0,
    };
    // The profit of what is still held is not known yet; what was never entered made nothing.
    let open = matches!(position, "BOUGHT" | "SHORTED");
    Outcome {
        position,
        status,
        entry_price: price(entry),
        entry_ts_ms: time(entry),
        exit_price: price(exit_fill),
        exit_ts_ms: time(exit_fill),
        exit_reason: exit.map_or("", |(_, reason)| reason),
        quantity: text(quantity, PRICE_PLACES),
        pnl: if open { String::new() } else { text(gain, MONEY_PLACES) },
    }
}

/// The corners of the rule, each by hand: prices in whole units, one other symbol.
#[cfg(test)]
mod tests {
    use super::*;

    fn day(ticks: &[(i64, usize, i128)]) -> Day {
        let tick = |&(ts_ms, symbol, price): &(i64, usize, i128)| Tick { ts_ms, symbol, price: price * 100_000_000 };
        Day { symbols: vec!["A".to_owned(), "B".to_owned()], ticks: ticks.iter().map(tick).collect() }
    }

    fn plan(long: bool, times: (i64, i64), stop: &str, target: &str) -> Plan {
        Plan {
            user: "u".to_owned(),
            id: "s".to_owned(),
            symbol: "A".to_owned(),
            long,
            quantity: "2".to_owned(),
            entry_at: times.0,
            exit_at: times.1,
            stop_loss: stop.to_owned(),
            take_profit: target.to_owned(),
        }
    }

    fn shown(plan: &Plan, day: &Day) -> String {
        let o = play(plan, day);
        format!(
            "{} {} {}@{} {}@{} {} {}",
            o.position, o.status, o.entry_price, o.entry_ts_ms, o.exit_price, o.exit_ts_ms, o.exit_reason, o.pnl
        )
    }

    #[test]
    fn entries_and_exits_fill_at_the_first_tick_of_their_symbol() {
        let day = day(&[(1, 0, 10), (5, 1, 99), (6, 0, 11), (7, 0, 12), (9, 1, 99), (12, 0, 13), (13, 0, 14)]);
        assert_eq!(shown(&plan(true, (5, 9), "", ""), &day), "SOLD COMPLETED 11@6 13@12 SELL 4");
        assert_eq!(shown(&plan(false, (5, 9), "", ""), &day), "COVERED COMPLETED 11@6 13@12 BUY -4");
        assert_eq!(shown(&plan(true, (6, 7), "", ""), &day), "SOLD COMPLETED 11@6 12@7 SELL 2");
        assert_eq!(shown(&plan(true, (6, 99), "", ""), &day), "BOUGHT RUNNING 11@6 @  ");
    }

    #[test]
    fn an_entry_that_waits_when_its_exit_comes_is_cancelled() {
        let day = day(&[(1, 0, 10), (5, 1, 99), (9, 1, 99), (12, 0, 13)]);
        assert_eq!(shown(&plan(true, (5, 9), "", ""), &day), "NONE COMPLETED @ @  0");
        assert_eq!(shown(&plan(true, (9, 5), "", ""), &day), "NONE COMPLETED @ @  0");
        assert_eq!(shown(&plan(true, (9, 9), "", ""), &day), "NONE COMPLETED @ @  0");
        assert_eq!(shown(&plan(true, (50, 60), "", ""), &day), "NONE RUNNING @ @  0");
    }

    #[test]
    fn levels_are_watched_from_the_tick_after_the_entry() {
        let day = day(&[(1, 0, 10), (2, 0, 10), (3, 0, 8), (4, 0, 12)]);
        assert_eq!(shown(&plan(true, (1, 99), "10", ""), &day), "EXITED_BY_SL COMPLETED 10@1 10@2 STOPLOSS 0");
        assert_eq!(shown(&plan(true, (1, 99), "9", "12"), &day), "EXITED_BY_SL COMPLETED 10@1 8@3 STOPLOSS -4");
        assert_eq!(shown(&plan(false, (1, 99), "11", "8"), &day), "EXITED_BY_TP COMPLETED 10@1 8@3 TAKEPROFIT 4");
        assert_eq!(shown(&plan(false, (1, 99), "11", ""), &day), "EXITED_BY_SL COMPLETED 10@1 12@4 STOPLOSS -4");
        // Both crossed: the stop is judged first. The timed exit submitted before the check wins.
        assert_eq!(shown(&plan(true, (1, 99), "10", "10"), &day), "EXITED_BY_SL COMPLETED 10@1 10@2 STOPLOSS 0");
        assert_eq!(shown(&plan(true, (1, 3), "9", ""), &day), "SOLD COMPLETED 10@1 8@3 SELL -4");
    }
}
