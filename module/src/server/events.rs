//! Subscriptions: key events, and the server events that come without key events.

use super::api::end_turn;
use super::rehearsal::{Point, reach};
use crate::{keyspace, trail};
use redis_module::{Context, NotifyEvent, RedisString, Status, raw};
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};

/// Subscribes to everything that the books must follow.
pub(crate) fn subscribe(ctx: &Context) -> Status {
    let wanted = (NotifyEvent::ALL | NotifyEvent::LOADED).intersection(raw::get_keyspace_notification_flags_all());
    // SAFETY: the callbacks are static functions that keep no pointer they are given.
    let subscribed = unsafe {
        raw::RedisModule_SubscribeToKeyspaceEvents
            .is_some_and(|subscribe| subscribe(ctx.ctx, wanted.bits(), Some(on_key)) == 0)
    };
    let events: [(u64, raw::RedisModuleEventCallback); 6] = [
        (raw::REDISMODULE_EVENT_FLUSHDB, Some(on_flush)),
        (raw::REDISMODULE_EVENT_LOADING, Some(on_loading)),
        (raw::REDISMODULE_EVENT_SWAPDB, Some(on_swap)),
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, Some(on_role)),
        (raw::REDISMODULE_EVENT_EVENTLOOP, Some(on_turn)),
        (raw::REDISMODULE_EVENT_SHUTDOWN, Some(on_shutdown)),
    ];
    let all = events.into_iter().all(|(id, callback)| {
        let event = raw::RedisModuleEvent { id, dataver: 1 };
        raw::subscribe_to_server_event(ctx.ctx, event, callback) == Status::Ok
    });
    if subscribed && all { Status::Ok } else { Status::Err }
}

extern "C" fn on_key(
    ctx: *mut raw::RedisModuleCtx,
    kind: c_int,
    _event: *const c_char,
    key: *mut raw::RedisModuleString,
) -> c_int {
    if super::write::is_own_event(key) {
        return 0;
    }
    let ctx = Context::new(ctx);
    let by_itself = (NotifyEvent::EXPIRED | NotifyEvent::EVICTED).bits() & kind != 0;
    super::shielded(&ctx, "a key event", || {
        reach(Point::Event);
        if let Ok(key) = std::str::from_utf8(RedisString::string_as_slice(key)) {
            keyspace::on_key(&ctx, key, by_itself);
        }
    });
    0
}

/// What a key event would do, for a key that the module itself has written.
pub(crate) fn after_own_write(ctx: &Context, follow: impl FnOnce()) {
    super::shielded(ctx, "a key event", || {
        reach(Point::Event);
        follow();
    });
}

fn server_event(ctx: &Context, what: &str, body: impl FnOnce()) {
    super::shielded(ctx, what, || {
        reach(Point::Server);
        body();
    });
}

extern "C" fn on_flush(ctx: *mut raw::RedisModuleCtx, _event: raw::RedisModuleEvent, sub: u64, data: *mut c_void) {
    let ctx = Context::new(ctx);
    // Start and end come back to back, with no command in between.
    if sub != raw::REDISMODULE_SUBEVENT_FLUSHDB_END {
        return;
    }
    // SAFETY: for this event the data is a flush info of version 1.
    let db = unsafe { data.cast::<raw::RedisModuleFlushInfo>().as_ref() }.map_or(-1, |info| info.dbnum);
    server_event(&ctx, "a flush", || keyspace::on_flush(&ctx, db));
}

extern "C" fn on_swap(ctx: *mut raw::RedisModuleCtx, _event: raw::RedisModuleEvent, _sub: u64, data: *mut c_void) {
    let ctx = Context::new(ctx);
    // SAFETY: for this event the data is a swap info of version 1.
    if let Some(info) = unsafe { data.cast::<raw::RedisModuleSwapDbInfo>().as_ref() } {
        server_event(&ctx, "a swap of databases", || keyspace::on_swap(&ctx, info.dbnum_first, info.dbnum_second));
    }
}

extern "C" fn on_loading(ctx: *mut raw::RedisModuleCtx, _event: raw::RedisModuleEvent, sub: u64, _data: *mut c_void) {
    let ctx = Context::new(ctx);
    let phase = match sub {
        raw::REDISMODULE_SUBEVENT_LOADING_ENDED => keyspace::Loading::Ended,
        raw::REDISMODULE_SUBEVENT_LOADING_FAILED => keyspace::Loading::Failed,
        _ => keyspace::Loading::Started,
    };
    server_event(&ctx, "loading", || keyspace::on_loading(&ctx, phase));
}

extern "C" fn on_role(ctx: *mut raw::RedisModuleCtx, _event: raw::RedisModuleEvent, _sub: u64, _data: *mut c_void) {
    let ctx = Context::new(ctx);
    server_event(&ctx, "a change of role", || keyspace::on_role(&ctx));
}

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Has [`trail::write_all`] called at the end of this turn of the event loop: before the append-only file is synced and
/// before clients are answered.
pub(crate) fn write_trails_soon() {
    ASKED.set(true);
}

fn write_asked(ctx: *mut raw::RedisModuleCtx) {
    let ctx = Context::new(ctx);
    server_event(&ctx, "the end of a turn", || ASKED.set(!trail::write_all(&ctx)));
}

extern "C" fn on_turn(ctx: *mut raw::RedisModuleCtx, _event: raw::RedisModuleEvent, sub: u64, _data: *mut c_void) {
    if sub == raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP {
        end_turn();
        if ASKED.get() {
            write_asked(ctx);
        }
    }
}

extern "C" fn on_shutdown(ctx: *mut raw::RedisModuleCtx, _event: raw::RedisModuleEvent, _sub: u64, _data: *mut c_void) {
    if ASKED.get() {
        write_asked(ctx);
    }
}
