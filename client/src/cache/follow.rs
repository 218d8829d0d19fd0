//! Invalidations of other processes, by pub/sub.
//!
//! Not by the server's client-side caching: it needs RESP3, it knows keys and not tags, and it would say of every value
//! that is stored, runs out or is evicted that it is invalid. A message that is lost costs at most the life that a value
//! has in the process, and after every gap nothing is kept.

use super::Cache;
use super::local::Marks;
use crate::backoff::Backoff;
use crate::config::Config;
use crate::error::Result;
use crate::events::{Link, Subscription};
use redis::aio::ConnectionLike;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;
use tokio::time::sleep;

#[derive(Serialize, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    keys: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    tags: Vec<Cow<'a, str>>,
}

pub(super) fn message(keys: &[&str], tags: &[&str]) -> String {
    serde_json::json!({ "keys": keys, "tags": tags }).to_string()
}

/// Keeps the layer in the process up to date until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct Follower {
    task: JoinHandle<()>,
    live: Arc<AtomicBool>,
}

impl Follower {
    /// Whether the subscription stands. While it does not, values of the process may be outdated by up to
    /// [`super::CacheSettings::local_ttl`].
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<C, T> Cache<C, T>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Listens for the invalidations of all processes, over a connection of its own that comes back by itself. Without
    /// it a value of the process is only dropped by an invalidation of the same process, and by the end of its life.
    ///
    /// # Errors
    /// `NOPERM` where the ACL does not give the channel, and whatever hinders the first connection.
    pub async fn follow(&self, config: &Config) -> Result<Follower> {
        let link = Link { config: config.clone(), channel: self.inner.remote.channel().to_owned() };
        let subscription = link.connect().await?;
        let live = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(follow(link, subscription, self.inner.marks.clone(), live.clone()));
        Ok(Follower { task, live })
    }
}

async fn follow(link: Link, mut subscription: Subscription, marks: Arc<Marks>, live: Arc<AtomicBool>) {
    loop {
        // What was kept while nothing was heard may be outdated.
        marks.invalidate_all();
        live.store(true, Ordering::SeqCst);
        let reason = link.forward(&mut subscription, |payload| apply(&marks, payload)).await;
        live.store(false, Ordering::SeqCst);
        marks.invalidate_all();
        tracing::warn!(
            channel = link.channel,
            reason,
            "invalidations may be missing, values of the process were dropped"
        );
        subscription = connect_again(&link).await;
    }
}

async fn connect_again(link: &Link) -> Subscription {
    let mut backoff = Backoff::new(link.config.backoff());
    loop {
        match link.connect().await {
            Ok(subscription) => return subscription,
            Err(error) => {
                tracing::warn!(channel = link.channel, %error, "cannot subscribe again");
                sleep(backoff.next_pause()).await;
            }
        }
    }
}

fn apply(marks: &Marks, payload: &[u8]) {
    match serde_json::from_slice::<Message<'_>>(payload) {
        Ok(message) => marks.invalidate(&message.keys, &message.tags),
        // Of another release, or of another hand: it invalidates something.
        Err(_) => marks.invalidate_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_drops_what_it_names_and_one_that_does_not_read_drops_everything() {
        let marks = Marks::new();
        let named = || (marks.generation("k/\"1\"", &[]), marks.generation("", &["t".to_owned()]));
        let before = named();
        apply(&marks, message(&["k/\"1\""], &["t"]).as_bytes());
        let after = named();
        assert!(after.0 > before.0 && after.1 > before.1);
        apply(&marks, b"{}");
        assert!(named().0 > after.0 && named().1 > after.1);
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            apply(&Marks::new(), &payload);
        }
    }
}
