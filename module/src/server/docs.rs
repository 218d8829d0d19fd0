//! Command documentation, arity and key specs, where the server takes them (Redis 7.0 and later).

use crate::commands::spec::{Access, SPECS, Spec};
use redis_module::{Context, raw};
use std::ffi::CString;
use std::mem::{size_of, zeroed};
use std::ptr::null_mut;

/// Tells the server what it cannot know from the registration. What it does not take is logged and left.
pub(crate) fn describe_commands(ctx: &Context) {
    for spec in SPECS {
        if describe(ctx, spec).is_none() {
            super::log_notice(ctx, &format!("{}: this server takes no command documentation", spec.name));
        }
    }
}

fn describe(ctx: &Context, spec: &Spec) -> Option<()> {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let (name, summary, complexity) = (text(spec.name), text(spec.summary), text(spec.complexity));
    let since = text("0.1.0");
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
    };
    let mut keys = key_specs(spec.access);
    // SAFETY: all texts and arrays live until the call returns, the server copies them; the arrays end with a zeroed
    // element, as the API asks; the command was registered under this name.
    unsafe {
        let command = raw::RedisModule_GetCommand?(ctx.ctx, name.as_ptr());
        let info = raw::RedisModuleCommandInfo {
            version: &raw const version,
            summary: summary.as_ptr(),
            complexity: complexity.as_ptr(),
            since: since.as_ptr(),
            history: null_mut(),
            tips: null_mut(),
            arity: spec.arity,
            key_specs: keys.as_mut().map_or(null_mut(), |keys| keys.as_mut_ptr()),
            args: null_mut(),
        };
        let set = raw::RedisModule_SetCommandInfo?;
        (!command.is_null() && set(command, &raw const info) == raw::REDISMODULE_OK as i32).then_some(())
    }
}

/// One key, the first argument; then the end of the list.
fn key_specs(access: Access) -> Option<[raw::RedisModuleCommandKeySpec; 2]> {
    let flags = match access {
        Access::NoKey => return None,
        Access::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        Access::Write => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
        }
        Access::Delete => raw::REDISMODULE_CMD_KEY_RM | raw::REDISMODULE_CMD_KEY_DELETE,
    };
    // SAFETY: all-zero is the API's end marker and a valid value of every field.
    let mut specs: [raw::RedisModuleCommandKeySpec; 2] = unsafe { zeroed() };
    specs[0].flags = u64::from(flags);
    specs[0].begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    specs[0].bs.index.pos = 1;
    specs[0].find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
    specs[0].fk.range = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 { lastkey: 0, keystep: 1, limit: 0 };
    Some(specs)
}
