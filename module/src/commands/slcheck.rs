//! `STRAT.SLCHECK symbol price [symbol price ...] [TS ms]`

use crate::server::{self, Argv, command_db, store_price, wall_clock_ms};
use crate::settings::{MAX_FIRED_PER_CALL, PRICE_TTL_MS};
use crate::trigger::{self, Tick};
use crate::{effects, state, trail};
use redis_module::Context;
use std::cell::Cell;
use strat_core::key::{is_symbol, price_into, split_tag};
use strat_core::refusal::shown;
use strat_core::{Code, Price, Refusal, field};

/// Most ticks in one call.
const TICKS_MAX: usize = 10_000;
const FORM: &str = "symbol price [symbol price ...] [TS ms]";

thread_local! {
    /// The ticks of the last call, for the room that they took.
    static JUDGED: Cell<Vec<Judged>> = const { Cell::new(Vec::new()) };
}

/// The time to live of a stored price is renewed when this part of it has passed: that is a look-up less for most ticks.
const RENEWED_AFTER: i64 = 16;

/// A tick of a call.
#[derive(Debug, Clone, Copy)]
struct Judged {
    price: Price,
    /// The time to live of the stored price is to be renewed.
    renews: bool,
}

/// Stores each price and fires every armed trigger that it crosses. Answers the number fired in this call.
///
/// What fires nothing, and is no new best for a trailing stop, takes the short way: one look-up in the book, no
/// allocation, no look at the keys that only a trigger writes.
pub(crate) fn run(ctx: &Context, args: Argv<'_>) -> Result<i64, Refusal> {
    let mut ticks = JUDGED.take();
    let call = Call::parse(args, &mut ticks)?;
    effects::check_partition(ctx, call.prefix)?;
    let db = command_db(ctx);
    let (fires, raises) = state::with(|state| {
        state.counters.ticks += ticks.len() as u64;
        let book = state.book(db);
        let (mut fires, mut raises) = (book.beginner().is_some(), false);
        for (index, tick) in ticks.iter_mut().enumerate() {
            let touch = book.touch(call.name(index), tick.price, call.now_ms, call.ttl_ms / RENEWED_AFTER);
            tick.renews = touch.renews;
            fires |= touch.crosses;
            raises |= touch.raises;
        }
        (fires, raises)
    });
    let fired = match (fires, raises) {
        (false, false) => call.store_all(ctx, &ticks),
        // A new best alone crosses nothing.
        (false, true) if ticks.len() == 1 => {
            trail::raise(db, call.name(0), ticks[0].price);
            call.store_all(ctx, &ticks)
        }
        _ => fire(ctx, db, &call, &ticks)?,
    };
    JUDGED.set(ticks);
    Ok(i64::try_from(fired).unwrap_or(i64::MAX))
}

/// Stores each price, lets trailing stops follow it and fires what it crosses, tick by tick.
fn fire(ctx: &Context, db: i32, call: &Call<'_>, ticks: &[Judged]) -> Result<usize, Refusal> {
    // One tag for all symbols of a call, so one look at its keys is enough.
    effects::preflight(ctx, call.prefix)?;
    trail::begin_waiting(ctx);
    let limit = usize::try_from(MAX_FIRED_PER_CALL.get()).unwrap_or(usize::MAX);
    let ts_ms = call.ts_ms.unwrap_or(call.now_ms);
    let mut fired = 0;
    for (index, judged) in ticks.iter().enumerate() {
        call.store(ctx, index, *judged);
        let name = call.name(index);
        let symbol = &name[call.prefix.len()..];
        let text = std::str::from_utf8(call.price(index)).unwrap_or_default();
        let tick = Tick { name, prefix: call.prefix, symbol, price: judged.price, text, ts_ms };
        fired += trigger::fire(ctx, db, &tick, limit - fired);
    }
    // After an internal error the rest may not have been fired: the caller shall send the ticks again.
    server::check_ready()?;
    Ok(fired)
}

/// A call that was judged.
struct Call<'a> {
    args: Argv<'a>,
    /// Tag of all symbols.
    prefix: &'a str,
    ts_ms: Option<i64>,
    /// The clock is read once for all prices of the call, and so is how long they live.
    now_ms: i64,
    ttl_ms: i64,
}

impl<'a> Call<'a> {
    fn parse(args: Argv<'a>, judged: &mut Vec<Judged>) -> Result<Self, Refusal> {
        let count = args.len().saturating_sub(1);
        if count == 0 || count % 2 == 1 || count > 2 * TICKS_MAX {
            return Err(Refusal::new(Code::Err, format!("syntax: STRAT.SLCHECK {FORM}")));
        }
        // A symbol may be called TS: the option is only looked for in the last pair, behind at least one tick.
        let dated = count > 2 && args.get(count - 1).eq_ignore_ascii_case(b"TS");
        let ticks = count / 2 - usize::from(dated);
        let (prefix, _) = tagged_symbol(args.get(1))?;
        let (now_ms, ttl_ms) = (wall_clock_ms(), PRICE_TTL_MS.get());
        let mut call = Self { args, prefix, ts_ms: None, now_ms, ttl_ms };
        judged.clear();
        for index in 0..ticks {
            judged.push(Judged { price: call.tick(index)?, renews: true });
        }
        if dated {
            call.ts_ms = Some(time(args.get(count))?);
        }
        Ok(call)
    }

    fn tick(&self, index: usize) -> Result<Price, Refusal> {
        let (name, text) = (self.args.get(1 + 2 * index), self.price(index));
        let (prefix, symbol) = tagged_symbol(name)?;
        if !is_same_tag(prefix, self.prefix) {
            return Err(Refusal::new(Code::Err, format!("symbol {} has another tag than the first", shown(name))));
        }
        Price::parse(text)
            .map_err(|why| Refusal::new(Code::BadPrice, format!("price {} of {symbol} {why}", shown(text))))
    }

    /// A symbol with its tag.
    fn name(&self, index: usize) -> &'a str {
        // It was found to be ASCII.
        std::str::from_utf8(self.args.get(1 + 2 * index)).unwrap_or_default()
    }

    fn price(&self, index: usize) -> &'a [u8] {
        self.args.get(2 + 2 * index)
    }

    fn store(&self, ctx: &Context, index: usize, judged: Judged) {
        let symbol = &self.name(index)[self.prefix.len()..];
        let until_ms = self.now_ms.saturating_add(self.ttl_ms);
        price_into(self.prefix, symbol, |key| store_price(ctx, key, self.price(index), until_ms, judged.renews));
    }

    /// Stores the prices of ticks that fire nothing. Answers how many fired.
    fn store_all(&self, ctx: &Context, ticks: &[Judged]) -> usize {
        ticks.iter().enumerate().for_each(|(index, judged)| self.store(ctx, index, *judged));
        0
    }
}

fn time(text: &[u8]) -> Result<i64, Refusal> {
    field::parse_count(text).ok_or_else(|| {
        Refusal::new(Code::Err, format!("TS {} must be a whole number from 0 to {}", shown(text), i64::MAX))
    })
}

/// Usually there is none. Two empty texts are not compared: one of them points nowhere, and a vectorized `memcmp` takes
/// longer over that than the rest of a tick.
fn is_same_tag(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}

/// `[{tag}]symbol`: prefix and symbol.
fn tagged_symbol(name: &[u8]) -> Result<(&str, &str), Refusal> {
    let parts = std::str::from_utf8(name).ok().and_then(split_tag).filter(|(_, symbol)| is_symbol(symbol));
    parts.ok_or_else(|| {
        Refusal::new(
            Code::BadField,
            format!("symbol {} must be 1 to 64 printable ASCII bytes without space, colon or braces", shown(name)),
        )
    })
}
