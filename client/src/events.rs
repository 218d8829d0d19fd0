//! The live events of one user.
//!
//! Redis' pub/sub delivers at most once: what is published while the connection is away, or faster than it is read, is
//! gone. The stream says so with [`Notice::Gap`]; the durable copy is the journal.

use crate::backoff::Backoff;
use crate::config::{Config, Place};
use crate::connection::in_time;
use crate::error::{Error, NotSent, Result, why_not};
use crate::reply::one_line;
use futures_util::Stream;
use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, ProtocolVersion, RedisError, RedisResult};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use strat_core::event::Event;
use strat_core::key::{check_id, events_channel};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// Events that wait for their reader; more are dropped, and a gap says so.
const BUFFER: usize = 1_024;
/// A connection that says nothing is asked this often whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(15);

/// One item of an [`EventStream`].
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Something happened to a strategy of the user.
    Event(Event),
    /// Events may be missing from here on: the connection broke, or the reader fell behind. Read the state anew, by
    /// `STRAT.LIST` and `STRAT.GET`, once [`Notice::Reconnected`] has come (after falling behind: at once).
    Gap {
        /// Why.
        reason: String,
        /// Whether the subscription stands all the same: only the reader was slow.
        listening: bool,
    },
    /// The subscription stands again.
    Reconnected,
}

/// The events of one user, over a connection of its own. Dropping it ends the subscription.
///
/// ```no_run
/// # async fn example() -> strat_client::Result<()> {
/// use futures_util::StreamExt;
/// use strat_client::{Config, EventStream, Notice};
/// let mut events = EventStream::subscribe(&Config::from_env()?, "alice").await?;
/// while let Some(notice) = events.next().await {
///     match notice? {
///         Notice::Event(event) => println!("{} {}", event.kind, event.strategy_id),
///         Notice::Gap { reason, .. } => println!("events may be missing: {reason}"),
///         Notice::Reconnected => println!("live again"),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct EventStream {
    notices: mpsc::Receiver<Result<Notice>>,
}

impl EventStream {
    /// Subscribes. When this returns, the subscription stands: what is published from now on will come.
    ///
    /// # Errors
    /// [`Error::Refused`] for an id with forbidden bytes, `NOPERM` where the ACL does not give the channel, and whatever
    /// hinders the connection. Later failures are reported by the stream, which goes on trying.
    pub async fn subscribe(config: &Config, user: &str) -> Result<Self> {
        check_id("user_id", user)?;
        let link = Link { config: config.clone(), channel: events_channel(user) };
        let subscription = link.connect().await?;
        let (sender, notices) = mpsc::channel(BUFFER);
        tokio::spawn(link.run(subscription, Outlet { sender, dropped: 0 }));
        Ok(Self { notices })
    }
}

impl Stream for EventStream {
    type Item = Result<Notice>;

    /// Ends only when the runtime shuts down.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.notices.poll_recv(context)
    }
}

/// Where a channel is subscribed to.
pub(crate) struct Link {
    pub(crate) config: Config,
    pub(crate) channel: String,
}

pub(crate) struct Subscription {
    /// Kept for the pings, and because the socket closes with it.
    sink: PubSubSink,
    messages: PubSubStream,
    /// Behind sentinels: the primary that it leads to.
    primary: Option<String>,
}

impl Link {
    pub(crate) async fn connect(&self) -> Result<Subscription> {
        let unavailable = |error: RedisError| match error.kind() {
            ErrorKind::Io => NotSent { address: self.config.address(), reason: why_not(&error) }.into(),
            _ => error,
        };
        let attempt = async { self.open().await.map_err(unavailable) };
        let mut subscription = in_time(self.config.connect_timeout(), attempt).await?;
        in_time(self.config.response_timeout(), subscription.sink.subscribe(&self.channel)).await?;
        Ok(subscription)
    }

    async fn open(&self) -> RedisResult<Subscription> {
        let (info, primary) = match self.config.place() {
            Place::Known(info) => (info.clone(), None),
            Place::Asked(sentinels) => {
                let found = sentinels.primary(self.config.connect_timeout(), AsyncConnectionConfig::new).await?;
                (found.info, Some(found.address))
            }
        };
        let (sink, messages) = Client::open(for_pubsub(info))?.get_async_pubsub().await?.split();
        Ok(Subscription { sink, messages, primary })
    }

    /// Completes when the primary is elsewhere. An old one that was paused, cut off or made a replica answers pings, but
    /// what is published is published elsewhere.
    async fn moved(&self, from: Option<&str>) -> String {
        match (self.config.place(), from) {
            (Place::Asked(sentinels), Some(from)) => sentinels.moved(from, self.config.connect_timeout()).await,
            _ => std::future::pending().await,
        }
    }

    /// Until the reader is gone.
    async fn run(self, first: Subscription, mut outlet: Outlet) {
        let mut subscription = first;
        let gone = outlet.sender.clone();
        loop {
            tokio::select! {
                () = gone.closed() => return,
                reason = self.forward(&mut subscription, |payload| outlet.put(read(payload))) => outlet.gap(reason),
            }
            subscription = tokio::select! {
                () = gone.closed() => return,
                subscription = self.reconnect(&mut outlet) => subscription,
            };
            outlet.put(Ok(Notice::Reconnected));
        }
    }

    /// Hands messages on until the connection breaks; answers with why.
    pub(crate) async fn forward(&self, subscription: &mut Subscription, mut take: impl FnMut(&[u8])) -> String {
        let primary = subscription.primary.clone();
        let mut moved = pin!(self.moved(primary.as_deref()));
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = subscription.messages.next() => match message {
                    Some(message) => take(message.get_payload_bytes()),
                    None => return "the connection to Redis was lost".to_owned(),
                },
                to = &mut moved => return format!("the primary has moved to {to}"),
                _ = pings.tick() => {
                    let pong = in_time(self.config.response_timeout(), subscription.sink.ping::<redis::Value>()).await;
                    match pong {
                        Ok(_) => {}
                        Err(Error::Timeout { .. }) => return "Redis did not answer a ping in time".to_owned(),
                        Err(_) => return "the connection to Redis was lost".to_owned(),
                    }
                }
            }
        }
    }

    async fn reconnect(&self, outlet: &mut Outlet) -> Subscription {
        let mut backoff = Backoff::new(self.config.backoff());
        loop {
            match self.connect().await {
                Ok(subscription) => return subscription,
                Err(error) => {
                    tracing::warn!(channel = self.channel, %error, "cannot subscribe again");
                    // That Redis is away was said by the gap; that it refuses us is news.
                    if !matches!(error, Error::Unavailable { .. } | Error::Timeout { .. } | Error::Lost { .. }) {
                        outlet.put(Err(error));
                    }
                    sleep(backoff.next_pause()).await;
                }
            }
        }
    }
}

/// The crate's pub/sub connection speaks RESP2 whatever the others speak.
fn for_pubsub(info: ConnectionInfo) -> ConnectionInfo {
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    info.set_redis_settings(redis)
}

pub(crate) fn read(payload: &[u8]) -> Result<Notice> {
    let event = serde_json::from_slice(payload);
    event.map(Notice::Event).map_err(|why| Error::BadReply(one_line(&format!("an event's JSON does not read: {why}"))))
}

/// Never waits for the reader: a slow one loses events, as Redis' own pub/sub would have it, instead of filling memory.
struct Outlet {
    sender: mpsc::Sender<Result<Notice>>,
    dropped: u64,
}

impl Outlet {
    fn put(&mut self, item: Result<Notice>) {
        let owned_up = self.dropped == 0 || self.own_up();
        if !owned_up || self.sender.try_send(item).is_err() {
            self.dropped += 1;
        }
    }

    fn gap(&mut self, reason: String) {
        tracing::warn!(reason, "events may be missing");
        self.put(Ok(Notice::Gap { reason, listening: false }));
    }

    /// Tells the reader what it missed, if there is room for that and for the item behind it.
    fn own_up(&mut self) -> bool {
        if self.sender.capacity() < 2 {
            return false;
        }
        let reason = format!("{} notices were dropped because the reader was slow", self.dropped);
        let told = self.sender.try_send(Ok(Notice::Gap { reason, listening: true })).is_ok();
        if told {
            self.dropped = 0;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> Result<Notice> {
        let json = format!(
            r#"{{"type":"SL_TRIGGERED","timestamp":"1970-01-01T00:00:00.000Z","strategy_id":"s{n}","data":{{}}}}"#
        );
        read(json.as_bytes())
    }

    #[test]
    fn what_is_no_event_is_an_error_and_not_the_end() {
        assert!(matches!(event(1).unwrap(), Notice::Event(event) if event.strategy_id == "s1"));
        assert!(matches!(read(b"hello"), Err(Error::BadReply(_))));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_much_it_missed() {
        let (sender, mut receiver) = mpsc::channel(3);
        let mut outlet = Outlet { sender, dropped: 0 };
        for n in 0..5 {
            outlet.put(event(n));
        }
        for n in 0..3 {
            assert_eq!(receiver.recv().await.unwrap().unwrap(), event(n).unwrap());
        }
        outlet.put(event(5));
        assert!(
            matches!(receiver.recv().await.unwrap().unwrap(), Notice::Gap { reason, listening: true } if reason.starts_with("2 "))
        );
        assert_eq!(receiver.recv().await.unwrap().unwrap(), event(5).unwrap());
    }

    #[tokio::test]
    async fn a_forbidden_user_id_is_refused_before_anything_is_sent() {
        let config = Config::from_url("redis://127.0.0.1:1/").unwrap();
        let error = EventStream::subscribe(&config, "a:*").await.unwrap_err();
        assert_eq!(error.code(), Some(strat_core::Code::BadField));
        let error = EventStream::subscribe(&config, "alice").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    }
}
