//! `STRAT.SLCHECK symbol price [symbol price ...] [TS ms]`

use crate::args::Args;
use crate::effects;
use crate::server::{self, selected_db, store_price, wall_clock_ms};
use crate::settings::{MAX_FIRED_PER_CALL, PRICE_TTL_MS};
use crate::trigger::{self, Tick};
use redis_module::{Context, RedisString, RedisValue};
use strat_core::refusal::shown;
use strat_core::{Code, Price, Refusal, key};

/// Most ticks in one call.
const TICKS_MAX: usize = 10_000;

/// Stores each price and fires every armed trigger that it crosses. Replies the number fired in this call.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.SLCHECK", args);
    let (ticks, ts_ms) = parse(&mut args)?;
    let db = selected_db(ctx);
    // One tag for all symbols of a call, so one look at its keys is enough.
    effects::preflight(ctx, ticks[0].prefix)?;
    let ttl_ms = PRICE_TTL_MS.get();
    let limit = usize::try_from(MAX_FIRED_PER_CALL.get()).unwrap_or(usize::MAX);
    let mut fired = 0;
    for tick in ticks {
        store_price(ctx, &key::price(tick.prefix, tick.symbol), tick.argument, ttl_ms);
        let tick = Tick {
            name: tick.name,
            prefix: tick.prefix,
            symbol: tick.symbol,
            price: tick.price,
            text: tick.text,
            ts_ms,
        };
        fired += trigger::fire(ctx, db, &tick, limit - fired);
    }
    // After an internal error the rest may not have been fired: the caller shall send the ticks again.
    server::check_ready()?;
    Ok(RedisValue::Integer(i64::try_from(fired).unwrap_or(i64::MAX)))
}

struct Parsed<'a> {
    name: &'a str,
    prefix: &'a str,
    symbol: &'a str,
    price: Price,
    text: &'a str,
    argument: &'a RedisString,
}

fn parse<'a>(args: &mut Args<'a>) -> Result<(Vec<Parsed<'a>>, i64), Refusal> {
    const FORM: &str = "symbol price [symbol price ...] [TS ms]";
    if args.is_empty() || args.len() % 2 == 1 || args.len() > 2 * TICKS_MAX {
        return Err(args.syntax(FORM));
    }
    let mut ticks: Vec<Parsed<'a>> = Vec::with_capacity(args.len() / 2);
    while !args.is_empty() {
        // A symbol may be called TS: the option is only looked for in the last pair, behind at least one tick.
        if args.len() == 2 && !ticks.is_empty() && args.option("TS") {
            return Ok((ticks, args.count("TS", 0, i64::MAX)?));
        }
        let (name, prefix, symbol) = args.tagged_symbol()?;
        if ticks.first().is_some_and(|first| first.prefix != prefix) {
            return Err(Refusal::new(
                Code::Err,
                format!("symbol {} has another tag than the first", shown(name.as_bytes())),
            ));
        }
        let argument = args.next()?;
        let text = std::str::from_utf8(argument.as_slice()).unwrap_or_default();
        let price = Price::parse(argument.as_slice()).map_err(|why| {
            Refusal::new(Code::BadPrice, format!("price {} of {symbol} {why}", shown(argument.as_slice())))
        })?;
        ticks.push(Parsed { name, prefix, symbol, price, text, argument });
    }
    Ok((ticks, wall_clock_ms()))
}
