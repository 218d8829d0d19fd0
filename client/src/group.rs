//! Reading a stream as a member of a consumer group: what queues and journal have in common.

use crate::connection::Connection;
use crate::entry::{RawEntry, entries, entries_by_stream};
use crate::error::{Error, Result};
use crate::queue::{last_delivered, wait_command};
use crate::reply;
use redis::aio::ConnectionLike as _;
use redis::{Cmd, Value};
use std::collections::HashMap;
use std::time::Duration;
use strat_core::Code;

/// Most `XAUTOCLAIM` calls for one stream in one go; the next go continues where this one stopped.
const CLAIM_CALLS_MAX: usize = 8;

/// One consumer of one group.
#[derive(Debug)]
pub(crate) struct GroupReader {
    /// For everything that answers at once.
    pub(crate) commands: Connection,
    /// For blocking reads, which hold up whatever comes behind them on the same socket.
    blocking: Connection,
    group: &'static str,
    consumer: String,
    block_max: Duration,
    streams: Vec<String>,
    cursors: HashMap<String, String>,
    /// The last entry of a stream that the group was given, as far as this reader knows.
    delivered: HashMap<String, String>,
}

impl GroupReader {
    pub(crate) fn new(
        commands: &Connection,
        group: &'static str,
        consumer: &str,
        streams: Vec<String>,
        block_max: Duration,
    ) -> Result<Self> {
        let config = commands.config();
        let patient = config.clone().with_response_timeout(block_max.saturating_add(config.response_timeout()));
        Ok(Self {
            commands: commands.clone(),
            blocking: Connection::lazy(&patient)?,
            group,
            consumer: consumer.to_owned(),
            block_max,
            streams,
            cursors: HashMap::new(),
            delivered: HashMap::new(),
        })
    }

    /// Creates streams and group where they are missing. Existing ones stay as they are.
    pub(crate) async fn ensure_groups(&mut self) -> Result<()> {
        for stream in &self.streams {
            let mut command = redis::cmd("XGROUP");
            // From 0: what was enqueued before the group existed counts as well.
            command.arg("CREATE").arg(stream).arg(self.group).arg("0").arg("MKSTREAM");
            match command.exec_async(&mut self.commands).await.map_err(Error::from) {
                Err(Error::Server { code, .. }) if code == "BUSYGROUP" => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// New entries; none if nothing comes within `block`. Without `block` it answers at once.
    ///
    /// Where the group is gone (a flush), it is created again and nothing is returned.
    pub(crate) async fn read_new(
        &mut self,
        stream: &str,
        count: usize,
        block: Option<Duration>,
    ) -> Result<Vec<RawEntry>> {
        let mut command = self.read_command(count);
        // BLOCK 0 would wait for ever.
        let block = block.map(|block| block.min(self.block_max).as_millis().max(1));
        if let Some(ms) = block {
            command.arg("BLOCK").arg(ms as u64);
        }
        command.arg("STREAMS").arg(stream).arg(">");
        let connection = if block.is_some() { &mut self.blocking } else { &mut self.commands };
        let outcome = command.query_async::<Value>(connection).await.map_err(Error::from);
        match self.recreated(outcome).await? {
            Some(value) => entries_by_stream(value),
            None => Ok(Vec::new()),
        }
    }

    pub(crate) fn consumer(&self) -> &str {
        &self.consumer
    }

    /// Runs `command` when something new stands in the stream, in the same turn of the server, or after `block`.
    ///
    /// Where the group is gone (a flush), it is created again and nothing is returned.
    pub(crate) async fn run_when_new(&mut self, stream: &str, block: Duration, command: Cmd) -> Result<Option<Value>> {
        let after = match self.delivered.get(stream) {
            Some(id) => id.clone(),
            None => {
                self.ensure_groups().await?;
                let id = last_delivered(&mut self.commands, stream, self.group).await?;
                id.unwrap_or_else(|| "0-0".to_owned())
            }
        };
        let mut pipeline = redis::pipe();
        pipeline.add_command(wait_command(stream, &after, block.min(self.block_max))).add_command(command);
        // Whatever is lost on the way, the next call asks anew.
        self.delivered.remove(stream);
        let mut replies = self.blocking.req_packed_commands(&pipeline, 0, 2).await.map_err(Error::from)?.into_iter();
        let mut next = || reply::optional(replies.next().unwrap_or(Value::Nil));
        let (woken, outcome) = (next(), next());
        let value = self.recreated(outcome).await?.flatten();
        if value.is_some() && matches!(woken, Ok(None)) {
            self.delivered.insert(stream.to_owned(), after);
        }
        Ok(value)
    }

    /// Notes up to where the group was given a stream. Without that, and after another worker was given what woke this one,
    /// the next call asks.
    pub(crate) fn note_delivered(&mut self, stream: &str, last: String) {
        self.delivered.insert(stream.to_owned(), last);
    }

    /// Entries that this consumer was given before and has not acknowledged, from the oldest.
    pub(crate) async fn read_own_pending(&mut self, stream: &str, count: usize) -> Result<Vec<RawEntry>> {
        let mut command = self.read_command(count);
        command.arg("STREAMS").arg(stream).arg("0");
        let outcome = command.query_async::<Value>(&mut self.commands).await.map_err(Error::from);
        let Some(value) = self.recreated(outcome).await? else {
            return Ok(Vec::new());
        };
        let entries = entries_by_stream(value)?;
        self.with_delivery_counts(stream, entries).await
    }

    fn read_command(&self, count: usize) -> Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(self.group).arg(&self.consumer).arg("COUNT").arg(count.max(1));
        command
    }

    /// `None` where the group did not exist; now it does.
    async fn recreated<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Err(error) if is_gone(&error) => {
                tracing::warn!(group = self.group, streams = ?self.streams, "consumer group is gone (a flush?), creating it again");
                self.ensure_groups().await?;
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Takes over entries that some consumer was given `min_idle` ago or earlier and has not acknowledged.
    pub(crate) async fn claim(&mut self, stream: &str, min_idle: Duration, count: usize) -> Result<Vec<RawEntry>> {
        let mut claimed: Vec<RawEntry> = Vec::new();
        for _ in 0..CLAIM_CALLS_MAX {
            let cursor = self.cursors.get(stream).map_or("0-0", String::as_str);
            let mut command = redis::cmd("XAUTOCLAIM");
            command.arg(stream).arg(self.group).arg(&self.consumer).arg(min_idle.as_millis() as u64).arg(cursor);
            command.arg("COUNT").arg(count.saturating_sub(claimed.len()).max(1));
            let outcome = command.query_async::<Value>(&mut self.commands).await.map_err(Error::from);
            let Some(value) = self.recreated(outcome).await? else {
                break;
            };
            let (cursor, taken_over) = taken_over(stream, value)?;
            claimed.extend(taken_over);
            let finished = cursor == "0-0";
            self.cursors.insert(stream.to_owned(), cursor);
            if finished || claimed.len() >= count {
                break;
            }
        }
        self.with_delivery_counts(stream, claimed).await
    }

    /// Neither `XAUTOCLAIM` nor `XREADGROUP` says how often an entry was handed out.
    async fn with_delivery_counts(&mut self, stream: &str, mut entries: Vec<RawEntry>) -> Result<Vec<RawEntry>> {
        if entries.is_empty() {
            return Ok(entries);
        }
        let mut pipeline = redis::pipe();
        for entry in &entries {
            pipeline.cmd("XPENDING").arg(stream).arg(self.group).arg(&entry.id).arg(&entry.id).arg(1);
        }
        let replies: Vec<Value> = pipeline.query_async(&mut self.commands).await?;
        for (entry, reply) in entries.iter_mut().zip(replies) {
            // Acknowledged in between: it was handed out at least twice, or it would not be here.
            entry.deliveries = delivery_count(reply)?.unwrap_or(2);
        }
        Ok(entries)
    }

    /// Has entries count as never handed out, and wait for `min_idle` of [`Self::claim`] from now on.
    pub(crate) async fn forget_deliveries(&mut self, stream: &str, ids: &[&str]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XCLAIM");
        command.arg(stream).arg(self.group).arg(&self.consumer).arg(0).arg(ids).arg("RETRYCOUNT").arg(0).arg("JUSTID");
        Ok(command.exec_async(&mut self.commands).await?)
    }

    pub(crate) async fn acknowledge(&mut self, stream: &str, ids: &[&str]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XACK");
        command.arg(stream).arg(self.group).arg(ids);
        Ok(command.exec_async(&mut self.commands).await?)
    }
}

/// The group is not there: the server says so, or has waked who waited for it.
fn is_gone(error: &Error) -> bool {
    error.code() == Some(Code::NoGroup) || matches!(error, Error::Server { code, .. } if code == "UNBLOCKED")
}

/// Next cursor, entries, and from 7.0 on the ids that were deleted meanwhile and are acknowledged with that.
pub(crate) fn taken_over(stream: &str, value: Value) -> Result<(String, Vec<RawEntry>)> {
    let mut parts = reply::array(value, "XAUTOCLAIM's reply")?.into_iter();
    let cursor = reply::text(parts.next().unwrap_or_default(), "cursor")?;
    Ok((cursor, entries(stream, parts.next().unwrap_or_default())?))
}

/// The fourth member of `XPENDING`'s only row.
pub(crate) fn delivery_count(value: Value) -> Result<Option<u64>> {
    let Some(row) = reply::array(value, "XPENDING's reply")?.into_iter().next() else {
        return Ok(None);
    };
    let count = reply::array(row, "XPENDING's row")?.into_iter().nth(3);
    count.map(|count| reply::count(count, "delivery count")).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_delivery_count_is_the_fourth_column() {
        let row = Value::Array(vec![bulk("1-0"), bulk("worker"), Value::Int(1_500), Value::Int(3)]);
        assert_eq!(delivery_count(Value::Array(vec![row])).unwrap(), Some(3));
        assert_eq!(delivery_count(Value::Array(vec![])).unwrap(), None);
    }
}
