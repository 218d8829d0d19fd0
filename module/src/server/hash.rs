//! Reading a strategy's hash without a command call: this runs for every key event and every trigger.

use super::api::{KeyKind, OpenKey};
use redis_module::{Context, RedisString, raw};
use std::ffi::CString;
use std::ptr::null;
use strat_core::Strategy;
use strat_core::strategy::FIELDS_READ;

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

/// Fields fetched by one call of the variadic `HashGet`.
const BATCH: usize = 6;

thread_local! {
    /// Field names as C strings, padded to whole batches by repeating the first.
    static NAMES: Vec<CString> = {
        let padding = FIELDS_READ.len().next_multiple_of(BATCH) - FIELDS_READ.len();
        let names = FIELDS_READ.iter().chain(std::iter::repeat_n(&FIELDS_READ[0], padding));
        names.map(|name| CString::new(*name).unwrap_or_default()).collect()
    };
}

/// Reads and parses the strategy at `key` in the selected database.
pub(crate) fn find_strategy(ctx: &Context, key: &[u8]) -> Found {
    let open = OpenKey::read(ctx, key);
    match open.kind() {
        KeyKind::Empty => return Found::Nothing,
        KeyKind::Hash => {}
        _ => return Found::WrongType,
    }
    let values = NAMES.with(|names| read_fields(ctx, &open, names));
    let read = Strategy::read(|name| {
        let index = FIELDS_READ.iter().position(|field| *field == name)?;
        values[index].as_ref().map(RedisString::as_slice)
    });
    match read {
        Ok(strategy) => Found::Strategy(Box::new(strategy)),
        Err(refusal) => Found::Invalid(refusal.to_string()),
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

/// All fields of a hash, in its order.
pub(crate) fn all_fields(ctx: &Context, key: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let flat = super::read(ctx, "HGETALL", &[key.as_bytes()]).map_or_else(|_| Vec::new(), super::Reply::into_array);
    let mut bytes = flat.into_iter().map(|element| element.into_bytes().unwrap_or_default());
    std::iter::from_fn(|| Some((bytes.next()?, bytes.next()?))).collect()
}
