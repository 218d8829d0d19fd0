//! A panic must not kill the server: it may not leave a function that the server called. Each of those runs behind
//! `catch_unwind`:
//!
//! | the server calls | here | after a panic |
//! |---|---|---|
//! | a command | [`guarded`] | error reply, rebuild |
//! | a key event | `events::on_key` | rebuild |
//! | flush, swap of databases, loading, change of role | `events::on_*` | rebuild |
//! | the timer: mends, storms, rebuild | `timer::wake` | rebuild |
//! | the callback of a scan | `api::keys_of_database` | goes on as a panic behind the scan, in whatever scanned |
//! | `INFO` | `info::info` | the section says so; nothing was changed, so nothing is rebuilt |
//! | load and unload of the module | `init`, `deinit` in `lib.rs` | the load fails; the unload goes on |
//! | get and set of a config | the crate's | cannot: a load or a store of an atomic |
//!
//! What the crate does in front of a command and behind it cannot panic with what we give it: it takes references to
//! the arguments and writes values that hold no NUL where C ends a text. One write of a change runs behind
//! `catch_unwind` by itself, see `effects`, and so does each strategy that a call fires.

use super::rehearsal::{Point, reach};
use crate::state;
use redis_module::{Context, RedisError, RedisResult, RedisString, RedisValue};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::time::{Duration, Instant};
use strat_core::{Code, Refusal};

/// Panics that follow each other within this time are taken for one cause.
const STREAK: Duration = Duration::from_secs(60);
/// Wait before the second rebuild of a streak, ms; doubles with each further one.
const REBUILD_WAIT_MS: i64 = 20;
/// Longest wait before a rebuild, ms.
const REBUILD_WAIT_MS_MAX: i64 = 5_000;

thread_local! {
    /// Where the last panic was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Has panics noted for the server's log, with their place, instead of written to the standard error.
pub(crate) fn note_panics() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        PLACE.with(|last| last.replace(place));
    }));
}

/// Runs something that the server called, or that may fail without the rest; `None` after a panic. The module
/// answers errors then until it has rebuilt its books.
pub(crate) fn attempt<T>(ctx: &Context, what: &str, body: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| poison(ctx, what, &*panic)).ok()
}

/// As [`attempt`], where what panics leaves nothing wrong that is not looked at afterwards.
pub(crate) fn survive<T>(ctx: &Context, what: &str, body: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(body)).map_err(|panic| note(ctx, what, &*panic));
    done.ok()
}

/// As [`attempt`], of something without an answer.
pub(crate) fn shielded(ctx: &Context, what: &str, body: impl FnOnce()) {
    let _ = attempt(ctx, what, body);
}

/// Runs a command: turns refusals into error replies.
pub(crate) fn command(
    ctx: &Context,
    args: Vec<RedisString>,
    body: fn(&Context, &[RedisString]) -> Result<RedisValue, Refusal>,
) -> RedisResult {
    guarded(ctx, || body(ctx, &args)).map_err(RedisError::String)
}

/// Runs the body of a command. Answers what it does, or the words of the error reply.
pub(super) fn guarded<T>(ctx: &Context, body: impl FnOnce() -> Result<T, Refusal>) -> Result<T, String> {
    let run = || {
        check_ready()?;
        reach(Point::Command);
        body()
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(answer) => answer.map_err(|refusal| refusal.to_string()),
        Err(panic) => Err(poison(ctx, "a command", &*panic)),
    }
}

/// Refuses while the books may be wrong. A command that fired several strategies asks again at its end.
pub(crate) fn check_ready() -> Result<(), Refusal> {
    if !state::with(|state| state.poisoned) {
        return Ok(());
    }
    Err(Refusal::new(Code::Loading, "strat is rebuilding its books after an internal error, try again"))
}

/// Counts a panic that changed nothing.
pub(crate) fn count_panic() {
    state::with(|state| state.counters.panics += 1);
}

fn poison(ctx: &Context, what: &str, panic: &(dyn Any + Send)) -> String {
    let words = note(ctx, what, panic);
    let wait_ms = state::with(|state| {
        let first = !std::mem::replace(&mut state.poisoned, true);
        if first {
            state.panic_streak = match state.last_panic.replace(Instant::now()) {
                Some(last) if last.elapsed() < STREAK => state.panic_streak + 1,
                _ => 0,
            };
        }
        rebuild_wait_ms(state.panic_streak)
    });
    super::timer::start(ctx, wait_ms);
    Refusal::new(Code::Err, format!("internal error in {what}: {words}; the books are rebuilt, try again")).to_string()
}

/// Counts a panic and logs it. Answers its words.
fn note(ctx: &Context, what: &str, panic: &(dyn Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let place = PLACE.with(RefCell::take);
    count_panic();
    super::log::log_warning(ctx, &format!("internal error in {what} at {place}: {words}"));
    words
}

/// What panics again and again must not keep the server busy with nothing but rebuilds.
fn rebuild_wait_ms(streak: u32) -> i64 {
    match streak {
        0 => 0,
        again => (REBUILD_WAIT_MS << (again - 1).min(16)).min(REBUILD_WAIT_MS_MAX),
    }
}
