//! The module's one timer: it wakes the background jobs.

use super::rehearsal::{Point, reach};
use redis_module::{Context, raw};
use std::cell::Cell;
use std::ffi::c_void;
use std::os::raw::c_longlong;

thread_local! {
    static RUNNING: Cell<Option<raw::RedisModuleTimerID>> = const { Cell::new(None) };
}

/// Wakes the background jobs in `period_ms`, unless a wake-up is already on its way.
pub(crate) fn start(ctx: &Context, period_ms: c_longlong) {
    RUNNING.with(|running| {
        if running.get().is_none() {
            // SAFETY: the callback is a static function and takes no data.
            let id = unsafe {
                raw::RedisModule_CreateTimer.map(|create| create(ctx.ctx, period_ms, Some(wake), std::ptr::null_mut()))
            };
            running.set(id);
        }
    });
}

/// Takes a wake-up back: the module is about to be unloaded.
pub(crate) fn stop(ctx: &Context) {
    if let Some(id) = RUNNING.with(Cell::take) {
        // SAFETY: the id is of a timer that has not fired yet.
        unsafe {
            if let Some(stop) = raw::RedisModule_StopTimer {
                stop(ctx.ctx, id, std::ptr::null_mut());
            }
        }
    }
}

extern "C" fn wake(ctx: *mut raw::RedisModuleCtx, _data: *mut c_void) {
    RUNNING.with(|running| running.set(None));
    let ctx = Context::new(ctx);
    super::shielded(&ctx, "a background job", || {
        reach(Point::Timer);
        crate::background::run(&ctx);
    });
}
