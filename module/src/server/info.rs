//! The `INFO strat` section.

use super::guard::count_panic;
use super::rehearsal::{Point, reach};
use redis_module::{Context, raw};
use std::panic::catch_unwind;

extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: i32) {
    // A crash report is written inside a signal handler: the state may be half written.
    if for_crash_report != 0 {
        return;
    }
    let fields = catch_unwind(|| {
        reach(Point::Info);
        crate::info::fields()
    });
    let fields = fields.unwrap_or_else(|_| {
        count_panic();
        vec![("error", "internal error while the section was made, try again".to_owned())]
    });
    raw::add_info_section(ctx, None);
    for (name, value) in fields {
        raw::add_info_field_str(ctx, name, &value);
    }
}

/// Registers the section.
pub(crate) fn register(ctx: &Context) {
    raw::register_info_function(ctx.ctx, Some(info));
}
