//! Small wrappers: databases, key types, flags, the price of a symbol.

use super::rehearsal::{Point, reach};
use redis_module::{Context, ContextFlags, KeyMode, KeysCursor, ModuleOptions, RedisString, raw};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a key holds, as far as the module cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Empty,
    String,
    Hash,
    Set,
    Stream,
    Other,
}

/// An open key that closes itself.
pub(super) struct OpenKey(*mut raw::RedisModuleKey);

impl OpenKey {
    /// Opens without touching the key's idle time.
    pub(super) fn read(ctx: &Context, key: &[u8]) -> Self {
        let name = RedisString::create_from_slice(ctx.ctx, key);
        let mode = (raw::REDISMODULE_READ | raw::REDISMODULE_OPEN_KEY_NOTOUCH) as i32;
        // SAFETY: the context is live for the whole call and the name outlives the open.
        Self(unsafe { raw::RedisModule_OpenKey.map_or(std::ptr::null_mut(), |open| open(ctx.ctx, name.inner, mode)) })
    }

    fn write(ctx: &Context, key: &[u8]) -> Self {
        let name = RedisString::create_from_slice(ctx.ctx, key);
        Self(raw::open_key(ctx.ctx, name.inner, KeyMode::READ | KeyMode::WRITE))
    }

    pub(super) const fn raw(&self) -> *mut raw::RedisModuleKey {
        self.0
    }

    pub(super) fn kind(&self) -> KeyKind {
        if self.0.is_null() {
            return KeyKind::Empty;
        }
        // SAFETY: the key is open. The crate's own wrapper panics on types it does not know.
        let kind = unsafe { raw::RedisModule_KeyType.map_or(0, |key_type| key_type(self.0)) };
        match isize::try_from(kind).unwrap_or(0) {
            raw::REDISMODULE_KEYTYPE_EMPTY => KeyKind::Empty,
            raw::REDISMODULE_KEYTYPE_STRING => KeyKind::String,
            raw::REDISMODULE_KEYTYPE_HASH => KeyKind::Hash,
            raw::REDISMODULE_KEYTYPE_SET => KeyKind::Set,
            raw::REDISMODULE_KEYTYPE_STREAM => KeyKind::Stream,
            _ => KeyKind::Other,
        }
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        if !self.0.is_null() {
            raw::close_key(self.0);
        }
    }
}

/// The type of a key.
pub(crate) fn key_kind(ctx: &Context, key: &str) -> KeyKind {
    OpenKey::read(ctx, key.as_bytes()).kind()
}

/// Stores a price with its time to live. Not replicated and without a keyspace event: ticks cost no AOF bytes.
pub(crate) fn store_price(ctx: &Context, key: &str, text: &RedisString, ttl_ms: i64) {
    let open = OpenKey::write(ctx, key.as_bytes());
    raw::string_set(open.raw(), text.inner);
    raw::set_expire(open.raw(), ttl_ms);
    let name = RedisString::create_from_slice(ctx.ctx, key.as_bytes());
    // SAFETY: context and name are live. Implicit signals are off for the module, see `without_implicit_signals`.
    unsafe {
        if let Some(signal) = raw::RedisModule_SignalModifiedKey {
            signal(ctx.ctx, name.inner);
        }
    }
}

/// Opening a key for writing does not by itself tell those who watch it that it changed.
pub(crate) fn without_implicit_signals(ctx: &Context) {
    ctx.set_module_options(ModuleOptions::NO_IMPLICIT_SIGNAL_MODIFIED);
}

/// Whether nothing may be replicated now: clients are paused, for a failover or by hand. Redis aborts on a replicated
/// write then.
pub(crate) fn writes_are_paused() -> bool {
    // SAFETY: the function takes no arguments and only looks at the server's state.
    unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|avoid| avoid() != 0) }
}

/// Whether the server is part of a cluster.
pub(crate) fn is_cluster(ctx: &Context) -> bool {
    ctx.get_flags().contains(ContextFlags::CLUSTER)
}

/// The database that the context works on.
///
/// Asked of a key opened there, not of the context: inside MULTI, Valkey 9 answers `GetSelectedDb` with the
/// transaction's database even in key events of another one (`move_to`, `copy_to`). The name is empty, so that no real
/// key is touched.
pub(crate) fn selected_db(ctx: &Context) -> i32 {
    let open = OpenKey::write(ctx, b"");
    // SAFETY: the context is live and the key, if there is one, is open.
    unsafe {
        match raw::RedisModule_GetDbIdFromModuleKey {
            Some(db_of_key) if !open.0.is_null() => db_of_key(open.0),
            _ => raw::RedisModule_GetSelectedDb.map_or(0, |get| get(ctx.ctx)),
        }
    }
}

fn select_db(ctx: &Context, db: i32) -> bool {
    // SAFETY: the context is live; an index out of range answers an error.
    unsafe { raw::RedisModule_SelectDb.is_some_and(|select| select(ctx.ctx, db) == raw::REDISMODULE_OK as i32) }
}

/// Runs `body` on another database and goes back. `None` where there is no such database.
pub(crate) fn in_database<T>(ctx: &Context, db: i32, body: impl FnOnce() -> T) -> Option<T> {
    let before = selected_db(ctx);
    let there = select_db(ctx, db);
    let result = there.then(body);
    select_db(ctx, before);
    result
}

/// Every database index.
pub(crate) fn databases(ctx: &Context) -> impl Iterator<Item = i32> + '_ {
    (0..).take_while(|db| in_database(ctx, *db, || ()).is_some())
}

/// All keys of the selected database that `wanted` names.
///
/// # Panics
/// Where `wanted` does, behind the scan: the server's own code must not be unwound.
pub(crate) fn keys_of_database(ctx: &Context, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let found = RefCell::new(Vec::new());
    let panicked = RefCell::new(None);
    let cursor = KeysCursor::new();
    let collect = |_: &Context, name: &RedisString, _: Option<&redis_module::key::RedisKey>| {
        // One call may bring several keys.
        if panicked.borrow().is_some() {
            return;
        }
        let look = || {
            reach(Point::Scan);
            if let Some(name) = std::str::from_utf8(name.as_slice()).ok().filter(|name| wanted(name)) {
                found.borrow_mut().push(name.to_owned());
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(look)) {
            panicked.replace(Some(panic));
        }
    };
    while cursor.scan(ctx, &collect) && panicked.borrow().is_none() {}
    if let Some(panic) = panicked.into_inner() {
        resume_unwind(panic);
    }
    let mut keys = found.into_inner();
    // A scan may return a key twice while the table is rehashed.
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Whether a data set is being loaded now.
pub(crate) fn is_loading(ctx: &Context) -> bool {
    ctx.get_flags().contains(ContextFlags::LOADING)
}

/// Whether this server takes writes of its own: replicas follow their primary's stream.
pub(crate) fn is_primary(ctx: &Context) -> bool {
    ctx.get_flags().contains(ContextFlags::MASTER)
}

/// Epoch ms of the server's wall clock.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
