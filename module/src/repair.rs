//! The two sets follow the hashes: `active_strategies` and `symbol:{symbol}:strategies`.
//!
//! A hash that changed by a command is mended in that command. One that changed by another road is mended in the
//! next turn of the event loop. A set that was itself tampered with is compared with the book as a whole.

use crate::server::{self, Point, reach};
use crate::state::{self, Mend, Pass, SetRepair};
use redis_module::Context;
use strat_core::book::Membership;
use strat_core::key;

/// Members looked at in one slice of a comparison.
const SLICE: usize = 256;

/// Applies the mends queued so far. Answers whether there were any.
pub(crate) fn mend_some(ctx: &Context) -> bool {
    let mends: Vec<Mend> = state::with(|state| {
        let n = state.mends.len().min(SLICE);
        state.mends.drain(..n).collect()
    });
    for mend in &mends {
        server::in_database(ctx, mend.db, || mend_one(ctx, mend));
    }
    !mends.is_empty()
}

/// Applies every queued mend: commands do this before they answer.
pub(crate) fn mend_all(ctx: &Context) {
    while mend_some(ctx) {}
}

fn mend_one(ctx: &Context, mend: &Mend) {
    let member = mend.member.as_bytes();
    let active = key::active(&mend.prefix);
    let symbol_set =
        |membership: &Membership| membership.0.as_ref().map(|symbol| key::symbol_set(&mend.prefix, symbol));
    let (before, after) = (symbol_set(&mend.before), symbol_set(&mend.after));
    match (&before, &after) {
        (None, Some(_)) => write_set(ctx, "SADD", &active, &[member]),
        (Some(_), None) => write_set(ctx, "SREM", &active, &[member]),
        _ => {}
    }
    if before != after {
        if let Some(set) = before {
            write_set(ctx, "SREM", &set, &[member]);
        }
        if let Some(set) = after {
            write_set(ctx, "SADD", &set, &[member]);
        }
    }
}

fn write_set(ctx: &Context, command: &str, set: &str, members: &[&[u8]]) {
    let args: Vec<&[u8]> = std::iter::once(set.as_bytes()).chain(members.iter().copied()).collect();
    state::with(|state| state.writing_sets = true);
    let write = || {
        reach(Point::Write);
        server::write(ctx, command, &args)
    };
    // Behind its own catch: it may run in the middle of a change.
    let result = server::attempt(ctx, command, write).unwrap_or_else(|| Err("internal error".to_owned()));
    state::with(|state| {
        state.writing_sets = false;
        state.counters.mended += members.len() as u64;
        state.counters.write_errors += u64::from(result.is_err());
    });
    if let Err(error) = result {
        server::log_warning(ctx, &format!("{command} {set} failed: {error}"));
    }
}

/// Compares one slice of a tampered set with the book. Answers whether there is more to do.
pub(crate) fn compare_slice(ctx: &Context) -> bool {
    let next = state::with(|state| {
        state
            .repair_in_hand
            .take()
            .or_else(|| state.repairs.pop_first().map(|repair| (repair, Pass::Stale(b"0".to_vec()))))
    });
    let Some((repair, pass)) = next else { return false };
    let then = server::in_database(ctx, repair.db, || match &pass {
        Pass::Stale(cursor) => remove_stale(ctx, &repair, cursor),
        Pass::Missing(slot) => add_missing(ctx, &repair, *slot),
    });
    state::with(|state| {
        // A key event in between may have asked for a fresh start.
        if !state.repairs.contains(&repair) {
            state.repair_in_hand = then.flatten().map(|pass| (repair, pass));
        }
        state.repair_in_hand.is_some() || !state.repairs.is_empty()
    })
}

fn belongs(repair: &SetRepair, member: &[u8]) -> bool {
    let hash = std::str::from_utf8(member).ok().and_then(|member| key::hash_of_member(&repair.prefix, member));
    let Some(hash) = hash else { return false };
    let membership = state::with(|state| state.book(repair.db).membership_of(&hash));
    match &repair.symbol {
        None => membership.0.is_some(),
        Some(symbol) => membership.0.as_ref() == Some(symbol),
    }
}

fn remove_stale(ctx: &Context, repair: &SetRepair, cursor: &[u8]) -> Option<Pass> {
    let set = repair.key();
    if !matches!(server::key_kind(ctx, &set), server::KeyKind::Set) {
        // Nothing there, or somebody's string: only then is the name free for us.
        return (server::key_kind(ctx, &set) == server::KeyKind::Empty).then_some(Pass::Missing(0));
    }
    let count = SLICE.to_string();
    let reply = server::read(ctx, "SSCAN", &[set.as_bytes(), cursor, b"COUNT", count.as_bytes()]).ok()?;
    let mut parts = reply.into_array().into_iter();
    let next = parts.next()?.into_bytes()?;
    let members: Vec<Vec<u8>> = parts.next()?.into_array().into_iter().filter_map(server::Reply::into_bytes).collect();
    let stale: Vec<&[u8]> = members.iter().map(Vec::as_slice).filter(|member| !belongs(repair, member)).collect();
    if !stale.is_empty() {
        write_set(ctx, "SREM", &set, &stale);
    }
    Some(if next == b"0" { Pass::Missing(0) } else { Pass::Stale(next) })
}

fn add_missing(ctx: &Context, repair: &SetRepair, from: u32) -> Option<Pass> {
    let set = repair.key();
    let (keys, next) =
        state::with(|state| state.book(repair.db).running_from(&repair.prefix, repair.symbol.as_deref(), from, SLICE));
    let members: Vec<String> =
        keys.iter().filter_map(|key| strat_core::StrategyKey::parse(key).map(|key| key.member())).collect();
    let args: Vec<&[u8]> = std::iter::once(set.as_bytes()).chain(members.iter().map(String::as_bytes)).collect();
    if !members.is_empty() {
        let present = server::read(ctx, "SMISMEMBER", &args).map_or_else(|_| Vec::new(), server::Reply::into_array);
        let missing: Vec<&[u8]> = members
            .iter()
            .zip(&present)
            .filter(|(_, present)| present.integer() == 0)
            .map(|(member, _)| member.as_bytes())
            .collect();
        if !missing.is_empty() {
            write_set(ctx, "SADD", &set, &missing);
        }
    }
    next.map(Pass::Missing)
}
