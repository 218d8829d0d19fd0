//! Small wrappers: databases, key types, flags, the price of a symbol.

use super::rehearsal::{Point, reach};
use redis_module::{Context, ContextFlags, KeyMode, ModuleOptions, RedisString, raw};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};
use strat_core::key;

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

    /// The database that it is in; `None` where there is no such key.
    pub(super) fn db(&self) -> Option<i32> {
        // SAFETY: the key is open where the pointer is not null.
        unsafe {
            raw::RedisModule_GetDbIdFromModuleKey.filter(|_| !self.0.is_null()).map(|db_of_key| db_of_key(self.0))
        }
    }

    /// Elements of a list, a set or a hash.
    pub(super) fn length(&self) -> usize {
        // SAFETY: the key is open; a null key has no elements.
        unsafe { raw::RedisModule_ValueLength.map_or(0, |length| length(self.0)) }
    }

    /// Whether its time is over, although the server has not taken it away yet.
    fn is_expired(&self) -> bool {
        // SAFETY: the key is open.
        unsafe { raw::RedisModule_GetExpire.is_some_and(|expires_in| expires_in(self.0) == 0) }
    }

    fn write(ctx: &Context, key: &[u8]) -> Self {
        Self::write_named(ctx, &RedisString::create_from_slice(ctx.ctx, key))
    }

    /// Opens for writing.
    pub(super) fn write_named(ctx: &Context, name: &RedisString) -> Self {
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

/// Names of prices that are kept for the next tick.
const NAMES: u64 = 8_192;

thread_local! {
    /// Names that prices were stored under, and the serials of their symbols, each in the place that the serial says: making
    /// one for each tick would take a tenth of a quiet one.
    static PRICE_NAMES: RefCell<Vec<Option<(u64, RedisString)>>> = const { RefCell::new(Vec::new()) };
}

/// A symbol whose price is stored.
pub(crate) struct Priced<'a> {
    /// The tag's prefix.
    pub(crate) prefix: &'a str,
    /// Printable ASCII.
    pub(crate) symbol: &'a [u8],
    /// A number that no other symbol has or ever had.
    pub(crate) serial: Option<u64>,
}

impl Priced<'_> {
    fn key(&self) -> RedisString {
        let symbol = str::from_utf8(self.symbol).unwrap_or_default();
        // Without a context, or the server would count it to the command.
        RedisString::create_from_slice(null_mut(), key::price(self.prefix, symbol).as_bytes())
    }
}

/// Stores a price until a time, epoch ms. Not replicated and without a keyspace event: ticks cost no AOF bytes.
///
/// A price that is there already is written over in place: that saves the server two look-ups and three allocations. Its time
/// to live is left as it is unless the caller `renews` it.
pub(crate) fn store_price(ctx: &Context, of: &Priced<'_>, price: &[u8], until_ms: i64, renews: bool) {
    let Some(serial) = of.serial else {
        return store_price_named(ctx, &of.key(), price, until_ms, renews);
    };
    let place = usize::try_from(serial % NAMES).unwrap_or_default();
    // Taken out while the server is called, which may call back.
    let known = PRICE_NAMES.with_borrow_mut(|names| names.get_mut(place).and_then(Option::take));
    let known = known.filter(|(of_serial, _)| *of_serial == serial);
    let (_, name) = known.unwrap_or_else(|| (serial, of.key()));
    store_price_named(ctx, &name, price, until_ms, renews);
    PRICE_NAMES.with_borrow_mut(|names| {
        if place >= names.len() {
            names.resize_with(place + 1, || None);
        }
        names[place] = Some((serial, name));
    });
}

fn store_price_named(ctx: &Context, name: &RedisString, price: &[u8], until_ms: i64, renews: bool) {
    let open = OpenKey::write_named(ctx, name);
    let is_new = open.kind() != KeyKind::String;
    if !write_in_place(&open, price) {
        // Another type stands there: it goes.
        let price = RedisString::create_from_slice(ctx.ctx, price);
        raw::string_set(open.raw(), price.inner);
    }
    // SAFETY: the key is open for writing; context and name are live. Implicit signals are off for the module, see
    // `without_implicit_signals`.
    unsafe {
        if let Some(expire) = raw::RedisModule_SetAbsExpire.filter(|_| renews || is_new) {
            expire(open.raw(), until_ms);
        }
        if let Some(signal) = raw::RedisModule_SignalModifiedKey {
            signal(ctx.ctx, name.inner);
        }
    }
}

/// Makes a string key, or an empty one, hold `text`. Answers whether it could.
fn write_in_place(open: &OpenKey, text: &[u8]) -> bool {
    let mut len = 0;
    // SAFETY: the key is open for writing. The place that the server hands out holds `len` bytes and is written before
    // anything else is asked of the server.
    unsafe {
        let (Some(truncate), Some(place)) = (raw::RedisModule_StringTruncate, raw::RedisModule_StringDMA) else {
            return false;
        };
        if truncate(open.raw(), text.len()) != raw::REDISMODULE_OK as i32 {
            return false;
        }
        let place = place(open.raw(), &raw mut len, raw::REDISMODULE_WRITE as i32);
        if place.is_null() || len != text.len() {
            return false;
        }
        std::ptr::copy_nonoverlapping(text.as_ptr(), place.cast(), len);
    }
    true
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

/// Whether the server is part of a cluster. It cannot become one while it runs.
pub(crate) fn is_cluster(ctx: &Context) -> bool {
    static CLUSTER: OnceLock<bool> = OnceLock::new();
    *CLUSTER.get_or_init(|| ctx.get_flags().contains(ContextFlags::CLUSTER))
}

/// The database that a command works on.
pub(crate) fn command_db(ctx: &Context) -> i32 {
    // SAFETY: the context is live.
    unsafe { raw::RedisModule_GetSelectedDb.map_or(0, |get| get(ctx.ctx)) }
}

/// The database that the context works on, in a key event too.
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

/// Shows every key of the selected database to `look`, already open for reading: some perhaps twice, while the server's
/// table grows. Keys whose time is over are passed over.
///
/// # Panics
/// Where `look` does, behind the scan: the server's own code must not be unwound.
pub(super) fn scan(ctx: &Context, mut look: impl FnMut(&str, &OpenKey)) {
    let mut scan = Scan { look: &mut look, panic: None };
    // SAFETY: the functions are set once, before anything of the module runs; the context is live, the cursor is ours
    // until it is destroyed, and the callback gets the address of `scan`, which outlives the calls.
    unsafe {
        let (Some(create), Some(step), Some(destroy)) =
            (raw::RedisModule_ScanCursorCreate, raw::RedisModule_Scan, raw::RedisModule_ScanCursorDestroy)
        else {
            return;
        };
        let cursor = create();
        while step(ctx.ctx, cursor, Some(on_scanned), (&raw mut scan).cast()) != 0 && scan.panic.is_none() {}
        destroy(cursor);
    }
    if let Some(panic) = scan.panic {
        resume_unwind(panic);
    }
}

struct Scan<'a> {
    look: &'a mut dyn FnMut(&str, &OpenKey),
    panic: Option<Box<dyn Any + Send>>,
}

extern "C" fn on_scanned(
    _ctx: *mut raw::RedisModuleCtx,
    name: *mut raw::RedisModuleString,
    key: *mut raw::RedisModuleKey,
    scan: *mut c_void,
) {
    // SAFETY: `scan` above passes its own address.
    let Some(scan) = (unsafe { scan.cast::<Scan<'_>>().as_mut() }) else { return };
    // One step may bring several keys.
    if scan.panic.is_some() {
        return;
    }
    let look = || {
        reach(Point::Scan);
        // The server closes the key itself.
        let open = ManuallyDrop::new(OpenKey(key));
        if let Some(name) = std::str::from_utf8(RedisString::string_as_slice(name)).ok().filter(|_| !open.is_expired())
        {
            (scan.look)(name, &open);
        }
    };
    scan.panic = catch_unwind(AssertUnwindSafe(look)).err();
}

/// All keys of the selected database that `wanted` names.
pub(crate) fn keys_of_database(ctx: &Context, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut keys = Vec::new();
    scan(ctx, |name, _| {
        if wanted(name) {
            keys.push(name.to_owned());
        }
    });
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

thread_local! {
    /// The clock's last reading, and how often it may be used again before the clock is read.
    static TURN_CLOCK: Cell<(i64, u8)> = const { Cell::new((0, 0)) };
}
/// Uses of one reading of the clock, within a turn of the event loop.
const USES_OF_A_READING: u8 = 64;

/// The wall clock as it was a moment ago, in this turn of the event loop: reading it takes a tenth of a quiet tick. For
/// times to live; what is decided by the time, and written down, reads the clock.
pub(crate) fn turn_clock_ms() -> i64 {
    let (known, left) = TURN_CLOCK.get();
    let (now, left) = if left == 0 { (wall_clock_ms(), USES_OF_A_READING) } else { (known, left) };
    TURN_CLOCK.set((now, left - 1));
    now
}

/// A turn of the event loop ends.
pub(super) fn end_turn() {
    TURN_CLOCK.set((0, 0));
}

/// Epoch ms of the server's wall clock.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
