//! Command documentation, arity and key specs, where the server takes them (Redis 7.0 and later).

use redis_module::{Context, raw};
use std::ffi::{CString, c_char};
use std::mem::{size_of, zeroed};
use std::ptr::{null, null_mut};
use strat_core::manual::{Access, Argument, COMMANDS, Command, Kind};

/// Tells the server what it cannot know from the registration. What it does not take is logged and left.
pub(crate) fn describe_commands(ctx: &Context) {
    for command in COMMANDS {
        if describe(ctx, command).is_none() {
            super::log_notice(ctx, &format!("{}: this server takes no command documentation", command.name));
        }
    }
}

fn describe(ctx: &Context, command: &Command) -> Option<()> {
    let mut page = Page::default();
    let name = page.text(&command.name.to_ascii_lowercase());
    let (summary, complexity) = (page.text(command.summary), page.text(command.complexity));
    let since = page.text("0.1.0");
    let args = page.arguments(command.arguments);
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
    };
    let mut keys = key_specs(command.access);
    // SAFETY: all texts and arrays live until the call returns (`page` is dropped behind it), the server copies them; the
    // arrays end with a zeroed element, as the API asks; the command was registered under this name.
    unsafe {
        let registered = raw::RedisModule_GetCommand?(ctx.ctx, name);
        let info = raw::RedisModuleCommandInfo {
            version: &raw const version,
            summary,
            complexity,
            since,
            history: null_mut(),
            tips: null_mut(),
            arity: command.arity,
            key_specs: keys.as_mut().map_or(null_mut(), |keys| keys.as_mut_ptr()),
            args,
        };
        let set = raw::RedisModule_SetCommandInfo?;
        (!registered.is_null() && set(registered, &raw const info) == raw::REDISMODULE_OK as i32).then_some(())
    }
}

/// What the texts and arrays of one command's documentation stand in.
#[derive(Default)]
struct Page {
    texts: Vec<CString>,
    lists: Vec<Vec<raw::RedisModuleCommandArg>>,
}

impl Page {
    fn text(&mut self, text: &str) -> *const c_char {
        let text = CString::new(text).unwrap_or_default();
        let start = text.as_ptr();
        self.texts.push(text);
        start
    }

    /// As the API wants them: none, or a list that ends with a zeroed element.
    fn arguments(&mut self, arguments: &[Argument]) -> *mut raw::RedisModuleCommandArg {
        if arguments.is_empty() {
            return null_mut();
        }
        let mut list: Vec<_> = arguments.iter().map(|argument| self.argument(argument)).collect();
        // SAFETY: all-zero is the API's end marker and a valid value of every field.
        list.push(unsafe { zeroed() });
        let start = list.as_mut_ptr();
        self.lists.push(list);
        start
    }

    fn argument(&mut self, argument: &Argument) -> raw::RedisModuleCommandArg {
        let token = argument.token.map_or(null(), |token| self.text(token));
        let summary = if argument.about.is_empty() { null() } else { self.text(argument.about) };
        let flags = [
            (argument.is_optional, raw::REDISMODULE_CMD_ARG_OPTIONAL),
            (argument.is_repeated, raw::REDISMODULE_CMD_ARG_MULTIPLE),
        ];
        raw::RedisModuleCommandArg {
            name: self.text(argument.name),
            type_: argument_type(argument.kind),
            key_spec_index: if argument.kind == Kind::Key { 0 } else { -1 },
            token,
            summary,
            since: null(),
            flags: flags.into_iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag as i32),
            deprecated_since: null(),
            subargs: self.arguments(argument.parts()),
            display_text: null(),
        }
    }
}

fn argument_type(kind: Kind) -> raw::RedisModuleCommandArgType {
    match kind {
        Kind::Key => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
        Kind::Text => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
        Kind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
        Kind::Time => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_UNIX_TIME,
        Kind::Flag => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
        Kind::OneOf(_) => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
        Kind::Block(_) => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
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
