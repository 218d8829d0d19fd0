//! The order queues: exits before entries, every entry until somebody acknowledges it.

mod take;

pub use self::take::{Claimed, Taken};
pub(crate) use self::take::{last_delivered, wait_command};

use crate::connection::Connection;
use crate::entry::{BadEntry, RawEntry, entries};
use crate::error::Result;
use crate::group::GroupReader;
use crate::reply::count_of_text;
use redis::Value;
use redis::streams::StreamRangeReply;
use std::time::Duration;
use strat_core::field::parse_count;
pub use strat_core::order::ENGINE_GROUP;
use strat_core::order::queue_field;
use strat_core::{Action, key};

/// An order to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Key of the stream it stands in.
    pub stream: String,
    /// Id in that stream.
    pub id: String,
    /// Times that it was handed out, this one included. Above 1, ask the broker first whether the order exists.
    pub deliveries: u64,
    /// Key of the strategy's hash.
    pub key: String,
    /// What to do.
    pub action: Action,
    /// Cycle that the order belongs to.
    pub cycle: u64,
    /// Version of the hash when it was enqueued.
    pub version: u64,
    /// Price of the tick that fired, as it was given; `None` for timed actions.
    pub price: Option<String>,
    /// Epoch ms of the tick or of the time that came.
    pub ts_ms: Option<i64>,
}

/// What a read hands out: an order, or an entry that is none (somebody else's `XADD`) and wants to be discarded.
pub type Delivery = std::result::Result<QueueEntry, BadEntry>;

/// Which of the order queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// `queue:exits`: what ends a position.
    Exits,
    /// `queue:orders`: what begins one.
    Orders,
}

/// Length of the queues, entries in work included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepths {
    /// Of `queue:exits`.
    pub exits: u64,
    /// Of `queue:orders`.
    pub orders: u64,
    /// When the oldest exit was enqueued, epoch ms; `None` where there is none.
    pub oldest_exit_ms: Option<i64>,
    /// When the oldest entry was.
    pub oldest_order_ms: Option<i64>,
}

/// One worker's view of the order queues of one partition.
///
/// An entry stays with its reader until `STRAT.REPORT … ACK` or [`QueueReader::discard`]; if neither comes,
/// [`QueueReader::claim`] of any worker hands it out again.
#[derive(Debug)]
pub struct QueueReader {
    group: GroupReader,
    exits: String,
    orders: String,
}

impl QueueReader {
    /// A reader named `consumer`, in the partition of `prefix` (`{tag}` or empty), with a connection of its own for
    /// blocking reads of up to `block_max`. Connects when it first reads.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an address that this build cannot connect to.
    pub fn new(commands: &Connection, prefix: &str, consumer: &str, block_max: Duration) -> Result<Self> {
        let (exits, orders) = (key::queue_exits(prefix), key::queue_orders(prefix));
        let group = GroupReader::new(commands, ENGINE_GROUP, consumer, vec![exits.clone(), orders.clone()], block_max)?;
        Ok(Self { group, exits, orders })
    }

    /// Creates streams and group where they are missing. Reading does so too when it finds them gone.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn ensure_groups(&mut self) -> Result<()> {
        self.group.ensure_groups().await
    }

    /// Up to `count` orders of one queue that nobody was given yet; none if none comes within `block` (at most
    /// `block_max`). With a `block` of zero it answers at once.
    ///
    /// One queue, because exits must never wait for entries: who works off both reads each with a reader of its own, or
    /// the exits first.
    ///
    /// Not cancel-safe: what was handed out to a future that is dropped comes back by [`QueueReader::claim`] only.
    ///
    /// # Errors
    /// Whatever the server or the connection says. What a lost reply held comes back by [`QueueReader::claim`].
    pub async fn read(&mut self, queue: Queue, count: usize, block: Duration) -> Result<Vec<Delivery>> {
        let stream = self.stream(queue).to_owned();
        let block = Some(block).filter(|block| !block.is_zero());
        let found = self.group.read_new(&stream, count, block).await?;
        Ok(found.into_iter().map(typed).collect())
    }

    fn stream(&self, queue: Queue) -> &str {
        match queue {
            Queue::Exits => &self.exits,
            Queue::Orders => &self.orders,
        }
    }

    /// Takes over orders that some worker was given `min_idle` ago or earlier and has neither finished nor given up:
    /// exits first, at most `count` of each queue.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn claim(&mut self, min_idle: Duration, count: usize) -> Result<Vec<Delivery>> {
        let mut claimed = self.group.claim(&self.exits, min_idle, count).await?;
        claimed.extend(self.group.claim(&self.orders, min_idle, count).await?);
        Ok(claimed.into_iter().map(typed).collect())
    }

    /// Puts entries back that nothing was done for: whoever is handed one next takes it for new. [`QueueReader::claim`] hands
    /// them out once they have waited for its `min_idle`.
    ///
    /// # Errors
    /// Whatever the server or the connection says: then they count as handed out.
    pub async fn put_back(&mut self, stream: &str, ids: &[&str]) -> Result<()> {
        self.group.forget_deliveries(stream, ids).await
    }

    /// Takes an entry out of the queue: its order is not wanted any more (`BUSY`, `NOSTRAT`), or it is a [`BadEntry`].
    /// An order that was carried out is acknowledged by `STRAT.REPORT … ACK` instead, which checks the token.
    ///
    /// # Errors
    /// Whatever the server or the connection says; to discard twice does no harm.
    pub async fn discard(&mut self, stream: &str, id: &str) -> Result<()> {
        discard(&mut self.group.commands, stream, id).await
    }

    /// Length of both queues, and since when their oldest orders wait.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn depths(&mut self) -> Result<QueueDepths> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(&self.exits).cmd("XLEN").arg(&self.orders);
        for queue in [&self.exits, &self.orders] {
            pipeline.cmd("XRANGE").arg(queue).arg("-").arg("+").arg("COUNT").arg(1);
        }
        let (exits, orders, exit, order): (Value, Value, StreamRangeReply, StreamRangeReply) =
            pipeline.query_async(&mut self.group.commands).await?;
        // An id begins with the time at which it was given.
        let ms = |oldest: &StreamRangeReply| oldest.ids.first()?.id.split('-').next()?.parse().ok();
        Ok(QueueDepths {
            exits: crate::reply::count(exits, "XLEN")?,
            orders: crate::reply::count(orders, "XLEN")?,
            oldest_exit_ms: ms(&exit),
            oldest_order_ms: ms(&order),
        })
    }
}

/// As [`QueueReader::discard`], unless the entry is another strategy's order by now than that of `owner`: a server that
/// was promoted gives ids out again.
///
/// # Errors
/// Whatever the server or the connection says; to discard twice does no harm.
pub async fn discard_own(redis: &mut Connection, stream: &str, id: &str, owner: &str) -> Result<()> {
    let found: Value = redis::cmd("XRANGE").arg(stream).arg(id).arg(id).query_async(redis).await?;
    match entries(stream, found)?.first().and_then(|entry| entry.get(queue_field::KEY)) {
        Some(key) if key != owner => Ok(()),
        _ => discard(redis, stream, id).await,
    }
}

async fn discard(redis: &mut Connection, stream: &str, id: &str) -> Result<()> {
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("XACK").arg(stream).arg(ENGINE_GROUP).arg(id).ignore();
    pipeline.cmd("XDEL").arg(stream).arg(id).ignore();
    Ok(pipeline.exec_async(redis).await?)
}

pub(crate) fn typed(raw: RawEntry) -> Delivery {
    let count = |name: &str| count_of_text(raw.need(name)?, name).map_err(|why| raw.bad(why.to_string()));
    let filled = |name: &str| raw.get(name).filter(|value| !value.is_empty());
    let action = raw.need(queue_field::ACTION)?;
    let ts_ms = match filled(queue_field::TS) {
        None => None,
        Some(ts) => Some(parse_count(ts.as_bytes()).ok_or_else(|| raw.bad(format!("ts '{ts}' is not epoch ms")))?),
    };
    Ok(QueueEntry {
        key: raw.need(queue_field::KEY)?.to_owned(),
        action: action.parse().map_err(|why: String| raw.bad(format!("action {why}")))?,
        cycle: count(queue_field::CYCLE)?,
        version: count(queue_field::VERSION)?,
        price: filled(queue_field::PRICE).map(str::to_owned),
        ts_ms,
        deliveries: raw.deliveries,
        id: raw.id,
        stream: raw.stream,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(fields: &[(&str, &str)]) -> RawEntry {
        RawEntry {
            stream: "queue:exits".into(),
            id: "7-0".into(),
            deliveries: 2,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    const KEY: (&str, &str) = ("key", "user:a:strategy:s");

    #[test]
    fn an_exit_that_a_tick_fired_carries_its_price_as_given() {
        let entry = typed(raw(&[
            KEY,
            ("action", "STOPLOSS"),
            ("cycle", "1"),
            ("version", "4"),
            ("price", "2449.50"),
            ("ts", "1700000000000"),
        ]))
        .unwrap();
        assert_eq!((entry.action, entry.cycle, entry.version, entry.deliveries), (Action::StopLoss, 1, 4, 2));
        assert_eq!((entry.price.as_deref(), entry.ts_ms), (Some("2449.50"), Some(1_700_000_000_000)));
    }

    #[test]
    fn a_timed_order_has_no_price() {
        let entry =
            typed(raw(&[KEY, ("action", "BUY"), ("cycle", "1"), ("version", "4"), ("price", ""), ("ts", "")])).unwrap();
        assert_eq!((entry.price, entry.ts_ms), (None, None));
    }

    #[test]
    fn a_complaint_is_one_line_however_long_the_value_is() {
        let value = format!("a\nb{}", "x".repeat(10_000));
        let bad = typed(raw(&[KEY, ("action", &value), ("cycle", "1"), ("version", "4")])).unwrap_err();
        assert!(bad.reason.starts_with("action 'a bxxx") && bad.reason.len() == 300, "{bad}");
    }

    #[test]
    fn foreign_entries_are_handed_out_as_such() {
        let cases: [&[(&str, &str)]; 4] = [
            &[],
            &[KEY, ("action", "HOLD"), ("cycle", "1"), ("version", "4")],
            &[KEY, ("action", "BUY"), ("cycle", "-1"), ("version", "4")],
            &[KEY, ("action", "BUY"), ("cycle", "1"), ("version", "4"), ("ts", "soon")],
        ];
        for fields in cases {
            let bad = typed(raw(fields)).unwrap_err();
            assert_eq!((bad.stream.as_str(), bad.id.as_str()), ("queue:exits", "7-0"), "{bad}");
        }
    }
}
