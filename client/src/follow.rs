//! Following the journal from now on, without a group: for whoever keeps a view of his own and reads the truth anew
//! whenever he may have missed something.

use crate::connection::Connection;
use crate::entry::{entries, entries_by_stream};
use crate::error::{Error, Result};
use crate::journal::{JournalDelivery, typed};
use redis::Value;
use std::time::Duration;
use strat_core::key;

/// Reads the journal of one partition as it grows.
///
/// Nothing is acknowledged and nothing is kept back for it: what is trimmed while it looks away it never sees. Therefore
/// [`JournalFollower::stand_at_end`] first, then read the strategies, then follow; and begin again after an error, after
/// a pause, and where the versions of a strategy leave a gap.
#[derive(Debug)]
pub struct JournalFollower {
    blocking: Connection,
    journal: String,
    last: String,
    block_max: Duration,
}

impl JournalFollower {
    /// A follower in the partition of `prefix` (`{tag}` or empty), with a connection of its own for blocking reads of up
    /// to `block_max`. It stands at the journal's beginning.
    ///
    /// # Errors
    /// [`Error::Config`] for an address that this build cannot connect to.
    pub fn new(commands: &Connection, prefix: &str, block_max: Duration) -> Result<Self> {
        let config = commands.config();
        let patient = config.clone().with_response_timeout(block_max.saturating_add(config.response_timeout()));
        let blocking = Connection::lazy(&patient)?;
        Ok(Self { blocking, journal: key::journal(prefix), last: "0-0".to_owned(), block_max })
    }

    /// Stands behind the newest entry: what comes later will be read.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn stand_at_end(&mut self) -> Result<()> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&self.journal).arg("+").arg("-").arg("COUNT").arg(1);
        let value = command.query_async::<Value>(&mut self.blocking).await.map_err(Error::from)?;
        let newest = entries(&self.journal, value)?;
        self.last = newest.into_iter().next().map_or_else(|| "0-0".to_owned(), |entry| entry.id);
        Ok(())
    }

    /// What came since; none if nothing comes within `block` (at most `block_max`); a `block` of zero answers at once. Fewer than `count` entries mean that
    /// these were all.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn read(&mut self, count: usize, block: Duration) -> Result<Vec<JournalDelivery>> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(count.max(1));
        if !block.is_zero() {
            // BLOCK 0 would wait for ever.
            command.arg("BLOCK").arg(block.min(self.block_max).as_millis().max(1) as u64);
        }
        command.arg("STREAMS").arg(&self.journal).arg(&self.last);
        let value = command.query_async::<Value>(&mut self.blocking).await.map_err(Error::from)?;
        let read = entries_by_stream(value)?;
        if let Some(newest) = read.last() {
            self.last.clone_from(&newest.id);
        }
        Ok(read.into_iter().map(typed).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Server, say};

    fn bulk(text: &str) -> String {
        format!("${}\r\n{text}\r\n", text.len())
    }

    /// An entry of the journal as it stands in a reply.
    fn entry(id: &str, version: &str) -> String {
        let fields =
            ["key", "user:a:strategy:s", "version", version, "type", "STRATEGY_UPDATED", "ts", "9", "data", "{}"];
        let fields: String = fields.iter().map(|text| bulk(text)).collect();
        format!("*2\r\n{}*10\r\n{fields}", bulk(id))
    }

    #[tokio::test]
    async fn it_reads_on_from_the_newest_entry_it_knows() {
        let server = Server::start(|_, command| {
            let page = |entries: &[String]| {
                format!("*1\r\n*2\r\n{}*{}\r\n{}", bulk("journal"), entries.len(), entries.concat())
            };
            match command {
                "XREVRANGE journal + - COUNT 1" => say(format!("*1\r\n{}", entry("5-0", "3"))),
                "XREAD COUNT 10 BLOCK 20 STREAMS journal 5-0" => say(page(&[entry("6-0", "4"), entry("6-1", "x")])),
                _ => say("*-1\r\n"),
            }
        })
        .await;
        let connection = Connection::open(&server.config()).await.unwrap();
        let mut journal = JournalFollower::new(&connection, "", Duration::from_millis(20)).unwrap();
        journal.stand_at_end().await.unwrap();
        let read = journal.read(10, Duration::from_secs(9)).await.unwrap();
        assert_eq!((read[0].as_ref().unwrap().version, read[1].is_err(), read.len()), (4, true, 2));
        assert!(journal.read(10, Duration::ZERO).await.unwrap().is_empty());
        assert_eq!(server.seen().last().unwrap().1, "XREAD COUNT 10 STREAMS journal 6-1");
    }

    #[tokio::test]
    async fn an_empty_journal_is_read_from_its_beginning() {
        let server =
            Server::start(|_, command| say(if command.starts_with("XREV") { "*0\r\n" } else { "*-1\r\n" })).await;
        let connection = Connection::open(&server.config()).await.unwrap();
        let mut journal = JournalFollower::new(&connection, "{t}", Duration::from_millis(20)).unwrap();
        journal.stand_at_end().await.unwrap();
        journal.read(1, Duration::from_millis(5)).await.unwrap();
        assert_eq!(server.seen().last().unwrap().1, "XREAD COUNT 1 BLOCK 5 STREAMS {t}journal 0-0");
    }
}
