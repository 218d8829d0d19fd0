//! The `INFO strat` section.

use redis_module::{Context, raw};

extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: i32) {
    // A crash report is written inside a signal handler: the state may be half written.
    if for_crash_report != 0 {
        return;
    }
    let fields = std::panic::catch_unwind(crate::info::fields).unwrap_or_default();
    raw::add_info_section(ctx, None);
    for (name, value) in fields {
        raw::add_info_field_str(ctx, name, &value);
    }
}

/// Registers the section.
pub(crate) fn register(ctx: &Context) {
    raw::register_info_function(ctx.ctx, Some(info));
}
