//! The only place that writes a strategy: hash, sets, journal, queues, lock and events of one change, in one
//! MULTI/EXEC for the AOF and the replicas. Everything was validated before; nothing here refuses.

use crate::server::{self, KeyKind};
use crate::{repair, settings, state};
use redis_module::Context;
use serde_json::Value;
use strat_core::event::{Event, journal_field};
use strat_core::key;
use strat_core::order::queue_field;
use strat_core::strategy::{Change, Enqueue};
use strat_core::{Code, Leg, Refusal, Side, StrategyKey};

/// A change and what it needs to be written.
pub(crate) struct Write<'a> {
    pub(crate) key: &'a StrategyKey<'a>,
    pub(crate) change: Change,
    /// Version that the change leads to.
    pub(crate) version: u64,
    /// For the queue of the action.
    pub(crate) side: Side,
    pub(crate) now_ms: i64,
    /// Fields of a replaced hash that the new one does not have; `None` where fields are only changed.
    pub(crate) replaced: Option<Vec<Vec<u8>>>,
}

/// Refuses before the first write where a key that the change would touch holds another type.
pub(crate) fn preflight(ctx: &Context, prefix: &str) -> Result<(), Refusal> {
    let streams = [key::journal(prefix), key::queue_orders(prefix), key::queue_exits(prefix)];
    let wrong = streams
        .iter()
        .map(|name| (name, KeyKind::Stream))
        .chain(std::iter::once((&key::active(prefix), KeyKind::Set)))
        .find(|(name, kind)| {
            let found = server::key_kind(ctx, name);
            found != KeyKind::Empty && found != *kind
        })
        .map(|(name, _)| name.clone());
    wrong.map_or(Ok(()), |name| {
        Err(Refusal::new(
            Code::WrongType,
            format!("{name} holds another type than strat keeps there: rename or delete it"),
        ))
    })
}

/// Writes a change. Answers its version.
pub(crate) fn apply(ctx: &Context, write: Write<'_>) -> u64 {
    let Write { key, mut change, version, side, now_ms, replaced } = write;
    change.fields.push(("version".to_owned(), version.to_string()));
    change.fields.push(("updated_at".to_owned(), now_ms.to_string()));
    let hash = key.hash();
    if let Some(obsolete) = replaced.as_ref().filter(|fields| !fields.is_empty()) {
        let args: Vec<&[u8]> = std::iter::once(hash.as_bytes()).chain(obsolete.iter().map(Vec::as_slice)).collect();
        call(ctx, "HDEL", &args);
    }
    let texts = change.fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let args: Vec<&[u8]> = std::iter::once(hash.as_bytes()).chain(texts).collect();
    call(ctx, "HSET", &args);
    if replaced.is_some() {
        // A new strategy does not inherit the old one's time to live.
        call(ctx, "PERSIST", &[hash.as_bytes()]);
    }
    repair::mend_all(ctx);
    journal(ctx, key, &change, version, now_ms, replaced.is_some());
    if let Some(order) = &change.enqueue {
        enqueue(ctx, key, order, side, version);
    }
    if change.release_lock {
        call(ctx, "DEL", &[key.lock().as_bytes()]);
    }
    publish(ctx, key, &change, now_ms);
    version
}

/// Deletes a strategy with everything that is its own.
pub(crate) fn remove(ctx: &Context, key: &StrategyKey<'_>, change: &Change, version: u64, now_ms: i64) {
    call(ctx, "DEL", &[key.hash().as_bytes(), key.lock().as_bytes()]);
    repair::mend_all(ctx);
    journal(ctx, key, change, version, now_ms, false);
    publish(ctx, key, change, now_ms);
}

fn journal(ctx: &Context, key: &StrategyKey<'_>, change: &Change, version: u64, now_ms: i64, replace: bool) {
    let stream = key::journal(key.prefix);
    let maxlen = settings::JOURNAL_MAXLEN.get().to_string();
    let (hash, version, ts) = (key.hash(), version.to_string(), now_ms.to_string());
    let data = Value::Object(change.data()).to_string();
    let order = change.order.as_ref().and_then(|order| serde_json::to_string(order).ok());
    let mut args: Vec<&[u8]> = vec![stream.as_bytes(), b"MAXLEN", b"~", maxlen.as_bytes(), b"*"];
    let fields = [
        (journal_field::KEY, hash.as_str()),
        (journal_field::VERSION, &version),
        (journal_field::TYPE, change.journal.as_str()),
        (journal_field::TS, &ts),
        (journal_field::DATA, &data),
    ];
    args.extend(fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
    if let Some(order) = &order {
        args.extend([journal_field::ORDER.as_bytes(), order.as_bytes()]);
    }
    if replace {
        args.extend([journal_field::REPLACE.as_bytes(), b"1"]);
    }
    call(ctx, "XADD", &args);
}

fn enqueue(ctx: &Context, key: &StrategyKey<'_>, order: &Enqueue, side: Side, version: u64) {
    let stream = match order.action.leg(side) {
        Leg::Entry => key::queue_orders(key.prefix),
        Leg::Exit => key::queue_exits(key.prefix),
    };
    let fields = [
        (queue_field::KEY, key.hash()),
        (queue_field::ACTION, order.action.to_string()),
        (queue_field::CYCLE, order.cycle.to_string()),
        (queue_field::VERSION, version.to_string()),
        (queue_field::PRICE, order.price.clone()),
        (queue_field::TS, order.ts.to_string()),
    ];
    let mut args: Vec<&[u8]> = vec![stream.as_bytes(), b"*"];
    args.extend(fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
    call(ctx, "XADD", &args);
}

fn publish(ctx: &Context, key: &StrategyKey<'_>, change: &Change, now_ms: i64) {
    let channel = key::events_channel(key.user);
    let mut data = change.data();
    data.extend(change.context.clone());
    for kind in &change.publish {
        let event = Event::new(*kind, now_ms, key.strategy, data.clone()).to_json();
        call(ctx, "PUBLISH", &[channel.as_bytes(), event.as_bytes()]);
    }
}

/// Keeps the extremes of a storm that one call could not drain.
pub(crate) fn write_drain(ctx: &Context, name: &str, text: &str) {
    call(ctx, "SET", &[name.as_bytes(), text.as_bytes()]);
}

/// A storm is drained.
pub(crate) fn delete_drain(ctx: &Context, name: &str) {
    call(ctx, "DEL", &[name.as_bytes()]);
}

/// One write. It was validated, so a refusal here is an internal error: counted and logged, never silent.
pub(crate) fn call(ctx: &Context, command: &str, args: &[&[u8]]) {
    if let Err(error) = server::write(ctx, command, args) {
        state::with(|state| state.counters.write_errors += 1);
        let key = args.first().map_or_else(String::new, |key| String::from_utf8_lossy(key).into_owned());
        ctx.log_warning(&format!("{command} {key} failed: {error}"));
    }
}
