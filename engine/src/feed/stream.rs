//! A feed from a Redis stream: any process writes ticks with `XADD`, the engine reads them.
//!
//! - An entry has `symbol` and `price`, perhaps `ts` (epoch ms; without it the time of the entry's id counts), `size` and `id`.
//! - **Read in batches, from where the last engine stopped.** The id of the last entry that was read is kept in
//!   `{stream}:position`; an engine that starts goes on there, but not further back than [`BACKLOG_MAX`]: what is older is no
//!   price of now. Without a position it begins with what comes.
//! - **Trimmed by the engine** to the last [`KEPT`], by the ids' times, so that writers need not think of it.
//! - What makes no sense is counted, and put aside with the reason in `{stream}:rejected`, which keeps the last
//!   [`REJECTED_MAX`] or so.
//!
//! It comes by way of Redis: while Redis is away there are no prices from here, and nobody to watch stops by them.

use super::rejected::Rejected;
use super::{Feed, FeedError, Stamp, Tick, TradeId};
use crate::failure::one_line;
use crate::net::Pauses;
use async_trait::async_trait;
use entries::{before, entries, page, parse_id};
use redis::Value;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use strat_client::{Connection, Error};
use strat_core::field::parse_count;
use strat_core::key::check_symbol;
use strat_core::{Price, Quantity};
use tokio::time::{Instant, sleep};

mod entries;

/// Fields that mean something.
const FIELDS: [&str; 5] = ["symbol", "price", "ts", "size", "id"];
/// Entries of one read.
const BATCH: usize = 500;
/// Longest wait of a read, which must be shorter than the connection's patience.
const BLOCK: Duration = Duration::from_millis(500);
/// How far back an engine that starts goes on reading.
const BACKLOG_MAX: Duration = Duration::from_secs(60);
/// Entries younger than this are kept, for whoever else reads the stream.
const KEPT: Duration = Duration::from_secs(300);
/// Streams that nobody writes to go away, and so does a position that says nothing any more.
const STREAM_LIFE: Duration = Duration::from_secs(7 * 86_400);
const POSITION_LIFE: Duration = Duration::from_secs(3_600);
/// About as many rejected entries are kept.
const REJECTED_MAX: usize = 1_000;
/// Time between two writings of the position, and between two trims.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
const TRIM_EVERY: Duration = Duration::from_secs(10);
/// First and longest pause after Redis did not answer.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Longest text of a field that is put aside.
const FIELD_BYTES_MAX: usize = 256;
/// Fields of an entry that are put aside.
const FIELDS_MAX: usize = 16;
/// Symbols whose names are kept for sharing; further ones are just not shared.
const SYMBOLS_MAX: usize = 1_000_000;

/// Which stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// Its key.
    pub stream: String,
}

/// The feed.
pub struct StreamFeed {
    redis: Connection,
    names: Names,
    /// Id of the last entry that was read; `None` before the first look.
    position: Option<String>,
    /// The position that Redis has.
    written: Option<String>,
    upkeep_at: Instant,
    trim_at: Instant,
    ticks: VecDeque<Tick>,
    symbols: HashSet<Arc<str>>,
    pauses: Pauses,
    bad: Rejected,
}

struct Names {
    stream: String,
    position: String,
    rejected: String,
}

impl StreamFeed {
    /// A feed over a connection of its own, on which it waits.
    #[must_use]
    pub fn new(settings: &StreamSettings, redis: Connection) -> Self {
        let stream = settings.stream.clone();
        let names = Names { position: format!("{stream}:position"), rejected: format!("{stream}:rejected"), stream };
        let now = Instant::now();
        Self {
            redis,
            names,
            position: None,
            written: None,
            upkeep_at: now,
            trim_at: now,
            ticks: VecDeque::new(),
            symbols: HashSet::new(),
            pauses: Pauses::new(PAUSES.0, PAUSES.1),
            bad: Rejected::default(),
        }
    }

    /// Reads what is next. Dropped half-way it has taken nothing, and reads it again.
    async fn read(&mut self) -> Result<(), Error> {
        let position = match &self.position {
            Some(position) => position.clone(),
            None => {
                let begin = self.begin().await?;
                tracing::info!(stream = self.names.stream, after = begin, "reading ticks from Redis");
                self.position.insert(begin).clone()
            }
        };
        self.keep_up().await?;
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(BATCH).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        command.arg("STREAMS").arg(&self.names.stream).arg(&position);
        let answer: Value = command.query_async(&mut self.redis).await?;
        let entries = entries(answer);
        let mut rejected = redis::pipe();
        for (id, fields) in &entries {
            match self.tick(id, fields) {
                Ok(tick) => self.ticks.push_back(tick),
                Err(why) => self.reject(&mut rejected, id, fields, &why),
            }
        }
        if let Some((last, _)) = entries.last() {
            self.position = Some(last.clone());
        }
        if entries.is_empty() {
            self.stay_within().await?;
        }
        // The ticks are taken by now: trouble with what was put aside must not have them read again.
        if !rejected.is_empty()
            && let Err(error) = rejected.exec_async(&mut self.redis).await
        {
            tracing::warn!(%error, "what is no tick could not be put aside");
        }
        Ok(())
    }

    /// Where to begin: where the last engine stopped, or so far back at most; else with what comes.
    async fn begin(&mut self) -> Result<String, Error> {
        let (seconds, _): (i64, i64) = redis::cmd("TIME").query_async(&mut self.redis).await?;
        let oldest_ms = (seconds * 1_000).saturating_sub(BACKLOG_MAX.as_millis() as i64).max(0);
        let kept: Option<String> = redis::cmd("GET").arg(&self.names.position).query_async(&mut self.redis).await?;
        if let Some(id) = kept.filter(|id| parse_id(id).is_some()) {
            let oldest = format!("{oldest_ms}-0");
            let is_recent = parse_id(&id) >= parse_id(&oldest);
            return Ok(if is_recent { id } else { oldest });
        }
        Ok(self.newest().await?.unwrap_or_else(|| "0-0".to_owned()))
    }

    /// Id of the newest entry.
    async fn newest(&mut self) -> Result<Option<String>, Error> {
        let mut last = redis::cmd("XREVRANGE");
        last.arg(&self.names.stream).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: Value = last.query_async(&mut self.redis).await?;
        Ok(page(newest).pop().map(|(id, _)| id))
    }

    /// A stream that was deleted, or whose server lost writes, may go on with older ids: nothing of it would be read.
    async fn stay_within(&mut self) -> Result<(), Error> {
        let newest = self.newest().await?;
        let (Some(newest), Some(position)) = (newest, &self.position) else { return Ok(()) };
        if parse_id(&newest) < parse_id(position) {
            tracing::warn!(
                stream = self.names.stream,
                position,
                newest,
                "the stream goes on with older ids; what it has beside its newest entry is not read"
            );
            // From the newest on: a replay of older prices could fire what was armed since.
            self.position = Some(before(&newest));
        }
        Ok(())
    }

    /// Writes the position down (whatever was read before has been taken) and trims what is old, now and then.
    async fn keep_up(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if now >= self.upkeep_at && self.written != self.position {
            let mut set = redis::cmd("SET");
            set.arg(&self.names.position).arg(&self.position).arg("EX").arg(POSITION_LIFE.as_secs());
            set.exec_async(&mut self.redis).await?;
            self.written.clone_from(&self.position);
            self.upkeep_at = now + UPKEEP_EVERY;
        }
        if now >= self.trim_at {
            let (seconds, _): (i64, i64) = redis::cmd("TIME").query_async(&mut self.redis).await?;
            let min_id = format!("{}-0", (seconds - KEPT.as_secs() as i64).max(0) * 1_000);
            let mut trim = redis::pipe();
            trim.cmd("XTRIM").arg(&self.names.stream).arg("MINID").arg("~").arg(min_id).ignore();
            trim.cmd("EXPIRE").arg(&self.names.stream).arg(STREAM_LIFE.as_secs()).ignore();
            trim.exec_async(&mut self.redis).await?;
            self.trim_at = now + TRIM_EVERY;
        }
        Ok(())
    }

    fn tick(&mut self, id: &str, fields: &[(String, String)]) -> Result<Tick, String> {
        let mut found: [Option<&str>; FIELDS.len()] = [None; FIELDS.len()];
        for (name, value) in fields {
            let Some(at) = FIELDS.iter().position(|known| known == name) else { continue };
            if found[at].replace(value).is_some() {
                return Err(format!("it has two fields '{name}'"));
            }
        }
        let [symbol, price, ts, size, trade] = found;
        let symbol = symbol.ok_or("it has no field 'symbol'")?;
        let price_text = price.ok_or("it has no field 'price'")?;
        let price = Price::parse(price_text.as_bytes()).map_err(|why| format!("price '{price_text}' {why}"))?;
        let (ts_ms, stamp) = match ts {
            Some(ts) => {
                let bad = || format!("ts '{ts}' is not epoch milliseconds");
                (parse_count(ts.as_bytes()).ok_or_else(bad)?, Stamp::Market)
            }
            // When it was written says nothing of the trade, and after a failover such times may go back.
            None => {
                let written_ms = parse_id(id).and_then(|(ms, _)| i64::try_from(ms).ok());
                (written_ms.ok_or("its id is no time")?, Stamp::Arrival)
            }
        };
        let size = size.map(|size| Quantity::parse(size.as_bytes()).map_err(|why| format!("size '{size}' {why}")));
        let size = size.transpose()?;
        let (symbol, price_text, id) = (self.shared(symbol)?, price_text.to_owned(), trade.map(TradeId::of_text));
        Ok(Tick { ts_ms, stamp, symbol, price, price_text, size, id })
    }

    fn shared(&mut self, symbol: &str) -> Result<Arc<str>, String> {
        if let Some(known) = self.symbols.get(symbol) {
            return Ok(Arc::clone(known));
        }
        check_symbol(symbol).map_err(|refusal| refusal.detail)?;
        let symbol: Arc<str> = symbol.into();
        if self.symbols.len() < SYMBOLS_MAX {
            self.symbols.insert(Arc::clone(&symbol));
        }
        Ok(symbol)
    }

    fn reject(&mut self, aside: &mut redis::Pipeline, id: &str, fields: &[(String, String)], why: &str) {
        let why = one_line(why);
        if let Some(total) = self.bad.another() {
            tracing::error!(stream = self.names.stream, id, why, total, "an entry of the stream is not a tick");
        }
        let command = aside.cmd("XADD");
        command.arg(&self.names.rejected).arg("MAXLEN").arg("~").arg(REJECTED_MAX).arg("*");
        command.arg("id").arg(id).arg("reason").arg(why);
        for (name, value) in fields.iter().take(FIELDS_MAX) {
            command.arg(format!("field:{}", short(name))).arg(short(value));
        }
        command.ignore();
        aside.cmd("EXPIRE").arg(&self.names.rejected).arg(STREAM_LIFE.as_secs()).ignore();
    }
}

#[async_trait]
impl Feed for StreamFeed {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        loop {
            if let Some(tick) = self.ticks.pop_front() {
                return Some(Ok(tick));
            }
            match self.read().await {
                Ok(()) => self.pauses.reset(),
                Err(error) => {
                    let pause = self.pauses.pause();
                    let pause_ms = pause.as_millis() as u64;
                    tracing::warn!(stream = self.names.stream, %error, pause_ms, "no ticks from Redis, trying again");
                    sleep(pause).await;
                }
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(FIELD_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests;
