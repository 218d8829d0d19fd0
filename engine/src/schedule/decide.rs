//! What the scheduler wants of a strategy. Pure.

use super::{DAILY, Missed, Plan, REPEAT_FIELD, ScheduleError, Times};
use crate::calendar::Calendars;
use strat_client::Strategy;
use strat_core::{Action, Position, Quantity, Side, Status};

/// What is to be done about a strategy's times.
#[derive(Debug)]
pub(super) enum Wish {
    /// They are right.
    Nothing,
    /// Set them; an entry time may have been passed over.
    Times(Plan, Option<i64>),
    /// It has completed, and begins again at these times.
    Again(Plan),
    /// They cannot be computed.
    Trouble(ScheduleError),
}

/// Judges a strategy at `now_ms`. `anew`: its times are to be computed again although it has some.
pub(super) fn wish(hash: &Strategy, calendars: &Calendars, now_ms: i64, missed: Missed, anew: bool) -> Wish {
    // A hash that does not parse is the module's to complain about.
    let Ok(strategy) = hash.state() else { return Wish::Nothing };
    if strategy.status == Status::Completed && hash.get(REPEAT_FIELD) == Some(DAILY) && strategy.is_idle() {
        return again(hash, &strategy, calendars, now_ms, missed).unwrap_or_else(Wish::Trouble);
    }
    if strategy.status != Status::Running {
        return Wish::Nothing;
    }
    match Times::read(|name| hash.get(name), calendars) {
        Ok(times) if times.is_empty() => Wish::Nothing,
        Ok(times) => wish_of_times(hash, &strategy, &times, (now_ms, missed, anew)).unwrap_or_else(Wish::Trouble),
        Err(error) => Wish::Trouble(error),
    }
}

/// When a strategy that has completed begins again: on the first session after the day of its entry, or of its end if it never
/// entered.
fn again(
    hash: &Strategy,
    strategy: &strat_core::Strategy,
    calendars: &Calendars,
    now_ms: i64,
    missed: Missed,
) -> Result<Wish, ScheduleError> {
    let times = Times::read(|name| hash.get(name), calendars)?;
    let ended_ms = hash.get("terminated_at").and_then(|text| text.parse().ok());
    let entered_ms = strategy.cycle_at.or(ended_ms).unwrap_or(now_ms);
    Ok(Wish::Again(times.plan_again(entered_ms, now_ms, missed.of(hash))?.plan))
}

fn wish_of_times(
    hash: &Strategy,
    strategy: &strat_core::Strategy,
    times: &Times,
    (now_ms, missed, anew): (i64, Missed, bool),
) -> Result<Wish, ScheduleError> {
    let missed = missed.of(hash);
    let (entry_at, exit_at) = match Action::entry(strategy.side) {
        Action::Buy => (strategy.buy_at, strategy.sell_at),
        _ => (strategy.sell_at, strategy.buy_at),
    };
    if strategy.open_quantity() > Quantity::ZERO || strategy.entry_in_flight() {
        if !times.ends_by_time() || (exit_at.is_some() && !anew && times.has_exit()) {
            return Ok(Wish::Nothing);
        }
        let exit = times.plan_exit(now_ms)?;
        let planned = match Action::entry(strategy.side) {
            Action::Buy => exit.sell_at,
            _ => exit.buy_at,
        };
        // One that somebody set himself, before the square-off, stays.
        if exit_at.is_some_and(|at| !anew && planned.is_none_or(|planned| at <= planned)) {
            return Ok(Wish::Nothing);
        }
        let plan = match strategy.side {
            Side::Long => Plan { buy_at: strategy.buy_at, sell_at: exit.sell_at },
            Side::Short => Plan { buy_at: exit.buy_at, sell_at: strategy.sell_at },
        };
        return Ok(Wish::Times(plan, None));
    }
    if strategy.position != Position::None || !strategy.is_idle() {
        return Ok(Wish::Nothing);
    }
    let unplanned = (times.has_entry() && entry_at.is_none()) || (times.has_exit() && exit_at.is_none());
    let late = entry_at.is_some_and(|at| at.saturating_add(missed.grace_ms()) < now_ms);
    let over = exit_at.is_some_and(|at| at <= now_ms);
    if !(unplanned || anew || late || over) {
        return Ok(Wish::Nothing);
    }
    let planned = times.plan(now_ms, missed)?;
    let same = planned.plan == Plan { buy_at: strategy.buy_at, sell_at: strategy.sell_at };
    Ok(if same { Wish::Nothing } else { Wish::Times(planned.plan, planned.skipped) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_778_068_800_000; // 2026-05-06T12:00:00Z
    const HOUR: i64 = 3_600_000;

    fn judge(fields: &[(&str, &str)], anew: bool) -> Wish {
        let base = [("symbol", "IBM"), ("quantity", "1"), ("buy_time", "13:00"), ("sell_time", "15:00")];
        let all = base.iter().chain(fields).map(|(name, value)| (*name, value.as_bytes().to_vec()));
        let mut merged: Vec<(&str, Vec<u8>)> = Vec::new();
        for (name, value) in all {
            merged.retain(|(known, _)| *known != name);
            merged.push((name, value));
        }
        let hash = Strategy::new("user:a:strategy:s", merged);
        wish(&hash, &Calendars::load(None).unwrap(), NOON, Missed::Late { grace_ms: 300_000 }, anew)
    }

    fn times(wish: Wish) -> (Option<i64>, Option<i64>, bool) {
        match wish {
            Wish::Times(plan, skipped) => {
                (plan.buy_at.map(|at| (at - NOON) / HOUR), plan.sell_at.map(|at| (at - NOON) / HOUR), skipped.is_some())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_strategy_without_times_gets_them_once() {
        assert_eq!(times(judge(&[], false)), (Some(1), Some(3), false));
        let (buy, sell) = ((NOON + HOUR).to_string(), (NOON + 3 * HOUR).to_string());
        let planned = [("buy_at", buy.as_str()), ("sell_at", sell.as_str())];
        assert!(matches!(judge(&planned, false), Wish::Nothing));
        assert!(matches!(judge(&planned, true), Wish::Nothing));
        let moved = [planned[0], planned[1], ("buy_time", "14:00")];
        assert!(matches!(judge(&moved, false), Wish::Nothing));
        assert_eq!(times(judge(&moved, true)).0, Some(2));
    }

    #[test]
    fn only_running_strategies_with_times_are_planned() {
        assert!(matches!(judge(&[("status", "STOPPED")], false), Wish::Nothing));
        assert!(matches!(judge(&[("buy_time", ""), ("sell_time", "")], false), Wish::Nothing));
        assert!(matches!(judge(&[("timezone", "Mars/Base")], false), Wish::Trouble(_)));
    }

    #[test]
    fn a_missed_entry_waits_for_the_next_session_unless_its_own_grace_is_longer() {
        let missed = [("buy_time", "09:00")];
        assert_eq!(times(judge(&missed, false)), (Some(21), Some(27), true));
        assert_eq!(
            times(judge(&[("buy_time", "09:00"), ("grace_seconds", "86400")], false)),
            (Some(-3), Some(3), false)
        );
        let at = (NOON - 3 * HOUR).to_string();
        assert_eq!(
            times(judge(&[("buy_time", "09:00"), ("buy_at", &at), ("sell_at", "1")], false)),
            (Some(21), Some(27), true)
        );
    }

    #[test]
    fn a_held_position_keeps_its_exit_time_and_gets_one_if_it_has_none() {
        let held = [("position", "BOUGHT"), ("sell_time", "11:00")];
        assert_eq!(times(judge(&held, false)), (None, Some(-1), false));
        assert!(matches!(judge(&[held[0], held[1], ("sell_at", "5")], false), Wish::Nothing));
        assert!(matches!(judge(&[("position", "SOLD")], false), Wish::Nothing));
    }
}
