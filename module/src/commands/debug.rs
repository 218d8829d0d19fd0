//! `STRAT.DEBUG VERIFY`, `STRAT.DEBUG PANIC point [AFTER n] [TIMES n]`

use crate::args::Args;
use crate::keyspace;
use crate::server::{self, Found, KeyKind, Point, Rehearsal, databases, in_database, keys_of_database};
use crate::state::{self, SetRepair};
use redis_module::{Context, RedisString, RedisValue};
use std::collections::BTreeSet;
use strat_core::{AlertKey, Refusal, Status, StrategyKey, key};

/// Does what the subcommand says.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.DEBUG", args);
    if args.option("VERIFY") {
        args.end()?;
        return Ok(verify(ctx));
    }
    if args.option("PANIC") {
        let rehearsal = rehearsal(&mut args)?;
        args.end()?;
        server::check_panic_allowed(ctx)?;
        server::arm_panic(rehearsal);
        return Ok(RedisValue::SimpleStringStatic("OK"));
    }
    Err(args.syntax())
}

/// `point [AFTER n] [TIMES n]`: where to panic, how often to pass it before, how often to panic then.
fn rehearsal(args: &mut Args<'_>) -> Result<Rehearsal, Refusal> {
    let point = Point::parse(args.text()?).ok_or_else(|| args.syntax())?;
    let mut count = |option: &str, default: u32| {
        let given = args.option(option).then(|| args.count(option, 0, i64::from(u32::MAX))).transpose()?;
        Ok(given.map_or(default, |count| u32::try_from(count).unwrap_or(default)))
    };
    Ok(Rehearsal { point, after: count("AFTER", 0)?, times: count("TIMES", 1)? })
}

/// Compares the books and the sets with a scan of the hashes, in every database. Replies the differences, one line
/// each; nothing is changed. Blocks the server while it scans: for tests and for the night.
fn verify(ctx: &Context) -> RedisValue {
    let mut differences = Vec::new();
    for db in databases(ctx).collect::<Vec<_>>() {
        let found = in_database(ctx, db, || verify_database(ctx, db)).unwrap_or_default();
        differences.extend(found.into_iter().map(|line| format!("db{db}: {line}")));
    }
    state::with(|state| state.counters.last_mismatches = differences.len() as u64);
    RedisValue::Array(differences.into_iter().map(RedisValue::BulkString).collect())
}

fn verify_database(ctx: &Context, db: i32) -> Vec<String> {
    let mut differences = state::with(|state| state.book(db).inconsistencies());
    let mut expected: BTreeSet<(SetRepair, String)> = BTreeSet::new();
    let names = keys_of_database(ctx, |name| StrategyKey::parse(name).is_some());
    for name in &names {
        verify_hash(ctx, db, name, &mut differences, &mut expected);
    }
    let hashes: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    state::with(|state| {
        let orphans = state
            .book(db)
            .keys()
            .filter(|name| !hashes.contains(name.as_str()))
            .map(|name| format!("{name}: in the book, but there is no hash"));
        differences.extend(orphans.collect::<Vec<_>>());
    });
    verify_sets(ctx, db, &expected, &mut differences);
    verify_trails(ctx, db, &mut differences);
    verify_alerts(ctx, db, &mut differences);
    differences
}

/// What the trigger book watches against the alerts' hashes.
fn verify_alerts(ctx: &Context, db: i32, differences: &mut Vec<String>) {
    let mut names: BTreeSet<_> =
        state::with(|state| state.book(db).alerts("", None, usize::MAX).keys.into_iter().collect());
    names.extend(keys_of_database(ctx, |name| AlertKey::parse(name).is_some()));
    for name in &names {
        let Some(key) = AlertKey::parse(name) else { continue };
        let found = server::find_alert(ctx, &key);
        if let Some(Err(reason)) = &found {
            differences.push(format!("{name}: not watched, the hash does not parse: {reason}"));
        }
        let said = found.and_then(Result::ok).map(|alert| (alert.symbol.clone(), alert.armed()));
        let held = state::with(|state| state.book(db).alert_of(&key).map(|(symbol, armed)| (symbol.to_owned(), armed)));
        if held != said {
            differences.push(format!("{name}: the book holds {held:?}, the hash says {said:?}"));
        }
    }
}

/// What trailing stops follow against what the durable keys say.
fn verify_trails(ctx: &Context, db: i32, differences: &mut Vec<String>) {
    let is_trail = |name: &str| matches!(key::parse_derived(name), Some((_, key::DerivedKey::Trail(_))));
    let name = |symbol: &str| key::split_tag(symbol).map(|(prefix, symbol)| key::trail(prefix, symbol));
    let mut names: BTreeSet<_> = state::with(|state| state.book(db).trail_symbols().filter_map(name).collect());
    names.extend(keys_of_database(ctx, is_trail));
    for name in names {
        let agrees = keyspace::with_trail(ctx, &name, |symbol, fields| {
            state::with(|state| state.book(db).agrees_with_trail(symbol, fields))
        });
        if agrees == Some(false) {
            differences.push(format!("{name} does not say what trailing stops follow"));
        }
    }
}

fn verify_hash(
    ctx: &Context,
    db: i32,
    name: &str,
    differences: &mut Vec<String>,
    expected: &mut BTreeSet<(SetRepair, String)>,
) {
    let Some(key) = StrategyKey::parse(name) else { return };
    let found = server::find_strategy(ctx, name.as_bytes());
    let in_book = state::with(|state| {
        state.book(db).arming_of(name).map(|(arming, status, symbol)| (arming, status, symbol.to_owned()))
    });
    match (found, in_book) {
        (Found::Strategy(strategy), in_book) => {
            if strategy.status == Status::Running {
                for symbol in [None, Some(strategy.symbol.clone())] {
                    expected.insert((SetRepair { db, prefix: key.prefix.to_owned(), symbol }, key.member()));
                }
            }
            let derived = (strategy.arming(), strategy.status, strategy.symbol);
            if in_book.as_ref() != Some(&derived) {
                differences.push(format!("{name}: the book holds {in_book:?}, the hash says {derived:?}"));
            }
        }
        (Found::Invalid(reason), _) => {
            differences.push(format!("{name}: not guarded, the hash does not parse: {reason}"))
        }
        (Found::Nothing | Found::WrongType, Some(_)) => {
            differences.push(format!("{name}: in the book, but it is no strategy"))
        }
        (Found::Nothing | Found::WrongType, None) => {}
    }
}

fn verify_sets(ctx: &Context, db: i32, expected: &BTreeSet<(SetRepair, String)>, differences: &mut Vec<String>) {
    let mut actual = BTreeSet::new();
    let derived_set = |name: &str| match key::parse_derived(name) {
        Some((prefix, key::DerivedKey::Active)) => Some(SetRepair { db, prefix: prefix.to_owned(), symbol: None }),
        Some((prefix, key::DerivedKey::SymbolSet(symbol))) => {
            Some(SetRepair { db, prefix: prefix.to_owned(), symbol: Some(symbol.to_owned()) })
        }
        _ => None,
    };
    for name in keys_of_database(ctx, |name| derived_set(name).is_some()) {
        let Some(set) = derived_set(&name) else { continue };
        if server::key_kind(ctx, &name) != KeyKind::Set {
            differences.push(format!("{name}: holds another type than a set, rename or delete it"));
            continue;
        }
        let members =
            server::read(ctx, "SMEMBERS", &[name.as_bytes()]).map_or_else(|_| Vec::new(), server::Reply::into_array);
        let members = members.into_iter().filter_map(server::Reply::into_bytes);
        actual.extend(members.map(|member| (set.clone(), String::from_utf8_lossy(&member).into_owned())));
    }
    // What is queued to be mended in the next turn of the event loop is no difference.
    let queued: BTreeSet<String> = state::with(|state| state.mends.iter().map(|mend| mend.member.clone()).collect());
    let report = |what: &str, set: &SetRepair, member: &String| format!("{}: {member} {what}", set.key());
    let missing = expected.difference(&actual).filter(|(_, member)| !queued.contains(member));
    differences.extend(missing.map(|(set, member)| report("is missing", set, member)));
    let stale = actual.difference(expected).filter(|(_, member)| !queued.contains(member));
    differences.extend(stale.map(|(set, member)| report("does not belong", set, member)));
}
