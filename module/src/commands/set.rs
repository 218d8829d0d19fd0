//! `STRAT.SET key [NX | RESTORE epoch version] field value [field value ...]`

use super::{lock, salvage, strategy_at};
use crate::args::Args;
use crate::effects::{self, Write};
use crate::server::{self, Found, wall_clock_ms};
use redis_module::{Context, RedisString, RedisValue};
use strat_core::strategy::{Salvaged, SetInput};
use strat_core::{Code, Refusal, Strategy, StrategyKey};

/// Creates a strategy, or replaces an idle one. Replies its version; nil with `NX` where one exists.
///
/// `RESTORE` puts back what memory has lost, whatever stands there: in this epoch only, and only in place of this version,
/// 0 for none. Whoever restores may have been stopped since he looked.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.SET", args);
    let key = args.strategy_key()?;
    let nx = args.option("NX");
    let restore = !nx && args.option("RESTORE");
    let restore = if restore { Some((args.text()?, args.count("version", 0, i64::MAX)?)) } else { None };
    let fields = args.pairs()?;
    let (old, salvaged) = match restore {
        Some((epoch, version)) => {
            lock::check_epoch(Some(epoch))?;
            check_restored(ctx, &key, version)?;
            (None, None)
        }
        None => replaceable(ctx, &key)?,
    };
    let now_ms = wall_clock_ms();
    if nx && server::key_kind(ctx, &key.hash()) != server::KeyKind::Empty {
        // The arguments are judged all the same; the one that stays is not.
        Strategy::set(&SetInput { key, fields: &fields, old: None, salvaged: None, now_ms })?;
        return Ok(RedisValue::Null);
    }
    let (change, version) = Strategy::set(&SetInput { key, fields: &fields, old: old.as_ref(), salvaged, now_ms })?;
    if old.is_some() && lock::is_held(ctx, &key) {
        return Err(Refusal::new(
            Code::Busy,
            "an order is being placed for the strategy: try again when its lock is free",
        ));
    }
    effects::preflight(ctx, key.prefix)?;
    let side = Strategy::read(|name| {
        change.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_bytes())
    })?
    .side;
    let obsolete = server::all_fields(ctx, &key.hash())
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !change.fields.iter().any(|(known, _)| known.as_bytes() == name.as_slice()))
        .filter(|name| name != b"version" && name != b"updated_at")
        .collect();
    let write = Write { key: &key, change, version, side, now_ms, before: None, replaced: Some(obsolete) };
    Ok(RedisValue::Integer(effects::apply(ctx, write)?.cast_signed()))
}

fn check_restored(ctx: &Context, key: &StrategyKey<'_>, version: i64) -> Result<(), Refusal> {
    let found = strategy_at(ctx, key)?.map_or(0, |strategy| strategy.version);
    if found == version.unsigned_abs() {
        return Ok(());
    }
    Err(Refusal::new(Code::BadVersion, format!("RESTORE in place of version {version} but the version is {found}")))
}

/// What stands at the key. A hash that does not parse may be replaced if nothing of it can be in the market: that is
/// one way to put it right.
fn replaceable(ctx: &Context, key: &StrategyKey<'_>) -> Result<(Option<Strategy>, Option<Salvaged>), Refusal> {
    match server::find_strategy(ctx, key.hash().as_bytes()) {
        Found::Invalid(_) => Ok((None, Some(salvage(ctx, key)))),
        _ => strategy_at(ctx, key).map(|old| (old, None)),
    }
}
