//! Panics on demand, `STRAT.DEBUG PANIC`: that a panic does not kill the server is shown, not only claimed.

use redis_module::{Context, raw};
use std::cell::Cell;
use strat_core::{Code, Refusal};

/// Where the code is to panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// In a command.
    Command,
    /// In a key event.
    Event,
    /// In a server event: flush, swap of databases, loading, change of role.
    Server,
    /// In the timer's background job.
    Timer,
    /// In the callback of `INFO`.
    Info,
    /// In the callback of a scan of the keyspace.
    Scan,
    /// While one strategy is fired, or does what its time asks.
    Fire,
    /// In one of the writes of a change.
    Write,
}

impl Point {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Command, "COMMAND"),
        (Self::Event, "EVENT"),
        (Self::Server, "SERVER"),
        (Self::Timer, "TIMER"),
        (Self::Info, "INFO"),
        (Self::Scan, "SCAN"),
        (Self::Fire, "FIRE"),
        (Self::Write, "WRITE"),
    ];

    /// By its name, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(point, _)| *point)
    }
}

thread_local! {
    static ARMED: Cell<Option<Rehearsal>> = const { Cell::new(None) };
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rehearsal {
    /// Where to panic.
    pub(crate) point: Point,
    /// How often to pass the point before.
    pub(crate) after: u32,
    /// How often to panic then.
    pub(crate) times: u32,
}

/// Has the code panic as asked for, instead of what was asked for before.
pub(crate) fn arm(rehearsal: Rehearsal) {
    ARMED.set(Some(rehearsal).filter(|rehearsal| rehearsal.times > 0));
}

/// Passes a point, or panics there if that was asked for.
pub(crate) fn reach(point: Point) {
    let Some(mut rehearsal) = ARMED.get().filter(|rehearsal| rehearsal.point == point) else { return };
    if rehearsal.after > 0 {
        rehearsal.after -= 1;
        ARMED.set(Some(rehearsal));
        return;
    }
    rehearsal.times -= 1;
    arm(rehearsal);
    panic!("rehearsed by STRAT.DEBUG PANIC");
}

/// Refuses where `redis.conf` does not allow this caller `DEBUG` either.
pub(crate) fn check_allowed(ctx: &Context) -> Result<(), Refusal> {
    let reply = super::read(ctx, "CONFIG", &[b"GET", b"enable-debug-command"]);
    let value = reply.ok().and_then(|reply| reply.into_array().into_iter().nth(1)?.into_bytes()).unwrap_or_default();
    let allowed = value == b"yes" || (value == b"local" && is_local(ctx));
    if allowed {
        return Ok(());
    }
    Err(Refusal::new(Code::Err, "PANIC is for tests: start the server with enable-debug-command local"))
}

/// `RedisModuleClientInfo`, version 1; the crate does not have it.
#[repr(C)]
struct ClientInfo {
    version: u64,
    flags: u64,
    id: u64,
    addr: [u8; 46],
    port: u16,
    db: u16,
}

/// Whether the caller is on this machine, as `DEBUG` understands it.
fn is_local(ctx: &Context) -> bool {
    let mut info = ClientInfo {
        version: u64::from(raw::REDISMODULE_CLIENTINFO_VERSION),
        flags: 0,
        id: 0,
        addr: [0; 46],
        port: 0,
        db: 0,
    };
    // SAFETY: the structure is the one of version 1, which its first member says.
    let known = unsafe {
        match (raw::RedisModule_GetClientId, raw::RedisModule_GetClientInfoById) {
            (Some(id), Some(get)) => get((&raw mut info).cast(), id(ctx.ctx)) == raw::REDISMODULE_OK as i32,
            _ => false,
        }
    };
    let by_socket = info.flags & u64::from(raw::REDISMODULE_CLIENTINFO_FLAG_UNIXSOCKET) != 0;
    known && (by_socket || info.addr.starts_with(b"127.0.0.1\0") || info.addr.starts_with(b"::1\0"))
}
