//! The end of `strategy_events`, for all who listen: one query for all of them.

use crate::store::{EventRow, Store};
use crate::sync::SyncHandle;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// Time between two looks: another engine may be the one that writes.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Shortest time between two: what comes in a rush is read together.
const PAUSE: Duration = Duration::from_millis(20);
/// Events of one look.
const SLICE: i64 = 1_000;
/// Events that a listener may fall behind before it has to read for itself.
const CAPACITY: usize = 4_096;

/// Where everybody listens. Clones share it.
#[derive(Clone)]
pub(super) struct Tail {
    store: Store,
    sync: SyncHandle,
    feed: broadcast::Sender<Arc<EventRow>>,
    /// What has been told up to here.
    told: Arc<Mutex<i64>>,
}

/// What a listener has to read for itself, and where he hears the rest.
pub(super) struct Listening {
    /// Every event behind this number comes by `feed`.
    pub(super) from: i64,
    pub(super) feed: broadcast::Receiver<Arc<EventRow>>,
}

impl Tail {
    pub(super) fn new(store: Store, sync: SyncHandle) -> Self {
        Self { store, sync, feed: broadcast::Sender::new(CAPACITY), told: Arc::default() }
    }

    /// Listens from now on.
    pub(super) async fn listen(&self) -> sqlx::Result<Listening> {
        let mut told = self.told.lock().await;
        if self.feed.receiver_count() == 0 {
            // Nobody was told anything meanwhile.
            *told = self.store.last_event().await?;
        }
        Ok(Listening { from: *told, feed: self.feed.subscribe() })
    }

    /// Tells the listeners, until cancelled.
    pub(super) async fn run(&self, cancel: CancellationToken) {
        let mut applied = self.sync.subscribe();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = look.tick() => {}
                // Whoever lags has news all the same.
                heard = applied.recv() => if matches!(heard, Err(RecvError::Closed)) { return },
            }
            if self.feed.receiver_count() > 0
                && let Err(error) = self.tell().await
            {
                tracing::debug!(%error, "the end of the events cannot be read, trying again");
            }
            sleep(PAUSE).await;
            // One look for all that came meanwhile; what came before it was told.
            if !applied.is_empty() {
                applied = applied.resubscribe();
                look.reset_immediately();
            }
        }
    }

    async fn tell(&self) -> sqlx::Result<()> {
        let mut told = self.told.lock().await;
        loop {
            let rows = self.store.events(None, *told, i64::MAX, SLICE).await?;
            let count = rows.len();
            for row in rows {
                *told = row.seq;
                // Nobody listening is no error.
                let _ = self.feed.send(Arc::new(row));
            }
            if (count as i64) < SLICE {
                return Ok(());
            }
        }
    }
}
