//! `STRAT.LOCK key action owner ttl-ms [EPOCH e]`, `STRAT.EXTEND key token ttl-ms`, `STRAT.UNLOCK key token`

use super::strategy_required;
use crate::args::Args;
use crate::effects;
use crate::server::{self, KeyKind, wall_clock_ms};
use crate::state;
use redis_module::{Context, RedisString, RedisValue};
use strat_core::lock::{Lock, TTL_MS_MAX, check_owner};
use strat_core::refusal::shown;
use strat_core::{Action, Code, Refusal, StrategyKey};

/// Claims the strategy for one order. Replies a token, or nil where somebody holds it.
pub(crate) fn lock(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.LOCK", args);
    let key = args.strategy_key()?;
    let action: Action = args.text()?.parse().map_err(|why| Refusal::new(Code::BadField, format!("action {why}")))?;
    let owner = args.text()?;
    check_owner(owner)?;
    let ttl_ms = args.count("ttl-ms", 1, TTL_MS_MAX)?;
    let epoch = if args.option("EPOCH") { Some(args.text()?) } else { None };
    args.end()?;
    effects::check_partition(ctx, key.prefix)?;
    check_epoch(epoch)?;
    Ok(claim(ctx, &key, action, owner, ttl_ms)?.map_or(RedisValue::Null, RedisValue::BulkString))
}

/// Claims the strategy, if its state allows the action. Answers the token; `None` where somebody holds it.
pub(super) fn claim(
    ctx: &Context,
    key: &StrategyKey<'_>,
    action: Action,
    owner: &str,
    ttl_ms: i64,
) -> Result<Option<String>, Refusal> {
    let strategy = strategy_required(ctx, key)?;
    let name = key.lock();
    match server::key_kind(ctx, &name) {
        KeyKind::Empty => {}
        KeyKind::String => return Ok(None),
        _ => return Err(Refusal::new(Code::WrongType, format!("{name} holds another type than a lock: delete it"))),
    }
    strategy.check_claim(action)?;
    let token = state::with(|state| state.next_token(wall_clock_ms())).to_string();
    let value = Lock { action, owner, token: &token }.to_string();
    effects::call(ctx, "SET", &[name.as_bytes(), value.as_bytes(), b"PX", ttl_ms.to_string().as_bytes()])?;
    Ok(Some(token))
}

/// Prolongs a lock. Replies 1, or 0 where the token does not hold it.
pub(crate) fn extend(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.EXTEND", args);
    let key = args.strategy_key()?;
    let token = args.text()?;
    let ttl_ms = args.count("ttl-ms", 1, TTL_MS_MAX)?;
    args.end()?;
    let holds = holds(ctx, &key, token);
    if holds {
        effects::call(ctx, "PEXPIRE", &[key.lock().as_bytes(), ttl_ms.to_string().as_bytes()])?;
    }
    Ok(RedisValue::Integer(i64::from(holds)))
}

/// Gives a lock back. Replies 1, or 0 where the token does not hold it.
pub(crate) fn unlock(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.UNLOCK", args);
    let key = args.strategy_key()?;
    let token = args.text()?;
    args.end()?;
    let holds = holds(ctx, &key, token);
    if holds {
        effects::call(ctx, "DEL", &[key.lock().as_bytes()])?;
    }
    Ok(RedisValue::Integer(i64::from(holds)))
}

/// Whether somebody holds the lock.
pub(super) fn is_held(ctx: &Context, key: &StrategyKey<'_>) -> bool {
    value(ctx, key).as_deref().and_then(Lock::parse).is_some()
}

/// The action that the lock was claimed for, if the token holds it.
pub(super) fn check_token(ctx: &Context, key: &StrategyKey<'_>, token: &str) -> Result<Action, Refusal> {
    Lock::check(value(ctx, key).as_deref().and_then(Lock::parse), token, key).map(|lock| lock.action)
}

fn holds(ctx: &Context, key: &StrategyKey<'_>, token: &str) -> bool {
    value(ctx, key).as_deref().and_then(Lock::parse).is_some_and(|lock| lock.is_held_by(token))
}

/// What stands at the lock's key, if that is a string.
fn value(ctx: &Context, key: &StrategyKey<'_>) -> Option<Vec<u8>> {
    let name = key.lock();
    if server::key_kind(ctx, &name) != KeyKind::String {
        return None;
    }
    server::read(ctx, "GET", &[name.as_bytes()]).ok()?.into_bytes()
}

/// Refuses what was meant for an epoch that is over.
pub(super) fn check_epoch(epoch: Option<&str>) -> Result<(), Refusal> {
    let current = state::with(|state| state.epoch.clone());
    match epoch {
        Some(epoch) if epoch != current => Err(Refusal::new(
            Code::Unsynced,
            format!(
                "epoch {} is over, memory may have lost writes: reconcile, then use {current}",
                shown(epoch.as_bytes())
            ),
        )),
        _ => Ok(()),
    }
}
