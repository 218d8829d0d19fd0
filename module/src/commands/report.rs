//! `STRAT.REPORT key token exec-type [CUMQTY q AVGPX p] [ORDER id] [ACTION a] [ACK stream entry] [TEXT t] [TS ms]`

use super::{lock, strategy_required};
use crate::args::Args;
use crate::effects::{self, Write};
use crate::server::{self, Reply, wall_clock_ms};
use crate::settings;
use redis_module::{Context, RedisString, RedisValue};
use strat_core::order::{ENGINE_GROUP, queue_field};
use strat_core::refusal::shown;
use strat_core::strategy::Report;
use strat_core::{Action, Code, ExecType, Price, Quantity, Refusal, StrategyKey, key};

/// Longest order id, in bytes.
const ORDER_BYTES_MAX: usize = 128;
/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// Applies the broker's execution report: state, quantities, book, journal, events, acknowledgement and lock in one
/// step. Replies the version, unchanged where the report says nothing new.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.REPORT", args);
    let key = args.strategy_key()?;
    let token = args.text()?;
    let request = parse(&mut args, &key)?;
    let strategy = strategy_required(ctx, &key)?;
    let claimed = lock::check_token(ctx, &key, token)?;
    let action = request.action.unwrap_or(claimed);
    effects::preflight(ctx, key.prefix)?;
    if let Some((stream, entry)) = request.ack {
        check_entry(ctx, &key, stream, entry)?;
    }
    strategy.check_attempt(key, action, &request.report.order_id)?;
    let change = strategy.report(action, &request.report, settings::backoff())?;
    let mut version = strategy.version;
    if let Some(mut change) = change {
        // Who holds an exit's lock may report the end of the entry that it had to settle; the lock stays.
        change.release_lock &= action == claimed;
        version = effects::apply(ctx, Write::of(&key, &strategy, change, request.report.ts_ms))?;
    }
    if let Some((stream, entry)) = request.ack {
        effects::best_effort(effects::call(
            ctx,
            "XACK",
            &[stream.as_bytes(), ENGINE_GROUP.as_bytes(), entry.as_bytes()],
        ));
        effects::best_effort(effects::call(ctx, "XDEL", &[stream.as_bytes(), entry.as_bytes()]));
    }
    Ok(RedisValue::Integer(version.cast_signed()))
}

/// An entry of another strategy must not go: its order would be lost. One that is gone already is a repeat.
fn check_entry(ctx: &Context, key: &StrategyKey<'_>, stream: &str, entry: &str) -> Result<(), Refusal> {
    let range = server::read(ctx, "XRANGE", &[stream.as_bytes(), entry.as_bytes(), entry.as_bytes()]);
    let found = range.map_or_else(|_| Vec::new(), Reply::into_array).into_iter().next();
    let fields = found.and_then(|found| found.into_array().into_iter().nth(1)).map_or_else(Vec::new, Reply::into_array);
    let mut texts = fields.into_iter().filter_map(Reply::into_bytes);
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        if name == queue_field::KEY.as_bytes() && value != key.hash().as_bytes() {
            return Err(Refusal::new(
                Code::BadField,
                format!("ACK entry {entry} of {stream} belongs to {}", shown(&value)),
            ));
        }
    }
    Ok(())
}

struct Request<'a> {
    report: Report,
    action: Option<Action>,
    ack: Option<(&'a str, &'a str)>,
}

fn parse<'a>(args: &mut Args<'a>, key: &StrategyKey<'_>) -> Result<Request<'a>, Refusal> {
    let exec_type: ExecType =
        args.text()?.parse().map_err(|why| Refusal::new(Code::BadField, format!("exec-type {why}")))?;
    let report =
        Report { exec_type, filled: None, order_id: String::new(), text: String::new(), ts_ms: wall_clock_ms() };
    let mut request = Request { report, action: None, ack: None };
    let (mut quantity, mut price) = (None, None);
    while !args.is_empty() {
        if args.option("CUMQTY") {
            quantity = Some(cumulative_quantity(args)?);
        } else if args.option("AVGPX") {
            price = Some(average_price(args)?);
        } else if args.option("ORDER") {
            request.report.order_id = limited(args, "ORDER", ORDER_BYTES_MAX)?;
        } else if args.option("ACTION") {
            let action = args.text()?.parse().map_err(|why| Refusal::new(Code::BadField, format!("ACTION {why}")))?;
            request.action = Some(action);
        } else if args.option("ACK") {
            request.ack = Some((queue(args, key)?, entry_id(args)?));
        } else if args.option("TEXT") {
            request.report.text = limited(args, "TEXT", TEXT_BYTES_MAX)?;
        } else if args.option("TS") {
            request.report.ts_ms = args.count("TS", 0, i64::MAX)?;
        } else {
            return Err(args.syntax());
        }
    }
    request.report.filled = match (quantity, price) {
        (Some(quantity), Some(price)) => Some((quantity, price)),
        (Some(Quantity::ZERO), None) | (None, None) => None,
        _ => return Err(Refusal::new(Code::Err, "CUMQTY and AVGPX go together")),
    };
    Ok(request)
}

fn cumulative_quantity(args: &mut Args<'_>) -> Result<Quantity, Refusal> {
    let argument = args.next()?.as_slice();
    Quantity::parse(argument).ok().filter(|quantity| *quantity >= Quantity::ZERO).ok_or_else(|| {
        Refusal::new(Code::BadField, format!("CUMQTY {} must be a plain decimal of 0 or more", shown(argument)))
    })
}

fn average_price(args: &mut Args<'_>) -> Result<Price, Refusal> {
    let argument = args.next()?.as_slice();
    Price::parse(argument).map_err(|why| Refusal::new(Code::BadPrice, format!("AVGPX {} {why}", shown(argument))))
}

fn limited(args: &mut Args<'_>, what: &str, bytes_max: usize) -> Result<String, Refusal> {
    let text = args.text()?;
    if text.len() > bytes_max {
        return Err(Refusal::new(Code::BadField, format!("{what} is longer than {bytes_max} bytes")));
    }
    Ok(text.to_owned())
}

/// Only a queue of the key's own partition can be acknowledged.
fn queue<'a>(args: &mut Args<'a>, key: &StrategyKey<'_>) -> Result<&'a str, Refusal> {
    let stream = args.text()?;
    if stream == key::queue_orders(key.prefix) || stream == key::queue_exits(key.prefix) {
        return Ok(stream);
    }
    Err(Refusal::new(
        Code::BadField,
        format!(
            "ACK {} must be {} or {}",
            shown(stream.as_bytes()),
            key::queue_orders(key.prefix),
            key::queue_exits(key.prefix)
        ),
    ))
}

fn entry_id<'a>(args: &mut Args<'a>) -> Result<&'a str, Refusal> {
    let entry = args.text()?;
    let valid = entry.split_once('-').is_some_and(|(ms, n)| ms.parse::<u64>().is_ok() && n.parse::<u64>().is_ok());
    if valid {
        return Ok(entry);
    }
    Err(Refusal::new(
        Code::BadField,
        format!("ACK entry {} must be a stream id such as 1760000000000-0", shown(entry.as_bytes())),
    ))
}
