//! A command whose arguments are read where they lie. The crate copies and counts each argument first, which is nothing
//! beside a write, but much beside a tick that fires nothing.

use super::guard::guarded;
use crate::commands;
use redis_module::{Context, RedisString, Status, raw};
use std::ffi::{CString, c_int};

/// The arguments of a call, with the command's name first.
#[derive(Clone, Copy)]
pub(crate) struct Argv<'a>(&'a [*mut raw::RedisModuleString]);

impl<'a> Argv<'a> {
    pub(crate) const fn len(self) -> usize {
        self.0.len()
    }

    /// An argument; empty where there is none.
    pub(crate) fn get(self, index: usize) -> &'a [u8] {
        self.0.get(index).map_or(&[], |argument| RedisString::string_as_slice(*argument))
    }
}

/// Registers `STRAT.SLCHECK`.
pub(crate) fn register_slcheck(ctx: &Context) -> Status {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let (name, flags, category) = (text("strat.slcheck"), text("write fast"), text("write"));
    // SAFETY: the server copies the texts; the callback is a static function.
    unsafe {
        let created = raw::RedisModule_CreateCommand
            .is_some_and(|create| create(ctx.ctx, name.as_ptr(), Some(slcheck), flags.as_ptr(), 1, 1, 1) == 0);
        if let (true, Some(get), Some(set)) =
            (created, raw::RedisModule_GetCommand, raw::RedisModule_SetCommandACLCategories)
        {
            set(get(ctx.ctx, name.as_ptr()), category.as_ptr());
        }
        if created { Status::Ok } else { Status::Err }
    }
}

extern "C" fn slcheck(ctx: *mut raw::RedisModuleCtx, argv: *mut *mut raw::RedisModuleString, argc: c_int) -> c_int {
    let ctx = Context::new(ctx);
    // SAFETY: the server hands over `argc` arguments, which live for the whole call.
    let args = unsafe { std::slice::from_raw_parts(argv, usize::try_from(argc).unwrap_or(0)) };
    match guarded(&ctx, || commands::slcheck::run(&ctx, Argv(args))) {
        Ok(fired) => raw::reply_with_long_long(ctx.ctx, fired) as c_int,
        Err(words) => ctx.reply_error_string(&words) as c_int,
    }
}
