//! A panic must not kill the server: every entry point runs behind `catch_unwind`.

use crate::state;
use redis_module::{Context, RedisError, RedisResult, RedisString, RedisValue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use strat_core::{Code, Refusal};

/// Runs something that the server called. After a panic the module answers errors until it has rebuilt its books.
pub(crate) fn shielded(ctx: &Context, what: &str, body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        let _ = poison(ctx, what, &*panic);
    }
}

/// Runs a command: turns refusals into error replies.
pub(crate) fn command(
    ctx: &Context,
    args: Vec<RedisString>,
    body: fn(&Context, &[RedisString]) -> Result<RedisValue, Refusal>,
) -> RedisResult {
    if state::with(|state| state.poisoned) {
        let refusal = Refusal::new(Code::Loading, "strat is rebuilding its books after an internal error, try again");
        return Err(RedisError::String(refusal.to_string()));
    }
    match catch_unwind(AssertUnwindSafe(|| body(ctx, &args))) {
        Ok(answer) => answer.map_err(|refusal| RedisError::String(refusal.to_string())),
        Err(panic) => Err(RedisError::String(poison(ctx, "a command", &*panic))),
    }
}

fn poison(ctx: &Context, what: &str, panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    state::with(|state| {
        state.poisoned = true;
        state.counters.panics += 1;
    });
    ctx.log_warning(&format!("internal error in {what}: {words}; the books are rebuilt from the hashes"));
    super::timer::start(ctx, 0);
    Refusal::new(Code::Err, format!("internal error in {what}: {words}")).to_string()
}
