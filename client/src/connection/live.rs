//! A socket in use: how it is opened, and behind sentinels the task that looks after it.

use super::Shared;
use crate::config::Place;
use crate::sentinel::Sentinels;
use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisResult};
use std::io;
use std::sync::{Arc, Weak};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Requests that may wait to be written to the socket; further callers wait their turn.
const WRITE_QUEUE: usize = 512;

#[derive(Clone)]
pub(super) struct Live {
    /// Tells sockets apart, so that a late error of an old one does not close its successor.
    pub(super) generation: u64,
    pub(super) connection: MultiplexedConnection,
    /// Behind sentinels. It ends with the last user of the socket.
    pub(super) watch: Option<Arc<Watch>>,
}

impl Live {
    /// Where the primary is, as the sentinels name it.
    pub(super) fn primary(&self) -> Option<&str> {
        self.watch.as_ref().map(|watch| watch.address.as_str())
    }
}

impl Shared {
    /// A new socket to where the server is, or to where the sentinels say it is.
    pub(super) async fn open(self: &Arc<Self>) -> RedisResult<Live> {
        match self.config.place() {
            Place::Known(info) => {
                let generation = self.next_generation();
                let client = Client::open(info.clone())?;
                let options = self.options(generation);
                let connection = client.get_multiplexed_async_connection_with_config(&options).await?;
                Ok(Live { generation, connection, watch: None })
            }
            Place::Asked(sentinels) => {
                // Each server that is tried is a generation, so that the end of one that was not taken is not taken for
                // the end of the next.
                let mut generation = 0;
                let options = || {
                    generation = self.next_generation();
                    self.options(generation)
                };
                let primary = sentinels.primary(self.config.connect_timeout(), options).await?;
                let watch = Watch::start(self, generation, Arc::clone(sentinels), primary.address);
                Ok(Live { generation, connection: primary.connection, watch: Some(Arc::new(watch)) })
            }
        }
    }

    fn next_generation(&self) -> u64 {
        let mut pause = self.pause();
        pause.generations += 1;
        pause.generations
    }

    fn options(self: &Arc<Self>, generation: u64) -> AsyncConnectionConfig {
        let options = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.config.connect_timeout()))
            .set_response_timeout(Some(self.config.response_timeout()))
            .set_pipeline_buffer_size(WRITE_QUEUE);
        if self.config.redis_settings().protocol() == ProtocolVersion::RESP2 {
            return options;
        }
        let shared: Weak<Self> = Arc::downgrade(self);
        options.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection
                && let Some(shared) = shared.upgrade()
            {
                shared.leave(generation);
            }
            Ok::<(), SendError>(())
        })
    }
}

/// Notices that the primary is elsewhere. The old one may be silent, or may take writes that will be lost: neither is
/// seen on its socket.
pub(super) struct Watch {
    address: String,
    moved: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Watch {
    /// For the socket of `generation`, which leads to `address`.
    fn start(shared: &Arc<Shared>, generation: u64, sentinels: Arc<Sentinels>, address: String) -> Self {
        let (tell, moved) = watch::channel(false);
        // Weak: the task belongs to the socket, and the socket to what is shared.
        let weak: Weak<Shared> = Arc::downgrade(shared);
        let (from, limit) = (address.clone(), shared.config.connect_timeout());
        let task = tokio::spawn(async move {
            let to = sentinels.moved(&from, limit).await;
            tracing::warn!(from, to, "the primary has moved, following it");
            if let Some(shared) = weak.upgrade() {
                shared.leave(generation);
            }
            tell.send_replace(true);
        });
        Self { address, moved, task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The outcome of `work`, unless the primary moves first: its reply may never come, and if it comes, it is about data
/// that is not the primary's any more.
pub(super) async fn unless_moved<T>(
    watch: Option<&Watch>,
    work: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let Some(watch) = watch else { return work.await };
    let mut moved = watch.moved.clone();
    tokio::select! {
        // A reply that has come is taken before anything else is looked at.
        biased;
        outcome = work => outcome,
        true = async { moved.wait_for(|moved| *moved).await.is_ok() } => {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, "the primary has moved elsewhere").into())
        }
    }
}
