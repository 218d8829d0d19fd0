//! Which of two copies of a strategy is right.

use crate::config::UnknownPolicy;
use crate::store::{Fields, Row, count, state};
use strat_core::field::OnStop;
use strat_core::{Action, Status};

/// What to do about a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: both agree, or it is in no need of being in Redis.
    Agree,
    /// Into Redis, where it is missing.
    Load,
    /// Into Postgres, where it is missing.
    Adopt(&'static str),
    /// Out of Redis.
    Remove,
    /// The hash is right, the row follows.
    HashWins(&'static str),
    /// The row is right, the hash follows.
    RowWins(&'static str),
}

/// Compares a row with a hash. Both are as they were at nearly the same moment, with the journal drained in between.
#[must_use]
pub fn judge(row: Option<&Row>, hash: Option<&Fields>, policy: UnknownPolicy) -> Verdict {
    match (row.filter(|row| !row.removed), hash) {
        (None, None) => Verdict::Agree,
        (None, Some(hash)) => unknown(hash, policy),
        (Some(row), None) if is_live(row) => Verdict::Load,
        (Some(_), None) => Verdict::Agree,
        (Some(row), Some(hash)) => {
            let (kept, live) = (row.version(), count(hash, "version"));
            if row.forked && !same(&row.fields, hash) {
                return Verdict::RowWins("Redis lost changes, and was changed since");
            }
            if row.forked {
                return Verdict::HashWins("nothing that Redis lost is missing any more");
            }
            if kept > live {
                return Verdict::RowWins("Redis lost the newest changes");
            }
            if kept < live {
                return Verdict::HashWins("changes are missing in the journal");
            }
            if same(&row.fields, hash) {
                Verdict::Agree
            } else {
                Verdict::HashWins("fields were written past the commands")
            }
        }
    }
}

fn unknown(hash: &Fields, policy: UnknownPolicy) -> Verdict {
    let idle = state(hash).is_ok_and(|state| state.is_idle());
    match policy {
        UnknownPolicy::Adopt => Verdict::Adopt("Postgres did not know it"),
        UnknownPolicy::Remove if idle => Verdict::Remove,
        UnknownPolicy::Remove => Verdict::Adopt("Postgres did not know it, and it is in the market"),
    }
}

/// Whether Redis has to know it: it runs, or it is in the market.
fn is_live(row: &Row) -> bool {
    row.state().is_ok_and(|state| state.status == Status::Running || !state.is_idle())
}

/// The fields with which a row goes into Redis.
///
/// A pending order may have reached the broker without Postgres hearing of it. It goes in as one that works there, so
/// that it is looked up before it is sent again; enqueued like a new one it would just be sent.
#[must_use]
pub fn to_load(row: &Row) -> Fields {
    let mut fields = row.fields.clone();
    if row.text("working").is_empty()
        && let Some(pending) = fields.remove("pending")
    {
        fields.insert("working".to_owned(), pending);
    }
    if let Some(exit) = stopped(row) {
        fields.insert("pending".to_owned(), exit.to_string());
    }
    fields
}

/// The fields with which a row comes in an older hash's place. What a tick fired there meanwhile stays asked for.
#[must_use]
pub fn to_replace(row: &Row, hash: &Fields) -> Fields {
    let mut fields = to_load(row);
    if let Some(exit) = fired(row, hash) {
        fields.insert("pending".to_owned(), exit.to_string());
    }
    // The hash may have had more changes than the row: versions only rise.
    fields.insert("version".to_owned(), row.version().max(count(hash, "version")).to_string());
    fields
}

/// What its user wants closed, who stopped it while Redis did not know that it was in the market. An entry in flight is
/// ended in any case.
fn stopped(row: &Row) -> Option<Action> {
    let state = row.state().ok()?;
    let held = state.position.is_open() && state.on_stop == OnStop::SquareOff;
    let asked = state.exit_in_flight() || state.retry_at.is_some();
    let wanted = row.forked && state.status == Status::Stopped && (held || state.entry_in_flight());
    (wanted && !asked).then_some(Action::SquareOff)
}

/// An exit that an older hash asks for and the row does not know of, at a level that the row has as well.
fn fired(row: &Row, hash: &Fields) -> Option<Action> {
    let (kept, old) = (row.state().ok()?, state(hash).ok()?);
    let exit = old.pending?;
    let levels: &[&str] = match exit {
        Action::StopLoss => &["stop_loss", "trail"],
        Action::TakeProfit => &["take_profit"],
        // Times come again. A user's word may be older than the row, where he said something else.
        _ => return None,
    };
    // What fired was held: the row may not have heard of the fill yet.
    let held = kept.position.is_open() || kept.entry_in_flight();
    let guarded = kept.status == Status::Running && held && kept.cycle == old.cycle;
    let asked = kept.exit_in_flight() || kept.retry_at.is_some();
    let same = levels.iter().all(|level| row.fields.get(*level) == hash.get(*level));
    // A row that has not heard of the fill has no price that following begins with.
    let begun_anew = kept.trail_ref.is_some() && kept.trail_ref != old.trail_ref;
    (guarded && !asked && same && !begun_anew).then_some(exit)
}

/// Equal, where an empty text and none mean the same.
fn same(one: &Fields, other: &Fields) -> bool {
    let filled = |fields: &Fields| {
        fields.iter().filter(|(_, text)| !text.is_empty()).map(|(n, t)| (n.clone(), t.clone())).collect::<Vec<_>>()
    };
    filled(one) == filled(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let base = [("symbol", "IBM"), ("quantity", "10")];
        base.iter().chain(pairs).map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect()
    }

    fn row(pairs: &[(&str, &str)]) -> Row {
        Row { user: "a".to_owned(), strategy: "s".to_owned(), fields: fields(pairs), removed: false, forked: false }
    }

    fn judged(row: Option<&Row>, hash: Option<&Fields>) -> Verdict {
        judge(row, hash, UnknownPolicy::Adopt)
    }

    #[test]
    fn what_runs_or_is_in_the_market_must_be_in_redis() {
        assert_eq!(judged(Some(&row(&[])), None), Verdict::Load);
        assert_eq!(judged(Some(&row(&[("status", "COMPLETED")])), None), Verdict::Agree);
        assert_eq!(judged(Some(&row(&[("status", "STOPPED"), ("pending", "SQUAREOFF")])), None), Verdict::Load);
        assert_eq!(judged(Some(&row(&[("status", "STOPPED"), ("position", "BOUGHT")])), None), Verdict::Load);
        assert_eq!(judged(Some(&Row { removed: true, ..row(&[]) }), None), Verdict::Agree);
    }

    #[test]
    fn the_higher_version_wins_and_at_a_tie_what_was_written_by_hand() {
        let kept = row(&[("version", "5")]);
        assert!(matches!(judged(Some(&kept), Some(&fields(&[("version", "4")]))), Verdict::RowWins(_)));
        assert!(matches!(judged(Some(&kept), Some(&fields(&[("version", "6")]))), Verdict::HashWins(_)));
        assert!(matches!(
            judged(Some(&kept), Some(&fields(&[("version", "5"), ("stop_loss", "9")]))),
            Verdict::HashWins(_)
        ));
        assert_eq!(judged(Some(&kept), Some(&fields(&[("version", "5"), ("error", "")]))), Verdict::Agree);
    }

    #[test]
    fn a_strategy_that_only_redis_knows_is_adopted_or_removed_but_never_with_a_position() {
        let removed = |pairs: &[(&str, &str)]| judge(None, Some(&fields(pairs)), UnknownPolicy::Remove);
        assert!(matches!(judged(None, Some(&fields(&[]))), Verdict::Adopt(_)));
        assert_eq!(removed(&[]), Verdict::Remove);
        assert!(matches!(removed(&[("position", "BOUGHT")]), Verdict::Adopt(_)));
        assert!(matches!(removed(&[("pending", "BUY")]), Verdict::Adopt(_)));
    }

    #[test]
    fn what_fired_on_an_older_hash_stays_asked_for_at_the_same_level() {
        let open = [("position", "BOUGHT"), ("filled_quantity", "4"), ("stop_loss", "95"), ("working", "BUY")];
        let old = [("position", "BOUGHT"), ("filled_quantity", "2"), ("stop_loss", "95"), ("pending", "STOPLOSS")];
        let replaced = |kept: &[(&str, &str)], old: &[(&str, &str)]| {
            to_replace(&row(kept), &fields(old)).get("pending").cloned().unwrap_or_default()
        };
        let with = |given: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]| {
            [more, given].concat().into_iter().rev().collect::<Vec<_>>()
        };
        assert_eq!(replaced(&open, &old), "STOPLOSS");
        assert_eq!(replaced(&open, &[("position", "BOUGHT"), ("stop_loss", "95")]), "", "nothing fired");
        let moved = [("position", "BOUGHT"), ("stop_loss", "94"), ("pending", "STOPLOSS")];
        assert_eq!(replaced(&open, &moved), "", "its user had moved it");
        assert_eq!(replaced(&with(&open, &[("status", "STOPPED")]), &old), "", "its user had stopped it");
        assert_eq!(replaced(&with(&open, &[("cycle", "2")]), &old), "", "of another cycle");
        assert_eq!(replaced(&with(&open, &[("retry_at", "9"), ("retry_action", "STOPLOSS")]), &old), "", "asked for");
        assert_eq!(replaced(&[("position", "EXITED_BY_SL"), ("stop_loss", "95")], &old), "", "nothing is held");
        let trailing = with(&old, &[("trail", "5"), ("trail_ref", "100")]);
        assert_eq!(replaced(&open, &trailing), "", "its user had taken the trail away");
        assert_eq!(replaced(&with(&open, &[("trail", "5")]), &trailing), "STOPLOSS", "nor of what is followed");
        assert_eq!(replaced(&with(&open, &[("trail", "5"), ("trail_ref", "90")]), &trailing), "", "begun anew");
        let entering = [("working", "BUY"), ("stop_loss", "95")];
        assert_eq!(replaced(&entering, &old), "STOPLOSS", "the row has not heard of the fill yet");
    }

    #[test]
    fn what_redis_lost_is_restored_however_often_it_was_changed_since() {
        let forked = |pairs: &[(&str, &str)]| Row { forked: true, ..row(pairs) };
        let open = forked(&[("version", "4"), ("position", "BOUGHT"), ("filled_quantity", "10")]);
        let beyond = fields(&[("version", "6"), ("pending", "BUY")]);
        assert!(matches!(judged(Some(&open), Some(&beyond)), Verdict::RowWins(_)));
        let restored = to_replace(&open, &beyond);
        assert_eq!((restored.get("version").map(String::as_str), restored.get("pending")), (Some("6"), None));
        assert!(matches!(judged(Some(&open), Some(&open.fields)), Verdict::HashWins(_)), "the mark goes away");
        let stopped = forked(&[("status", "STOPPED"), ("position", "BOUGHT"), ("filled_quantity", "10")]);
        let closing = to_replace(&stopped, &fields(&[("status", "STOPPED")]));
        assert_eq!(closing.get("pending").map(String::as_str), Some("SQUAREOFF"));
        assert_eq!(to_load(&stopped).get("pending").map(String::as_str), Some("SQUAREOFF"), "with everything gone too");
        let entering = forked(&[("status", "STOPPED"), ("pending", "BUY"), ("on_stop", "LEAVE")]);
        let ended = to_replace(&entering, &fields(&[("status", "STOPPED")]));
        assert_eq!(
            ["working", "pending"].map(|name| ended[name].as_str()),
            ["BUY", "SQUAREOFF"],
            "no entry after a stop"
        );
    }

    #[test]
    fn a_pending_order_is_loaded_as_one_that_may_be_at_the_broker() {
        let loaded = |pairs: &[(&str, &str)]| {
            let fields = to_load(&row(pairs));
            ["pending", "working"].map(|name| fields.get(name).cloned().unwrap_or_default())
        };
        assert_eq!(loaded(&[("pending", "BUY")]), ["", "BUY"]);
        assert_eq!(loaded(&[("working", "SELL")]), ["", "SELL"]);
        assert_eq!(loaded(&[("working", "BUY"), ("pending", "STOPLOSS")]), ["STOPLOSS", "BUY"]);
    }
}
