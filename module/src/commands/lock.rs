//! `STRAT.LOCK key action owner ttl-ms [EPOCH e]`, `STRAT.EXTEND key token ttl-ms`, `STRAT.UNLOCK key token`

use super::strategy_required;
use crate::args::Args;
use crate::effects;
use crate::server::{self, KeyKind, wall_clock_ms};
use crate::state;
use redis_module::{Context, RedisString, RedisValue};
use strat_core::refusal::shown;
use strat_core::{Action, Code, Refusal, StrategyKey};

/// Longest life of a lock, ms.
const TTL_MS_MAX: i64 = 3_600_000;

/// What a lock says.
pub(super) struct Held {
    pub(super) action: Action,
    token: String,
}

/// Claims the strategy for one order. Replies a token, or nil where somebody holds it.
pub(crate) fn lock(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.LOCK", args);
    let key = args.strategy_key()?;
    let action: Action = args.text()?.parse().map_err(|why| Refusal::new(Code::BadField, format!("action {why}")))?;
    let owner = owner(&mut args)?;
    let ttl_ms = args.count("ttl-ms", 1, TTL_MS_MAX)?;
    let epoch = if args.option("EPOCH") { Some(args.text()?) } else { None };
    args.end("key action owner ttl-ms [EPOCH e]")?;
    effects::check_partition(ctx, key.prefix)?;
    check_epoch(epoch)?;
    let strategy = strategy_required(ctx, &key)?;
    let name = key.lock();
    match server::key_kind(ctx, &name) {
        KeyKind::Empty => {}
        KeyKind::String => return Ok(RedisValue::Null),
        _ => return Err(Refusal::new(Code::WrongType, format!("{name} holds another type than a lock: delete it"))),
    }
    strategy.check_claim(action)?;
    let token = state::with(|state| state.next_token(wall_clock_ms()));
    let value = format!("{action} {owner} {token}");
    effects::call(ctx, "SET", &[name.as_bytes(), value.as_bytes(), b"PX", ttl_ms.to_string().as_bytes()])?;
    Ok(RedisValue::BulkString(token))
}

/// Prolongs a lock. Replies 1, or 0 where the token does not hold it.
pub(crate) fn extend(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.EXTEND", args);
    let key = args.strategy_key()?;
    let token = args.text()?;
    let ttl_ms = args.count("ttl-ms", 1, TTL_MS_MAX)?;
    args.end("key token ttl-ms")?;
    let holds = held(ctx, &key).is_some_and(|held| held.token == token);
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
    args.end("key token")?;
    let holds = held(ctx, &key).is_some_and(|held| held.token == token);
    if holds {
        effects::call(ctx, "DEL", &[key.lock().as_bytes()])?;
    }
    Ok(RedisValue::Integer(i64::from(holds)))
}

/// Whether somebody holds the lock.
pub(super) fn is_held(ctx: &Context, key: &StrategyKey<'_>) -> bool {
    held(ctx, key).is_some()
}

/// The lock, if the token holds it.
pub(super) fn check_token(ctx: &Context, key: &StrategyKey<'_>, token: &str) -> Result<Held, Refusal> {
    held(ctx, key).filter(|held| held.token == token).ok_or_else(|| {
        Refusal::new(
            Code::BadToken,
            format!("token {} does not hold the lock of {}", shown(token.as_bytes()), key.hash()),
        )
    })
}

/// Reads `action owner token`.
fn held(ctx: &Context, key: &StrategyKey<'_>) -> Option<Held> {
    let name = key.lock();
    if server::key_kind(ctx, &name) != KeyKind::String {
        return None;
    }
    let value = server::read(ctx, "GET", &[name.as_bytes()]).ok()?.into_bytes()?;
    let mut words = std::str::from_utf8(&value).ok()?.split(' ');
    let (action, _owner, token) = (words.next()?, words.next()?, words.next()?);
    Some(Held { action: Action::parse(action)?, token: token.to_owned() })
}

fn owner<'a>(args: &mut Args<'a>) -> Result<&'a str, Refusal> {
    let owner = args.text()?;
    let valid = (1..=128).contains(&owner.len()) && owner.bytes().all(|b| b.is_ascii_graphic());
    if valid {
        return Ok(owner);
    }
    Err(Refusal::new(
        Code::BadField,
        format!("owner {} must be 1 to 128 printable ASCII bytes without space", shown(owner.as_bytes())),
    ))
}

fn check_epoch(epoch: Option<&str>) -> Result<(), Refusal> {
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
