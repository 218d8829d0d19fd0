//! The writes of a change without command calls: the same keys, key events and replicated commands, for a fraction of what
//! a call costs. A storm makes four of them for each stop.

use super::api::{KeyKind, OpenKey};
use redis_module::{Context, NotifyEvent, RedisString, raw};
use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

type RawString = *mut raw::RedisModuleString;

thread_local! {
    /// Name of the hash whose key event is under way and whose writer follows it by himself.
    static OWN: Cell<*const raw::RedisModuleString> = const { Cell::new(null()) };
}

/// Whether a key event is one that needs nobody's look.
pub(super) fn is_own_event(key: *const raw::RedisModuleString) -> bool {
    OWN.get() == key
}

/// Whether changes are written here. In a cluster the server's commands do more: they know of slots that move away, and
/// what the replicas publish. Where somebody has renamed a command, nothing could be replicated: calls refuse that loudly.
pub(crate) fn is_direct(ctx: &Context) -> bool {
    static DIRECT: OnceLock<bool> = OnceLock::new();
    *DIRECT.get_or_init(|| !super::is_cluster(ctx) && has_functions() && has_commands(ctx))
}

/// The younger ones of those that are used.
fn has_functions() -> bool {
    // SAFETY: the function pointers are set once, before any command can run.
    let (add, trim, publish) =
        unsafe { (raw::RedisModule_StreamAdd, raw::RedisModule_StreamTrimByLength, raw::RedisModule_PublishMessage) };
    add.is_some() && trim.is_some() && publish.is_some()
}

fn has_commands(ctx: &Context) -> bool {
    let known = super::read(ctx, "COMMAND", &[b"INFO", b"HSET", b"XADD", b"XTRIM", b"PUBLISH"]);
    known.is_ok_and(|known| !known.into_array().contains(&super::Reply::Nil))
}

/// `HSET key field value …`. No key event of it reaches the module: whoever writes lets the books follow. Answers whether
/// there was such a hash.
///
/// # Errors
/// The key holds another type, or the server has no such function.
pub(crate) fn hash_set(ctx: &Context, args: &[RedisString]) -> Result<bool, String> {
    let Some((name, fields)) = args.split_first() else { return Ok(true) };
    let key = open(ctx, name, KeyKind::Hash)?;
    let existed = key.kind() == KeyKind::Hash;
    // SAFETY: the function pointer is set once, before any command can run.
    let set = unsafe { raw::RedisModule_HashSet }.ok_or_else(missing)?;
    for pair in fields.chunks_exact(2) {
        // SAFETY: the key is open for writing and a hash or empty; field and value live through the call, which copies
        // them; the list ends with NULL.
        unsafe {
            set(key.raw(), raw::REDISMODULE_HASH_NONE as i32, pair[0].inner, pair[1].inner, null_mut::<RawString>())
        };
    }
    drop(key);
    replicate(ctx, c"HSET", args.iter().map(|arg| arg.inner));
    OWN.set(name.inner);
    changed(ctx, name, NotifyEvent::HASH, c"hset");
    OWN.set(null());
    Ok(existed)
}

/// `XADD key * field value …`, and a trim to about `max_len` entries.
///
/// # Errors
/// The key holds another type, its ids are used up, or the server has no such function.
pub(crate) fn stream_add(ctx: &Context, args: &[RedisString], max_len: Option<i64>) -> Result<(), String> {
    let Some((name, fields)) = args.split_first() else { return Ok(()) };
    let key = open(ctx, name, KeyKind::Stream)?;
    // SAFETY: the function pointer is set once, before any command can run.
    let add = unsafe { raw::RedisModule_StreamAdd }.ok_or_else(missing)?;
    let mut id = raw::RedisModuleStreamID { ms: 0, seq: 0 };
    let mut argv: Vec<RawString> = fields.iter().map(|field| field.inner).collect();
    // SAFETY: the key is open for writing and a stream or empty; `argv` has as many pairs as are named, which the call
    // copies; `id` is written by it.
    let added = unsafe {
        let flags = raw::REDISMODULE_STREAM_ADD_AUTOID as i32;
        add(key.raw(), flags, &raw mut id, argv.as_mut_ptr(), (argv.len() / 2) as i64)
    };
    if added != raw::REDISMODULE_OK as i32 {
        return Err("the stream takes no further entry".to_owned());
    }
    let left = max_len.and_then(|max_len| trim(&key, max_len));
    drop(key);
    let id = super::string(format!("{}-{}", id.ms, id.seq).as_bytes());
    replicate(ctx, c"XADD", [name.inner, id.inner].into_iter().chain(argv));
    changed(ctx, name, NotifyEvent::STREAM, c"xadd");
    if let Some(left) = left {
        let [how, left] = [super::string(b"MAXLEN"), super::string(left.to_string().as_bytes())];
        replicate(ctx, c"XTRIM", [name.inner, how.inner, left.inner].into_iter());
        changed(ctx, name, NotifyEvent::STREAM, c"xtrim");
    }
    Ok(())
}

/// Trims a stream by whole nodes; answers what is left where anything went.
fn trim(key: &OpenKey, max_len: i64) -> Option<usize> {
    // SAFETY: the key is open for writing and a stream.
    let gone = unsafe {
        raw::RedisModule_StreamTrimByLength
            .map_or(0, |trim| trim(key.raw(), raw::REDISMODULE_STREAM_TRIM_APPROX as i32, max_len))
    };
    (gone > 0).then(|| key.length())
}

/// `PUBLISH channel message`; as the command, to replicas and not to the AOF.
///
/// # Errors
/// The server has no such function.
pub(crate) fn publish(ctx: &Context, channel: &RedisString, message: &RedisString) -> Result<(), String> {
    // SAFETY: context and strings are live.
    unsafe { raw::RedisModule_PublishMessage.ok_or_else(missing)?(ctx.ctx, channel.inner, message.inner) };
    replicate_as(ctx, c"PUBLISH", c"vA", [channel.inner, message.inner].into_iter());
    Ok(())
}

/// Opens a key for writing that holds `kind` or nothing.
fn open(ctx: &Context, name: &RedisString, kind: KeyKind) -> Result<OpenKey, String> {
    let key = OpenKey::write_named(ctx, name);
    match key.kind() {
        KeyKind::Empty => Ok(key),
        found if found == kind => Ok(key),
        _ => Err("WRONGTYPE it holds another type".to_owned()),
    }
}

fn replicate(ctx: &Context, command: &CStr, args: impl Iterator<Item = RawString>) {
    replicate_as(ctx, command, c"v", args);
}

/// `format`: `v` for a list of strings, and whom not to tell.
fn replicate_as(ctx: &Context, command: &CStr, format: &CStr, args: impl Iterator<Item = RawString>) {
    let mut argv: Vec<RawString> = args.collect();
    // SAFETY: the context is live; command and format end with NUL; `v` takes a list of live strings and its length,
    // and the server takes references of its own.
    unsafe {
        if let Some(replicate) = raw::RedisModule_Replicate {
            replicate(ctx.ctx, command.as_ptr(), format.as_ptr(), argv.as_mut_ptr(), argv.len());
        }
    }
}

/// Tells those who watch the key, and subscribers of key events. Implicit signals are off for the module.
fn changed(ctx: &Context, name: &RedisString, kind: NotifyEvent, event: &CStr) {
    // SAFETY: context and name are live, the event ends with NUL.
    unsafe {
        if let Some(signal) = raw::RedisModule_SignalModifiedKey {
            signal(ctx.ctx, name.inner);
        }
        if let Some(notify) = raw::RedisModule_NotifyKeyspaceEvent {
            notify(ctx.ctx, kind.bits(), event.as_ptr(), name.inner);
        }
    }
}

fn missing() -> String {
    "this server lacks a function of the module API: strat needs Redis 7.0 or Valkey".to_owned()
}
