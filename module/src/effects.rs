//! The only place that writes a strategy or an alert: hash, sets, journal, queues, lock and events of one change, in one
//! MULTI/EXEC for the AOF and the replicas. Everything was validated before; nothing here refuses.

use crate::server::{self, KeyKind, Point, reach};
use crate::{keyspace, repair, settings, state, trail};
use redis_module::{Context, RedisString};
use strat_core::alert::{FiredAlert, alert_field};
use strat_core::book::TrailWrite;
use strat_core::event::{EventType, journal_field};
use strat_core::key;
use strat_core::order::queue_field;
use strat_core::strategy::{Change, Enqueue, Fields};
use strat_core::{AlertKey, Code, Leg, Refusal, Side, Strategy, StrategyKey};

/// A change and what it needs to be written.
pub(crate) struct Write<'a> {
    pub(crate) key: &'a StrategyKey<'a>,
    pub(crate) change: Change,
    /// Version that the change leads to.
    pub(crate) version: u64,
    /// For the queue of the action.
    pub(crate) side: Side,
    pub(crate) now_ms: i64,
    /// The strategy as it was, where its hash is only changed and was read a moment ago.
    pub(crate) before: Option<&'a Strategy>,
    /// Fields of a replaced hash that the new one does not have; `None` where fields are only changed.
    pub(crate) replaced: Option<Vec<Vec<u8>>>,
}

impl<'a> Write<'a> {
    /// A change of some fields of a strategy that was read a moment ago.
    pub(crate) const fn of(key: &'a StrategyKey<'a>, before: &'a Strategy, change: Change, now_ms: i64) -> Self {
        let (version, side) = (before.next_version(), before.side);
        Self { key, change, version, side, now_ms, before: Some(before), replaced: None }
    }
}

/// Refuses before the first write where a key that the change would touch holds another type.
pub(crate) fn preflight(ctx: &Context, prefix: &str) -> Result<(), Refusal> {
    check_partition(ctx, prefix)?;
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
    wrong.map_or(Ok(()), |name| Err(wrong_type(&name)))
}

fn wrong_type(name: &str) -> Refusal {
    let why = format!("{name} holds another type than strat keeps there: rename or delete it");
    Refusal::new(Code::WrongType, why)
}

/// Whether every key of a partition lives where its strategies live: in a cluster, only where they share a tag.
pub(crate) fn is_local(ctx: &Context, prefix: &str) -> bool {
    !prefix.is_empty() || !server::is_cluster(ctx)
}

/// Refuses keys without a tag in a cluster: their locks and queues would live on other nodes.
pub(crate) fn check_partition(ctx: &Context, prefix: &str) -> Result<(), Refusal> {
    if is_local(ctx, prefix) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::BadField,
        "in a cluster every key needs a {tag}: {tag}user:<user_id>:strategy:<strategy_id>",
    ))
}

/// How a step is taken.
#[derive(Debug, Clone, Copy)]
enum How {
    /// By a call of this command.
    Call(&'static str),
    /// `XADD`, and a trim to about so many entries.
    Append(Option<i64>),
    /// `PUBLISH`.
    Publish,
}

/// A write and its arguments, as the server takes them.
type Step = (How, Vec<RedisString>);

fn step<'a>(how: How, args: impl IntoIterator<Item = &'a [u8]>) -> Step {
    (how, args.into_iter().map(server::string).collect())
}

/// Writes a change. Answers its version.
///
/// All steps are made before the first one is taken: where the code panics, there is nothing half written. Each step
/// is taken for itself, so that a panic in one keeps the others from nothing.
///
/// # Errors
/// The order could not be enqueued, then nothing was written; or the hash could not, then it is as before, and an
/// order in the queue that it does not know is claimed as any other, or dropped.
pub(crate) fn apply(ctx: &Context, write: Write<'_>) -> Result<u64, Refusal> {
    let Write { key, mut change, version, side, now_ms, before, replaced } = write;
    trail::begin_with(ctx, key, before, &mut change);
    change.fields.push(("version".to_owned(), version.to_string()));
    change.fields.push(("updated_at".to_owned(), now_ms.to_string()));
    let hash = key.hash();
    let name = || std::iter::once(hash.as_bytes());
    let order = change.enqueue.as_ref().map(|order| enqueue(key, order, side, version));
    let obsolete = replaced.as_ref().filter(|fields| !fields.is_empty());
    let obsolete = obsolete.map(|fields| step(How::Call("HDEL"), name().chain(fields.iter().map(Vec::as_slice))));
    let texts = change.fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let fields: Vec<_> = name().chain(texts).map(server::string).collect();
    // A new strategy does not inherit the old one's time to live.
    let persist = replaced.is_some().then(|| step(How::Call("PERSIST"), name()));
    let unlock = change.release_lock.then(|| step(How::Call("DEL"), [key.lock().as_bytes()]));
    let record = journal(key, &change, version, now_ms, replaced.is_some());
    let events = publish(key, &change, now_ms);
    let known = before.and_then(|before| before.after(&change.fields));

    // First: a stop marked as fired that is in no queue would be lost.
    order.map_or(Ok(()), |order| take(ctx, &order))?;
    obsolete.into_iter().for_each(|step| best_effort(take(ctx, &step)));
    set_fields(ctx, key, &fields, known)?;
    persist.into_iter().for_each(|step| best_effort(take(ctx, &step)));
    repair::mend_all(ctx);
    trail::begin_waiting(ctx);
    best_effort(take(ctx, &record));
    unlock.into_iter().chain(events).for_each(|step| best_effort(take(ctx, &step)));
    Ok(version)
}

/// Deletes a strategy with everything that is its own.
///
/// # Errors
/// It could not be deleted; nothing was written.
pub(crate) fn remove(
    ctx: &Context,
    key: &StrategyKey<'_>,
    change: &Change,
    version: u64,
    now_ms: i64,
) -> Result<(), Refusal> {
    let record = journal(key, change, version, now_ms, false);
    let events = publish(key, change, now_ms);
    take(ctx, &step(How::Call("DEL"), [key.hash().as_bytes(), key.lock().as_bytes()]))?;
    repair::mend_all(ctx);
    best_effort(take(ctx, &record));
    events.iter().for_each(|step| best_effort(take(ctx, step)));
    Ok(())
}

fn journal(key: &StrategyKey<'_>, change: &Change, version: u64, now_ms: i64, replace: bool) -> Step {
    let stream = key::journal(key.prefix);
    let (hash, version, ts) = (key.hash(), version.to_string(), now_ms.to_string());
    let data = change.record_json();
    let order = change.order.as_ref().and_then(|order| serde_json::to_string(order).ok());
    let mut args: Vec<&[u8]> = vec![stream.as_bytes()];
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
    step(How::Append(Some(settings::JOURNAL_MAXLEN.get())), args)
}

fn enqueue(key: &StrategyKey<'_>, order: &Enqueue, side: Side, version: u64) -> Step {
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
    let mut args: Vec<&[u8]> = vec![stream.as_bytes()];
    args.extend(fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
    step(How::Append(None), args)
}

fn publish(key: &StrategyKey<'_>, change: &Change, now_ms: i64) -> Vec<Step> {
    let channel = key::events_channel(key.user);
    let event = |kind: &EventType| change.event_json(*kind, now_ms, key.strategy);
    change.publish.iter().map(|kind| step(How::Publish, [channel.as_bytes(), event(kind).as_bytes()])).collect()
}

/// Writes or deletes the durable key of a symbol's storms.
pub(crate) fn write_storms(ctx: &Context, prefix: &str, symbol: &str, text: Option<&str>) {
    let name = key::drain(prefix, symbol);
    best_effort(match text {
        Some(text) => call(ctx, "SET", &[name.as_bytes(), text.as_bytes()]),
        None => call(ctx, "DEL", &[name.as_bytes()]),
    });
}

/// Writes what trailing stops of a symbol follow. The book, here and on replicas, follows each of the two writes: none may
/// leave the key poorer than the book.
pub(crate) fn write_trail(ctx: &Context, prefix: &str, symbol: &str, write: &TrailWrite) {
    let name = key::trail(prefix, symbol);
    if !write.written.is_empty() {
        let args = strings(&name, write.written.iter().flat_map(|(field, value)| [field, value]));
        best_effort(write_hash(ctx, &args).map(drop));
    }
    if !write.gone.is_empty() {
        let args = strings(&name, write.gone.iter());
        best_effort(by_call(ctx, "HDEL", args.iter()));
    }
}

/// Marks an alert as fired and tells its user. The hash stays for a while, to be looked at.
///
/// # Errors
/// It could not be marked: nothing was written, and it fires again.
pub(crate) fn fire_alert(ctx: &Context, key: &AlertKey<'_>, fired: &FiredAlert) -> Result<(), Refusal> {
    let hash = key.hash();
    let fields = strings(&hash, fired.fields.iter().flat_map(|(name, value)| [name, value]));
    by_call(ctx, "HSET", fields.iter())?;
    let kept_ms = settings::ALERT_KEPT_MS.get().to_string();
    best_effort(call(ctx, "PEXPIRE", &[hash.as_bytes(), kept_ms.as_bytes()]));
    let event = step(How::Publish, [key::events_channel(key.user).as_bytes(), fired.event.as_bytes()]);
    best_effort(take(ctx, &event));
    Ok(())
}

/// Arms an alert: these fields, for so long.
///
/// # Errors
/// It could not be written; nothing was.
pub(crate) fn arm_alert(
    ctx: &Context,
    key: &AlertKey<'_>,
    fields: &[(&str, &str)],
    seconds: Option<i64>,
) -> Result<(), Refusal> {
    let hash = key.hash();
    let words = fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let args: Vec<&[u8]> = std::iter::once(hash.as_bytes()).chain(words).collect();
    call(ctx, "HSET", &args)?;
    let fired = [alert_field::TRIGGERED_PRICE, alert_field::TRIGGERED_AT];
    best_effort(call(ctx, "HDEL", &[hash.as_bytes(), fired[0].as_bytes(), fired[1].as_bytes()]));
    best_effort(match seconds {
        Some(seconds) => call(ctx, "EXPIRE", &[hash.as_bytes(), seconds.to_string().as_bytes()]),
        None => call(ctx, "PERSIST", &[hash.as_bytes()]),
    });
    Ok(())
}

/// Lets a strategy follow prices that nobody let begin to: its hash was written by another road than the commands.
///
/// # Errors
/// The hash cannot be written.
pub(crate) fn begin_trailing(ctx: &Context, key: &StrategyKey<'_>, fields: &Fields) -> Result<(), Refusal> {
    set_fields(ctx, key, &strings(&key.hash(), fields.iter().flat_map(|(name, value)| [name, value])), None)
}

/// A key and what follows it, as the server takes them.
fn strings<'a>(name: &'a str, texts: impl Iterator<Item = &'a String>) -> Vec<RedisString> {
    std::iter::once(name).chain(texts.map(String::as_str)).map(|text| server::string(text.as_bytes())).collect()
}

/// Writes fields of a hash. Answers whether there was one; `None` where its key event tells the books.
fn write_hash(ctx: &Context, args: &[RedisString]) -> Result<Option<bool>, Refusal> {
    match server::is_direct(ctx) {
        true => written(ctx, "HSET", args, || server::hash_set(ctx, args)).map(Some),
        false => by_call(ctx, "HSET", args.iter()).map(|()| None),
    }
}

/// Writes fields of a strategy's hash; the books follow. `known`: what it is then.
fn set_fields(
    ctx: &Context,
    key: &StrategyKey<'_>,
    args: &[RedisString],
    known: Option<Strategy>,
) -> Result<(), Refusal> {
    let Some(existed) = write_hash(ctx, args)? else { return Ok(()) };
    // Its time may have run out since it was read: then only what was written is there.
    server::after_own_write(ctx, || keyspace::on_own_write(ctx, key, known.filter(|_| existed)));
    Ok(())
}

fn take(ctx: &Context, (how, args): &Step) -> Result<(), Refusal> {
    let direct = server::is_direct(ctx);
    match how {
        How::Call(command) => by_call(ctx, command, args.iter()),
        How::Append(max_len) if direct => written(ctx, "XADD", args, || server::stream_add(ctx, args, *max_len)),
        How::Append(max_len) => {
            let how = max_len.map_or_else(Vec::new, |n| vec!["MAXLEN".to_owned(), "~".to_owned(), n.to_string()]);
            let how: Vec<_> =
                how.iter().map(String::as_str).chain(["*"]).map(|word| server::string(word.as_bytes())).collect();
            by_call(ctx, "XADD", args.iter().take(1).chain(&how).chain(args.iter().skip(1)))
        }
        How::Publish if direct => written(ctx, "PUBLISH", args, || server::publish(ctx, &args[0], &args[1])),
        How::Publish => by_call(ctx, "PUBLISH", args.iter()),
    }
}

fn by_call<'a>(ctx: &Context, command: &str, args: impl Iterator<Item = &'a RedisString>) -> Result<(), Refusal> {
    let args: Vec<_> = args.collect();
    written(ctx, command, args.first().copied(), || server::write_strings(ctx, command, &args))
}

/// One write. It was validated, so a refusal by the server is an internal error: counted and logged.
pub(crate) fn call(ctx: &Context, command: &str, args: &[&[u8]]) -> Result<(), Refusal> {
    let args: Vec<RedisString> = args.iter().map(|arg| server::string(arg)).collect();
    by_call(ctx, command, args.iter())
}

fn written<'a, T>(
    ctx: &Context,
    command: &str,
    args: impl IntoIterator<Item = &'a RedisString>,
    write: impl FnOnce() -> Result<T, String>,
) -> Result<T, Refusal> {
    let write = || {
        reach(Point::Write);
        write()
    };
    let written = server::attempt(ctx, command, write).unwrap_or_else(|| Err("internal error, see the log".to_owned()));
    written.map_err(|error| {
        state::with(|state| state.counters.write_errors += 1);
        let key = args
            .into_iter()
            .next()
            .map_or_else(String::new, |key| String::from_utf8_lossy(key.as_slice()).into_owned());
        server::log_warning(ctx, &format!("{command} {key} failed: {error}"));
        Refusal::new(Code::Err, format!("{command} {key} failed: {error}"))
    })
}

/// Goes on after a write behind the first one: what can be mended later is not worth a half-written change.
pub(crate) fn best_effort(written: Result<(), Refusal>) {
    drop(written);
}
