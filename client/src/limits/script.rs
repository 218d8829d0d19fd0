//! The rule on the server.

use super::{Decision, Keyed, Mode};
use crate::error::{Error, Result};
use redis::{Script, ScriptInvocation};
use std::sync::LazyLock;

/// The Lua script that decides, for those who call it from elsewhere.
///
/// - `KEYS`: one per check.
/// - `ARGV[1]`: the time in epoch µs, or an empty string for the server's own, which is what every caller that shares a limit
///   has to use.
/// - `ARGV[2]`: `each`: each check counts if it passes; `all`: they count if all pass.
/// - Then for each check three numbers of µs: the whole burst, what of it the call's class may use, the cost of the call.
///
/// It answers two integers per check: 1 or 0, whether it fits; and the debt before it in µs. A key holds when its limit will
/// be full again, in epoch µs, and lives until then. `SET` instead of a counter that is added to: the script runs alone, so
/// nothing comes between its look and its write.
pub const SCRIPT: &str = include_str!("check.lua");

static LOADED: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT));

/// The script for these checks, by the server's clock.
pub(super) fn invocation(checks: &[Keyed<'_>], mode: Mode) -> ScriptInvocation<'static> {
    let mut call = LOADED.prepare_invoke();
    call.arg("").arg(if mode == Mode::Each { "each" } else { "all" });
    for Keyed { key, check } in checks {
        let limit = &check.limit;
        call.key(key).arg(limit.full_us()).arg(limit.usable_us(check.class)).arg(limit.us(check.cost));
    }
    call
}

/// What the script answered.
pub(super) fn decisions(checks: &[Keyed<'_>], mode: Mode, reply: &[i64]) -> Result<Vec<Decision>> {
    let (pairs, rest) = reply.as_chunks::<2>();
    if pairs.len() != checks.len() || !rest.is_empty() {
        return Err(Error::BadReply(format!("{} numbers for {} checks", reply.len(), checks.len())));
    }
    let found = pairs.iter().map(|[fits, debt]| (*fits == 1, *debt));
    Ok(super::decisions(checks, mode, found.collect()))
}
