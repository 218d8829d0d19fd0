//! `STRAT.EPOCH`

use crate::args::Args;
use crate::state;
use redis_module::{Context, RedisString, RedisValue};
use strat_core::Refusal;

/// Replies the id that changes whenever memory may have lost writes: start, load, promotion, flush, swap.
pub(crate) fn run(_ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    Args::new("STRAT.EPOCH", args).end()?;
    Ok(RedisValue::BulkString(state::with(|state| state.epoch.clone())))
}
