//! A batch's way into Postgres, and what to do about entries that do not go in.

use super::journal::raw_entry;
use crate::store::{self, Applied, JournalEntry};
use color_eyre::Result;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::sync::Arc;
use strat_client::{Connection, JournalDelivery, StratCommands as _, StrategyUpdate};
use strat_core::Code;

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Entries that were not applied before.
    pub(super) fresh: Vec<Arc<JournalEntry>>,
    pub(super) rejected: u64,
    /// Strategies whose cycle must be raised, and to what.
    pub(super) lowered: Vec<(String, i64)>,
    /// Whether some row needs a look at its hash.
    pub(super) doubtful: bool,
}

impl Outcome {
    fn add(&mut self, entries: &[Arc<JournalEntry>], applied: Applied) {
        self.fresh.extend(applied.fresh.iter().map(|at| Arc::clone(&entries[*at])));
        self.lowered.extend(applied.lowered);
        for key in &applied.doubtful {
            tracing::warn!(key, "the journal alone does not tell this strategy's row; comparing with its hash");
        }
        self.doubtful |= !applied.doubtful.is_empty();
    }
}

/// Applies what was read. Where one entry spoils it, each is tried by itself and the bad one is put aside, loudly.
///
/// # Errors
/// Where Postgres or Redis is away; then the entries come again.
pub(super) async fn apply(
    postgres: &mut PgConnection,
    redis: &mut Connection,
    read: Vec<JournalDelivery>,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut entries = Vec::with_capacity(read.len());
    for delivery in read {
        let usable = match delivery {
            Ok(entry) => {
                let id = entry.id.clone();
                JournalEntry::of(entry).map_err(|reason| (id, reason))
            }
            Err(bad) => Err((bad.id, bad.reason)),
        };
        match usable {
            Ok(entry) => entries.push(Arc::new(entry)),
            Err((id, reason)) => {
                let raw = raw_entry(redis, &id).await?;
                put_aside(postgres, &id, &raw, &reason).await?;
                outcome.rejected += 1;
            }
        }
    }
    match store::apply(postgres, &entries).await {
        Ok(applied) => outcome.add(&entries, applied),
        Err(error) if store::is_away(&error) => return Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "a batch of the journal does not go in as a whole, trying entry by entry");
            one_by_one(postgres, &entries, &mut outcome).await?;
        }
    }
    Ok(outcome)
}

async fn one_by_one(
    postgres: &mut PgConnection,
    entries: &[Arc<JournalEntry>],
    outcome: &mut Outcome,
) -> sqlx::Result<()> {
    for single in entries.chunks(1) {
        match store::apply(postgres, single).await {
            Ok(applied) => outcome.add(single, applied),
            Err(error) if store::is_away(&error) => return Err(error),
            Err(error) => {
                put_aside(postgres, &single[0].id, &as_json(&single[0]), &error.to_string()).await?;
                outcome.rejected += 1;
                outcome.doubtful = true;
            }
        }
    }
    Ok(())
}

async fn put_aside(postgres: &mut PgConnection, id: &str, entry: &Value, reason: &str) -> sqlx::Result<()> {
    tracing::error!(id, reason, %entry, "a journal entry cannot be applied; it is kept in the table journal_rejects");
    store::reject(postgres, id, entry, reason).await
}

fn as_json(entry: &JournalEntry) -> Value {
    json!({
        "key": entry.key, "version": entry.version, "type": entry.kind, "ts": entry.ts_ms, "data": entry.data,
        "order": entry.order, "replace": entry.replace,
    })
}

/// A strategy that came back with a lower cycle than it once had goes on from there: the broker's order ids are
/// made from the cycle and must never repeat.
pub(crate) async fn raise_cycle(redis: &mut Connection, key: &str, cycle: i64) -> strat_client::Result<()> {
    let Some(strategy) = redis.strat_get(key).await? else { return Ok(()) };
    let current = strategy.count("cycle").unwrap_or(0);
    if current >= cycle {
        return Ok(());
    }
    if strategy.state().is_ok_and(|state| !state.is_idle()) {
        tracing::error!(
            key,
            current,
            cycle,
            "the strategy came back with a lower cycle and is in the market already: its order ids may repeat"
        );
        return Ok(());
    }
    let update = StrategyUpdate::new().field("cycle", cycle).if_version(strategy.version());
    match redis.strat_update(key, &update).await {
        Err(error) if error.code() != Some(Code::BadVersion) => Err(error),
        // Somebody was faster: the entry of that change leads here again only if it is a replacement, so look again.
        Err(_) => Box::pin(raise_cycle(redis, key, cycle)).await,
        Ok(_) => {
            tracing::warn!(key, from = current, to = cycle, "raised the cycle of a strategy that came back");
            Ok(())
        }
    }
}
