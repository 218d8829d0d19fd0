//! What must come out: the fill rule of the paper broker, read off its description and nothing else.
//!
//! For each tick in file order: (1) orders due at or before its time are submitted; (2) the levels
//! are checked with it, the best price of a trailing stop first; (3) every open order of its symbol fills at its price. An entry not filled
//! when its exit time comes is cancelled. Plain loops; shares no line with the code under test.

use super::decimal::{MONEY_PLACES, PRICE_PLACES, text, units};
use super::levels::Levels;

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
    /// As given, a price or a percentage; empty for none.
    pub trail: String,
}

#[cfg(test)]
impl Plan {
    /// Two of A, from 1 to 99, without levels.
    pub(super) fn example(long: bool) -> Self {
        let none = String::new;
        Self {
            user: "u".to_owned(),
            id: "s".to_owned(),
            symbol: "A".to_owned(),
            long,
            quantity: "2".to_owned(),
            entry_at: 1,
            exit_at: 99,
            stop_loss: none(),
            take_profit: none(),
            trail: none(),
        }
    }
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
    /// With the best price since the entry's, which is the first.
    Held(Fill, i128),
    ExitOpen(Fill, &'static str),
}

/// Plays the day for one strategy.
pub fn play(plan: &Plan, day: &Day) -> Outcome {
    let levels = Levels::of(plan);
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
                Stage::Held(entry, _) => stage = Stage::ExitOpen(entry, if plan.long { "SELL" } else { "BUY" }),
                Stage::ExitOpen(..) => {}
            }
        } else if plan.entry_at <= tick.ts_ms && matches!(stage, Stage::Waiting) {
            stage = Stage::EntryOpen;
        }
        if Some(tick.symbol) != own_symbol {
            continue;
        }
        // (2)
        if let Stage::Held(entry, best) = stage {
            let best = levels.best(best, tick.price);
            let reason = levels.reached(best, tick.price);
            stage = reason.map_or(Stage::Held(entry, best), |reason| Stage::ExitOpen(entry, reason));
        }
        // (3)
        let fill = (tick.price, tick.ts_ms);
        match stage {
            Stage::EntryOpen => stage = Stage::Held(fill, tick.price),
            Stage::ExitOpen(entry, reason) => return closed(plan, entry, fill, reason),
            Stage::Waiting | Stage::Held(..) => {}
        }
    }
    match stage {
        Stage::Waiting | Stage::EntryOpen => outcome(plan, "NONE", "RUNNING", None, None),
        Stage::Held(entry, _) | Stage::ExitOpen(entry, _) => {
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

#[cfg(test)]
mod tests;
