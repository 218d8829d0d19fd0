//! Everything of the client that waits for something, at work in tasks.

use futures_util::StreamExt as _;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strat_client::{Config, Connection, EventStream, JournalReader, Notice, Queue, QueueReader};
use tokio::runtime::Runtime;

/// Reads block in the server for so long. Much longer than a failover takes: who waited for that to pass would be late.
const BLOCK: Duration = Duration::from_secs(60);
/// Locks live for so long.
const LOCK: Duration = Duration::from_millis(100);
/// Pause after an error.
const PAUSE: Duration = Duration::from_millis(20);

/// What has come, by reader and strategy.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeSet<(&'static str, String)>>>);

/// Readers that note what comes.
pub(super) const READERS: [&str; 3] = ["queue", "journal", "events"];

impl Seen {
    /// Starts all readers; when this returns, the subscription stands.
    pub(super) fn start(runtime: &Runtime, connection: &Connection, config: &Config) -> Self {
        let seen = Self::default();
        let events = runtime.block_on(EventStream::subscribe(config, "al")).unwrap();
        runtime.spawn(seen.clone().queue(connection.clone()));
        runtime.spawn(seen.clone().journal(connection.clone()));
        runtime.spawn(seen.clone().events(events));
        seen
    }

    /// Whether a reader has got something of a strategy.
    pub(super) fn has(&self, reader: &'static str, strategy: &str) -> bool {
        self.0.lock().unwrap().contains(&(reader, strategy.to_owned()))
    }

    fn note(&self, reader: &'static str, key: &str) {
        let strategy = key.rsplit(':').next().unwrap_or_default();
        self.0.lock().unwrap().insert((reader, strategy.to_owned()));
    }

    async fn queue(self, connection: Connection) {
        let mut queue = QueueReader::new(&connection, "", "w", BLOCK).unwrap();
        loop {
            // As the engine reads: the lock comes with the entry.
            let found = match queue.take(Queue::Exits, 10, BLOCK, LOCK, None).await {
                Ok(found) => found.into_iter().map(|taken| taken.delivery).collect(),
                Err(error) => {
                    println!("queue: {error}");
                    tokio::time::sleep(PAUSE).await;
                    // What a lost reply held.
                    queue.claim(Duration::ZERO, 10).await.unwrap_or_default()
                }
            };
            for entry in found.into_iter().map(Result::unwrap) {
                self.note("queue", &entry.key);
                let _ = queue.discard(&entry.stream, &entry.id).await;
            }
        }
    }

    async fn journal(self, connection: Connection) {
        let mut journal = JournalReader::new(&connection, "", "w", BLOCK).unwrap();
        loop {
            let found = match journal.read(10, BLOCK).await {
                Ok(found) => found,
                Err(error) => {
                    println!("journal: {error}");
                    tokio::time::sleep(PAUSE).await;
                    journal.read_unacknowledged(10).await.unwrap_or_default()
                }
            };
            for entry in found.into_iter().map(Result::unwrap) {
                self.note("journal", &entry.key);
                let _ = journal.acknowledge(&[&entry.id]).await;
            }
        }
    }

    async fn events(self, mut events: EventStream) {
        while let Some(notice) = events.next().await {
            match notice {
                Ok(Notice::Event(event)) => self.note("events", &event.strategy_id),
                Ok(Notice::Reconnected) => self.note("events", "reconnected"),
                other => println!("events: {other:?}"),
            }
        }
    }

    /// Forgets that the event stream was connected again.
    pub(super) fn forget_reconnected(&self) {
        self.0.lock().unwrap().remove(&("events", "reconnected".to_owned()));
    }
}
