//! Reading a strategy's hash without a command call: this runs for every key event and every trigger.

use super::api::{KeyKind, OpenKey, scan, selected_db};
use redis_module::{Context, RedisString, raw};
use std::cell::{OnceCell, RefCell};
use std::ffi::{CString, c_void};
use std::ops::Range;
use std::ptr::{null, null_mut};
use strat_core::alert::alert_field;
use strat_core::strategy::{FIELDS_READ, field_place};
use strat_core::{Alert, AlertKey, Strategy, StrategyKey};

/// What stands at a strategy's key.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// Another type.
    WrongType,
    /// A hash that does not parse, with the reason.
    Invalid(String),
    /// A strategy.
    Strategy(Box<Strategy>),
}

/// Largest hash that is read whole: one pass then costs less than to look every field up. A larger one has fields that
/// are none of ours, perhaps a great many.
const WHOLE_FIELDS_MAX: usize = 64;
/// How far the moment from which prices count may be ahead of the clock: after a failover the clock may be behind.
const MOMENT_AHEAD_MS: i64 = 86_400_000;
/// Fields fetched by one call of the variadic `HashGet`.
const BATCH: usize = 6;

/// Values of [`FIELDS_READ`] in one buffer, which is used again and again.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    places: [Option<Range<usize>>; FIELDS_READ.len()],
}

impl Values {
    fn clear(&mut self) {
        self.bytes.clear();
        self.places.fill(None);
    }

    fn put(&mut self, place: usize, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        if let Some(place) = self.places.get_mut(place) {
            *place = Some(start..self.bytes.len());
        }
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        let range = self.places[field_place(name.as_bytes())?].clone()?;
        self.bytes.get(range)
    }
}

thread_local! {
    static VALUES: RefCell<Values> = RefCell::default();
    /// The cursor of a scan through one hash; null where the server has none.
    static CURSOR: *mut raw::RedisModuleScanCursor =
        // SAFETY: the function takes no arguments; the cursor is never destroyed.
        unsafe { raw::RedisModule_ScanCursorCreate.map_or(null_mut(), |create| create()) };
    /// Field names as C strings, padded to whole batches by repeating the first.
    static NAMES: Vec<CString> = {
        let padding = FIELDS_READ.len().next_multiple_of(BATCH) - FIELDS_READ.len();
        let names = FIELDS_READ.iter().chain(std::iter::repeat_n(&FIELDS_READ[0], padding));
        names.map(|name| CString::new(*name).unwrap_or_default()).collect()
    };
}

/// Reads and parses the strategy at `key` in the selected database.
pub(crate) fn find_strategy(ctx: &Context, key: &[u8]) -> Found {
    strategy_in(ctx, &OpenKey::read(ctx, key))
}

/// As [`find_strategy`], and tells the selected database, which inside a key event only the key itself knows.
pub(crate) fn find_strategy_and_db(ctx: &Context, key: &[u8]) -> (i32, Found) {
    let open = OpenKey::read(ctx, key);
    (open.db().unwrap_or_else(|| selected_db(ctx)), strategy_in(ctx, &open))
}

/// Reads and parses the alert at `key` in the selected database; `None` where there is nothing or another type, the reason
/// where it does not parse.
pub(crate) fn find_alert(ctx: &Context, key: &AlertKey<'_>) -> Option<Result<Alert, String>> {
    let open = OpenKey::read(ctx, key.hash().as_bytes());
    if open.kind() != KeyKind::Hash {
        return None;
    }
    let values = alert_field::READ.map(|name| (name, read_field(ctx, &open, name.as_bytes())));
    let get = |name: &str| values.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.as_deref());
    Some(Alert::read(get).map_err(|refusal| refusal.to_string()))
}

/// Reads every strategy of the selected database, and names every other key. `follow` must not write.
pub(crate) fn each_strategy(
    ctx: &Context,
    mut follow: impl FnMut(&StrategyKey<'_>, Found),
    mut other: impl FnMut(&str),
) {
    scan(ctx, |name, open| match StrategyKey::parse(name) {
        Some(key) => follow(&key, strategy_in(ctx, open)),
        None => other(name),
    });
}

fn strategy_in(ctx: &Context, open: &OpenKey) -> Found {
    match open.kind() {
        KeyKind::Empty => return Found::Nothing,
        KeyKind::Hash => {}
        _ => return Found::WrongType,
    }
    VALUES.with_borrow_mut(|values| {
        values.clear();
        if open.length() > WHOLE_FIELDS_MAX || !read_whole(open, values) {
            look_up(ctx, open, values);
        }
        match Strategy::read(|name| values.get(name)) {
            Ok(mut strategy) => {
                strategy.trail_from = strategy.trail_from.filter(|from| is_moment(*from));
                Found::Strategy(Box::new(strategy))
            }
            Err(refusal) => Found::Invalid(refusal.to_string()),
        }
    })
}

/// Whether prices may count from then on. A moment to come is nobody's: who begins later has a later one, and there may
/// come a time when there is none.
fn is_moment(from: i64) -> bool {
    from <= super::wall_clock_ms().saturating_add(MOMENT_AHEAD_MS)
}

/// Goes through a hash once. Answers whether the server can do that.
fn read_whole(open: &OpenKey, values: &mut Values) -> bool {
    let cursor = CURSOR.with(|cursor| *cursor);
    // SAFETY: the key is open and a hash, the cursor lives for ever, and the callback gets the address of `values`, which
    // outlives the calls.
    unsafe {
        match (raw::RedisModule_ScanKey, raw::RedisModule_ScanCursorRestart) {
            (Some(step), Some(restart)) if !cursor.is_null() => {
                restart(cursor);
                while step(open.raw(), cursor, Some(on_field), std::ptr::from_mut(values).cast()) != 0 {}
                true
            }
            _ => false,
        }
    }
}

extern "C" fn on_field(
    _key: *mut raw::RedisModuleKey,
    name: *mut raw::RedisModuleString,
    value: *mut raw::RedisModuleString,
    values: *mut c_void,
) {
    // SAFETY: `read_whole` passes the address of its values. Nothing here can panic.
    let values = unsafe { values.cast::<Values>().as_mut() };
    if let (Some(values), Some(place)) = (values, field_place(RedisString::string_as_slice(name))) {
        values.put(place, RedisString::string_as_slice(value));
    }
}

/// Looks the fields of a hash up, one by one.
fn look_up(ctx: &Context, open: &OpenKey, values: &mut Values) {
    let found = NAMES.with(|names| read_fields(ctx, open, names));
    for (place, value) in found.iter().enumerate() {
        if let Some(value) = value {
            values.put(place, value.as_slice());
        }
    }
}

fn read_fields(ctx: &Context, open: &OpenKey, names: &[CString]) -> Vec<Option<RedisString>> {
    let mut values = Vec::with_capacity(names.len());
    for batch in names.chunks_exact(BATCH) {
        let mut out = [std::ptr::null_mut::<raw::RedisModuleString>(); BATCH];
        let [a, b, c, d, e, f] = &mut out;
        // SAFETY: the key is open for reading and a hash; names are NUL-terminated and outlive the call; each name is
        // followed by a valid place for its value; the list ends with NULL, as HashGet with CFIELDS asks.
        unsafe {
            if let Some(hash_get) = raw::RedisModule_HashGet {
                hash_get(
                    open.raw(),
                    raw::REDISMODULE_HASH_CFIELDS as i32,
                    batch[0].as_ptr(),
                    std::ptr::from_mut(a),
                    batch[1].as_ptr(),
                    std::ptr::from_mut(b),
                    batch[2].as_ptr(),
                    std::ptr::from_mut(c),
                    batch[3].as_ptr(),
                    std::ptr::from_mut(d),
                    batch[4].as_ptr(),
                    std::ptr::from_mut(e),
                    batch[5].as_ptr(),
                    std::ptr::from_mut(f),
                    null::<std::ffi::c_char>(),
                );
            }
        }
        // The strings are ours to free: RedisString does it.
        values
            .extend(out.map(|value| (!value.is_null()).then(|| RedisString::from_redis_module_string(ctx.ctx, value))));
    }
    values
}

/// A hash's texts: those that are surely asked for, and all of them once another one is.
pub(crate) struct Texts<'a> {
    ctx: &'a Context,
    key: String,
    few: Vec<(&'a [u8], Option<Vec<u8>>)>,
    all: OnceCell<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl<'a> Texts<'a> {
    /// Of the hash at `key`, which surely has to tell `names`.
    pub(crate) fn of(ctx: &'a Context, key: String, names: impl Iterator<Item = &'a [u8]>) -> Self {
        let open = OpenKey::read(ctx, key.as_bytes());
        let is_hash = open.kind() == KeyKind::Hash;
        let few = names.map(|name| (name, if is_hash { read_field(ctx, &open, name) } else { None })).collect();
        Self { ctx, key, few, all: OnceCell::new() }
    }

    /// A field's text; `None` where there is no such field.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        if let Some((_, text)) = self.few.iter().find(|(known, _)| *known == name.as_bytes()) {
            return text.as_deref();
        }
        let all = self.all.get_or_init(|| all_fields(self.ctx, &self.key));
        all.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, text)| text.as_slice())
    }
}

/// One field of an open hash.
fn read_field(ctx: &Context, open: &OpenKey, name: &[u8]) -> Option<Vec<u8>> {
    let name = super::string(name);
    let mut text = null_mut::<raw::RedisModuleString>();
    // SAFETY: the key is open for reading and a hash; the name lives through the call and is followed by a valid place for
    // its value; the list ends with NULL.
    unsafe {
        let get = raw::RedisModule_HashGet?;
        let none = raw::REDISMODULE_HASH_NONE as i32;
        get(open.raw(), none, name.inner, &raw mut text, null::<std::ffi::c_char>());
    }
    // The string is ours to free: RedisString does it.
    (!text.is_null()).then(|| RedisString::from_redis_module_string(ctx.ctx, text).as_slice().to_vec())
}

/// All fields of a hash, in its order.
pub(crate) fn all_fields(ctx: &Context, key: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let flat = super::read(ctx, "HGETALL", &[key.as_bytes()]).map_or_else(|_| Vec::new(), super::Reply::into_array);
    let mut bytes = flat.into_iter().map(|element| element.into_bytes().unwrap_or_default());
    std::iter::from_fn(|| Some((bytes.next()?, bytes.next()?))).collect()
}
