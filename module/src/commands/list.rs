//! `STRAT.LIST [TAG t] [USER u] [SYMBOL s] [STATUS st] [CURSOR c] [COUNT n] [WITHVALUES]`

use super::get::members;
use crate::args::Args;
use crate::server::{may_read, reply_map, selected_db};
use crate::state;
use redis_module::{Context, RedisString, RedisValue, raw};
use strat_core::book::{ListFilter, Slot};
use strat_core::key::{check_id, check_symbol};
use strat_core::{Code, Refusal, Status};

/// Most strategies looked at in one call.
const COUNT_MAX: i64 = 10_000;
/// Strategies looked at where COUNT is not given.
pub(super) const COUNT_DEFAULT: usize = 100;

/// Pages through the strategies of a partition, from the book, with the guarantees of `SCAN`. Only what the
/// caller's user may read is listed. Replies the next cursor ("0" at the end) and the keys, or maps.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.LIST", args);
    let request = parse(&mut args)?;
    let db = selected_db(ctx);
    let (keys, next) = state::with(|state| {
        let filter =
            ListFilter { prefix: &request.prefix, user: request.user, symbol: request.symbol, status: request.status };
        let page = state.book(db).list(&filter, request.cursor, request.count);
        (page.keys, page.next)
    });
    let visible: Vec<String> = keys.into_iter().filter(|key| may_read(ctx, key)).collect();
    Ok(reply_page(ctx, next.unwrap_or(0).to_string(), visible, request.with_values))
}

/// Replies a cursor and keys, or maps of their fields with the key among them.
pub(super) fn reply_page(ctx: &Context, cursor: String, keys: Vec<String>, with_values: bool) -> RedisValue {
    if !with_values {
        let keys = keys.into_iter().map(RedisValue::BulkString).collect();
        return RedisValue::Array(vec![RedisValue::BulkString(cursor), RedisValue::Array(keys)]);
    }
    // Everything is at hand before the reply begins: there is no taking back half of one.
    let maps: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let fields = members(ctx, &key);
            std::iter::once((RedisValue::BulkString("key".to_owned()), RedisValue::BulkString(key)))
                .chain(fields)
                .collect()
        })
        .collect();
    raw::reply_with_array(ctx.ctx, 2);
    ctx.reply(Ok(RedisValue::BulkString(cursor)));
    raw::reply_with_array(ctx.ctx, i64::try_from(maps.len()).unwrap_or(0));
    for map in maps {
        reply_map(ctx, map);
    }
    RedisValue::NoReply
}

/// The argument of COUNT.
pub(super) fn count(args: &mut Args<'_>) -> Result<usize, Refusal> {
    Ok(usize::try_from(args.count("COUNT", 1, COUNT_MAX)?).unwrap_or(1))
}

struct Request<'a> {
    prefix: String,
    user: Option<&'a str>,
    symbol: Option<&'a str>,
    status: Status,
    cursor: Slot,
    count: usize,
    with_values: bool,
}

fn parse<'a>(args: &mut Args<'a>) -> Result<Request<'a>, Refusal> {
    let mut request = Request {
        prefix: String::new(),
        user: None,
        symbol: None,
        status: Status::Running,
        cursor: 0,
        count: COUNT_DEFAULT,
        with_values: false,
    };
    while !args.is_empty() {
        if args.option("TAG") {
            request.prefix = args.tag()?;
        } else if args.option("USER") {
            let user = args.text()?;
            check_id("USER", user)?;
            request.user = Some(user);
        } else if args.option("SYMBOL") {
            let symbol = args.text()?;
            check_symbol(symbol)?;
            request.symbol = Some(symbol);
        } else if args.option("STATUS") {
            request.status =
                args.text()?.parse().map_err(|why| Refusal::new(Code::BadField, format!("STATUS {why}")))?;
        } else if args.option("CURSOR") {
            request.cursor = Slot::try_from(args.count("CURSOR", 0, i64::from(Slot::MAX))?).unwrap_or(0);
        } else if args.option("COUNT") {
            request.count = count(args)?;
        } else if args.option("WITHVALUES") {
            request.with_values = true;
        } else {
            return Err(args.syntax());
        }
    }
    Ok(request)
}
