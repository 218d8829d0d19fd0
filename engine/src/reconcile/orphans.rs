//! Orders in flight that nobody speaks for: their queue entry is gone and no engine holds their lock.
//!
//! That is how a restored strategy looks, and one whose queue was deleted. The executor takes them up, looking each
//! order up at the broker before anything is sent.

use super::Reconciler;
use crate::executor::Job;
use crate::store::Fields;
use crate::store::state;
use color_eyre::Result;
use redis::streams::StreamRangeReply;
use std::collections::{BTreeSet, HashSet};
use strat_client::StratCommands as _;
use strat_core::order::queue_field;
use strat_core::{StrategyKey, key};

/// Queue entries read at once.
const PAGE: usize = 1_000;

/// Whether an order is enqueued or works at the broker.
pub(super) fn in_flight(hash: &Fields) -> bool {
    state(hash).is_ok_and(|state| state.pending.is_some() || state.working.is_some())
}

impl Reconciler {
    /// Hands orphans to the executor, unless it is at work on them.
    pub(super) async fn hand_over(&self, candidates: BTreeSet<String>) -> Result<()> {
        if candidates.is_empty() {
            return Ok(());
        }
        let queued = self.queued().await?;
        let mut redis = self.link.connection();
        for key in candidates.into_iter().filter(|key| !queued.contains(key)) {
            let Some(id) = StrategyKey::parse(&key) else { continue };
            let locked: bool =
                redis::cmd("EXISTS").arg(id.lock()).query_async(&mut redis).await.map_err(strat_client::Error::from)?;
            let Some(strategy) = redis.strat_get(&key).await?.filter(|_| !locked) else { continue };
            let Ok(state) = strategy.state() else { continue };
            let Some(job) = Job::adopt(&key, &state) else { continue };
            let action = job.action;
            if self.executor.tracks_order(&key, action) {
                continue;
            }
            // A full channel: the next reconciliation tries again.
            if self.adopted.try_send(job).is_ok() {
                tracing::warn!(key, %action, "an order in flight had no queue entry; the executor looks it up at the broker");
            }
        }
        Ok(())
    }

    /// Keys that have an entry in one of the queues.
    async fn queued(&self) -> Result<HashSet<String>> {
        let mut redis = self.link.connection();
        let mut keys = HashSet::new();
        for queue in [key::queue_exits(""), key::queue_orders("")] {
            let mut from = "-".to_owned();
            loop {
                let page: StreamRangeReply = redis::cmd("XRANGE")
                    .arg(&queue)
                    .arg(&from)
                    .arg("+")
                    .arg("COUNT")
                    .arg(PAGE)
                    .query_async(&mut redis)
                    .await
                    .map_err(strat_client::Error::from)?;
                keys.extend(page.ids.iter().filter_map(|entry| entry.get::<String>(queue_field::KEY)));
                match page.ids.last() {
                    Some(last) if page.ids.len() == PAGE => from = format!("({}", last.id),
                    _ => break,
                }
            }
        }
        Ok(keys)
    }
}
