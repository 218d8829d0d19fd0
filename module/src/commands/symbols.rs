//! `STRAT.SYMBOLS [TAG t]`

use crate::args::Args;
use crate::server::{reply_map, selected_db};
use crate::state;
use redis_module::{Context, RedisString, RedisValue};
use strat_core::Refusal;

/// Replies the symbols with RUNNING strategies and how many each has.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.SYMBOLS", args);
    let prefix = if args.option("TAG") { args.tag()? } else { String::new() };
    args.end()?;
    let db = selected_db(ctx);
    let members = state::with(|state| {
        let symbols = state.book(db).symbols(&prefix).into_iter();
        let member = |(symbol, count): (&str, usize)| {
            (RedisValue::BulkString(symbol.to_owned()), RedisValue::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
        };
        symbols.map(member).collect()
    });
    Ok(reply_map(ctx, members))
}
