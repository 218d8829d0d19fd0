//! Noticing that the primary has moved, from whoever is connected to the old one.

use super::{Sentinels, in_time, open};
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisResult};
use std::time::Duration;
use tokio::time::sleep;

/// How often a watch asks where the primary is.
pub(super) const EVERY: Duration = Duration::from_millis(500);
/// What a sentinel publishes once the primary is another one.
const NEWS: &str = "+switch-master";

/// A watch's sentinel.
struct Post {
    node: usize,
    connection: MultiplexedConnection,
    /// Brings the look forward. A subscription can go silent unnoticed, so asking goes on beside it.
    news: Option<(PubSubSink, PubSubStream)>,
}

impl Sentinels {
    /// Completes when another server than `from` is the primary; answers with its address. Cancel-safe.
    ///
    /// Until a sentinel has told it, which takes it ten seconds, an old primary that was handed over, paused or cut off
    /// takes writes that will be lost. So this is not to wait for its refusal.
    pub(crate) async fn moved(&self, from: &str, whole: Duration) -> String {
        let step = self.step(whole);
        let mut post = None;
        loop {
            let Some((node, place)) = self.look(&mut post, step).await else {
                post = None;
                sleep(self.watch_every).await;
                continue;
            };
            if place.to_string() == from {
                self.put_first(node);
                wait(&mut post, self.watch_every).await;
                continue;
            }
            let address = place.to_string();
            let told = open(&self.server.clone().set_addr(place), &AsyncConnectionConfig::new(), step).await;
            if let Err(error) = told {
                // Named before it is promoted, or by a sentinel that knows no better: nobody is sent there yet, and the
                // next look is at another sentinel.
                tracing::debug!(address, %error, "named as the primary, but does not say so");
                self.put_last(node);
                post = None;
                sleep(self.watch_every).await;
                continue;
            }
            self.put_first(node);
            return address;
        }
    }

    /// Asks at `post`, or at a new one with the sentinel that comes first. `None` where it does not say.
    async fn look(&self, post: &mut Option<Post>, step: Duration) -> Option<(usize, ConnectionAddr)> {
        let node = match post {
            Some(post) => post.node,
            None => self.ordered().first().copied()?,
        };
        let answer = self.answer(node, post, step).await;
        if let Err(why) = &answer {
            tracing::debug!(why, "cannot ask whether the primary has moved");
            self.put_last(node);
        }
        answer.ok().map(|place| (node, place))
    }

    async fn answer(&self, node: usize, post: &mut Option<Post>, step: Duration) -> Result<ConnectionAddr, String> {
        let post = match post {
            Some(post) => post,
            None => {
                let connection = self.reach(node, step).await?;
                let news = in_time(step, self.subscribe(node)).await;
                let news = news.inspect_err(|error| tracing::debug!(%error, "no news from the sentinel, only answers"));
                post.insert(Post { node, connection, news: news.ok() })
            }
        };
        self.question(node, &mut post.connection, step).await
    }

    async fn subscribe(&self, node: usize) -> RedisResult<(PubSubSink, PubSubStream)> {
        let (mut sink, stream) = Client::open(self.nodes[node].clone())?.get_async_pubsub().await?.split();
        sink.subscribe(NEWS).await?;
        Ok((sink, stream))
    }
}

/// Until there is news, of whatever service, or it is time to ask again.
async fn wait(post: &mut Option<Post>, every: Duration) {
    let Some(Post { news: Some((_, stream)), .. }) = post else { return sleep(every).await };
    let ended = tokio::select! {
        message = stream.next() => message.is_none(),
        () = sleep(every) => false,
    };
    if ended {
        // The sentinel has gone, or has had enough of us: the next look finds out, after a pause.
        *post = None;
        sleep(every).await;
    }
}
