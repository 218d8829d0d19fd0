//! The right to compute a value and to store it.

use super::remote::{Claim, Remote};
use crate::error::Result;
use redis::aio::ConnectionLike;
use std::sync::Arc;
use std::time::Duration;

/// A lock with a token of its own. Unless it was used up, it is given back when dropped: the caller may have gone away,
/// the computation may have failed, and nobody shall wait for that until the lock runs out.
pub(super) struct Lease<C: ConnectionLike + Clone + Send + Sync + 'static> {
    remote: Arc<Remote<C>>,
    key: String,
    token: String,
    generations: Vec<String>,
    /// Whether the lock may be ours.
    held: bool,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Lease<C> {
    /// Takes nothing yet. `None` without randomness: no token can be made that is nobody else's.
    pub(super) fn new(remote: &Arc<Remote<C>>, key: &str) -> Option<Self> {
        let mut token = [0; 16];
        getrandom::fill(&mut token).ok()?;
        let token = format!("{:032x}", u128::from_be_bytes(token));
        Some(Self { remote: remote.clone(), key: key.to_owned(), token, generations: Vec::new(), held: false })
    }

    /// Looks for a value other than `useless`, and takes the lock where there is none.
    pub(super) async fn claim(&mut self, tags: &[String], ttl: Duration, useless: &[u8]) -> Result<Claim> {
        self.held = true;
        let (claim, generations) = self.remote.claim(&self.key, tags, &self.token, ttl, useless).await?;
        self.held = matches!(claim, Claim::Mine);
        self.generations = generations;
        Ok(claim)
    }

    /// What the tags had when the lock was taken.
    pub(super) fn generations(&self) -> &[String] {
        &self.generations
    }

    /// Whether the value was stored: `false` where the lock is not this one any more, or a tag was invalidated.
    pub(super) async fn store(mut self, tags: &[String], text: &str, ttl: Duration) -> Result<bool> {
        let tags = tags.iter().zip(&self.generations);
        let stored = self.remote.store(&self.key, &self.token, tags, text, ttl).await?;
        self.held = false;
        Ok(stored)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Drop for Lease<C> {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        // Outside of a runtime it has to run out by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (remote, key, token) =
                (self.remote.clone(), std::mem::take(&mut self.key), std::mem::take(&mut self.token));
            runtime.spawn(async move {
                if let Err(error) = remote.release(&key, &token).await {
                    tracing::debug!(key, %error, "cannot give the lock of a computation back, it runs out");
                }
            });
        }
    }
}
