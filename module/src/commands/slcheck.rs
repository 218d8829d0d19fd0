//! `STRAT.SLCHECK symbol price [symbol price ...] [TS ms]`

use crate::server::{self, Argv, Priced, command_db, store_price, wall_clock_ms};
use crate::settings::{MAX_FIRED_PER_CALL, PRICE_TTL_MS};
use crate::trigger::{self, Budget, Tick};
use crate::{effects, state, trail};
use redis_module::Context;
use smallvec::SmallVec;
use strat_core::book::{Book, SymbolId};
use strat_core::key::{is_symbol, split_tag};
use strat_core::refusal::shown;
use strat_core::{Code, Price, Refusal, field};

/// Most ticks in one call.
const TICKS_MAX: usize = 10_000;

/// The time to live of a stored price is renewed when this part of it has passed: that is a look-up less for most ticks.
const RENEWED_AFTER: i64 = 16;

/// The ticks of a call: so many stand on the stack.
type Ticks<'a> = SmallVec<[Judged<'a>; 64]>;

/// A tick of a call.
struct Judged<'a> {
    /// The symbol with its tag: printable ASCII.
    name: &'a [u8],
    text: &'a [u8],
    price: Price,
    /// Where the book knows the symbol.
    known: Option<SymbolId>,
    /// The time to live of the stored price is to be renewed.
    renews: bool,
}

/// Stores each price and fires every armed trigger that it crosses. Answers the number fired in this call.
///
/// What fires nothing, and is no new best for a trailing stop, takes the short way: one look-up in the book, no
/// allocation, no look at the keys that only a trigger writes.
pub(crate) fn run(ctx: &Context, args: Argv<'_>) -> Result<i64, Refusal> {
    let db = command_db(ctx);
    let mut ticks = Ticks::new();
    let call = state::with(|state| Call::parse(args, state.book(db), &mut ticks))?;
    effects::check_partition(ctx, call.prefix)?;
    let (fires, raises) = state::with(|state| {
        state.counters.ticks += ticks.len() as u64;
        let book = state.book(db);
        let (mut fires, mut raises) = (book.beginner().is_some(), false);
        for tick in &mut ticks {
            let touch = book.touch(tick.name, tick.known, tick.price, call.now_ms, call.ttl_ms / RENEWED_AFTER);
            tick.renews = touch.renews;
            fires |= touch.crosses;
            raises |= touch.raises;
        }
        (fires, raises)
    });
    let fired = match (fires, raises, ticks.as_slice()) {
        (false, false, _) => call.store_all(ctx, &ticks),
        // A new best alone crosses nothing.
        (false, true, [tick]) => {
            trail::raise(db, text_of(tick.name), tick.price);
            call.store_all(ctx, &ticks)
        }
        // What is refused was not stored: its time to live is to be renewed with the next tick.
        _ => fire(ctx, db, &call, &ticks).inspect_err(|_| forget_renewals(db, &ticks))?,
    };
    Ok(i64::try_from(fired).unwrap_or(i64::MAX))
}

/// Stores each price, lets trailing stops follow it and fires what it crosses, tick by tick.
fn fire(ctx: &Context, db: i32, call: &Call<'_>, ticks: &[Judged<'_>]) -> Result<usize, Refusal> {
    // One tag for all symbols of a call, so one look at its keys is enough.
    effects::preflight(ctx, call.prefix)?;
    trail::begin_waiting(ctx);
    let limit = usize::try_from(MAX_FIRED_PER_CALL.get()).unwrap_or(usize::MAX);
    let ts_ms = call.ts_ms.unwrap_or_else(wall_clock_ms);
    let (mut fired, mut budget) = (0, Budget { stops: limit, alerts: limit });
    for judged in ticks {
        call.store(ctx, judged);
        let (name, text) = (text_of(judged.name), text_of(judged.text));
        let symbol = &name[call.prefix.len()..];
        let tick = Tick { name, prefix: call.prefix, symbol, price: judged.price, text, ts_ms };
        fired += trigger::fire(ctx, db, &tick, &mut budget);
    }
    // After an internal error the rest may not have been fired: the caller shall send the ticks again.
    server::check_ready()?;
    Ok(fired)
}

fn forget_renewals(db: i32, ticks: &[Judged<'_>]) {
    let known = ticks.iter().filter_map(|tick| tick.known);
    state::with(|state| known.for_each(|known| state.book(db).forget_renewal(known)));
}

/// Of bytes that were found to be ASCII.
fn text_of(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// A call that was judged.
struct Call<'a> {
    /// Tag of all symbols.
    prefix: &'a str,
    ts_ms: Option<i64>,
    /// The clock is read once for all prices of the call, and so is how long they live.
    now_ms: i64,
    ttl_ms: i64,
}

impl<'a> Call<'a> {
    fn parse(args: Argv<'a>, book: &Book, ticks: &mut Ticks<'a>) -> Result<Self, Refusal> {
        let count = args.len().saturating_sub(1);
        if count == 0 || count % 2 == 1 || count > 2 * TICKS_MAX {
            return Err(crate::args::syntax("STRAT.SLCHECK"));
        }
        // A symbol may be called TS: the option is only looked for in the last pair, behind at least one tick.
        let dated = count > 2 && args.get(count - 1).eq_ignore_ascii_case(b"TS");
        let mut prefix = None;
        for index in 0..count / 2 - usize::from(dated) {
            ticks.push(judge(book, args.get(1 + 2 * index), args.get(2 + 2 * index), &mut prefix)?);
        }
        let ts_ms = dated.then(|| time(args.get(count))).transpose()?;
        let now_ms = server::turn_clock_ms();
        Ok(Self { prefix: prefix.unwrap_or_default(), ts_ms, now_ms, ttl_ms: PRICE_TTL_MS.get() })
    }

    fn store(&self, ctx: &Context, tick: &Judged<'_>) {
        let until_ms = self.now_ms.saturating_add(self.ttl_ms);
        let serial = tick.known.map(SymbolId::serial);
        let of = Priced { prefix: self.prefix, symbol: &tick.name[self.prefix.len()..], serial };
        store_price(ctx, &of, tick.text, until_ms, tick.renews);
    }

    /// Stores the prices of ticks that fire nothing. Answers how many fired.
    fn store_all(&self, ctx: &Context, ticks: &[Judged<'_>]) -> usize {
        ticks.iter().for_each(|tick| self.store(ctx, tick));
        0
    }
}

/// A pair of arguments. The first one's tag is that of all.
fn judge<'a>(book: &Book, name: &'a [u8], text: &'a [u8], of_all: &mut Option<&'a str>) -> Result<Judged<'a>, Refusal> {
    let known = book.find_symbol(name);
    // What the book knows is a symbol.
    let prefix = if known.is_some() && name[0] != b'{' { "" } else { prefix_of(name)? };
    if !is_same_tag(prefix, of_all.get_or_insert(prefix)) {
        return Err(Refusal::new(Code::Err, format!("symbol {} has another tag than the first", shown(name))));
    }
    let price = Price::parse(text).map_err(|why| {
        let symbol = text_of(&name[prefix.len()..]);
        Refusal::new(Code::BadPrice, format!("price {} of {symbol} {why}", shown(text)))
    })?;
    Ok(Judged { name, text, price, known, renews: true })
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

/// The tag's prefix of `[{tag}]symbol`.
fn prefix_of(name: &[u8]) -> Result<&str, Refusal> {
    let parts = str::from_utf8(name).ok().and_then(split_tag).filter(|(_, symbol)| is_symbol(symbol));
    parts.map(|(prefix, _)| prefix).ok_or_else(|| {
        Refusal::new(
            Code::BadField,
            format!("symbol {} must be 1 to 64 printable ASCII bytes without space, colon or braces", shown(name)),
        )
    })
}
