//! Carries out what was judged; every action is logged with its key and reason.

use super::judge::{Verdict, fired, number, state, to_load, to_replace};
use super::{Doubt, Reconciler, Report};
use crate::store::{Fields, Row};
use color_eyre::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use strat_client::{StratCommands as _, StrategySpec};
use strat_core::{Code, StrategyKey};

/// Loads on their way at the same time.
const LOADS_AT_A_TIME: usize = 64;

enum Loaded {
    Yes,
    Present,
    Refused,
}

impl Reconciler {
    pub(super) async fn mend(&self, doubt: Doubt, report: &mut Report) -> Result<()> {
        let Doubt { key, row, hash, verdict } = doubt;
        match (verdict, row, hash) {
            (Verdict::RowWins(reason), Some(row), Some(hash)) => self.replace(&key, &row, &hash, reason, report).await,
            (Verdict::HashWins(reason), Some(row), Some(hash)) => self.follow(&key, &row, hash, reason, report).await,
            (Verdict::Adopt(reason), row, Some(hash)) => self.adopt(&key, row, hash, reason, report).await,
            (Verdict::Remove, ..) => {
                if self.link.connection().strat_del(&key).await? {
                    let reason = "Postgres does not know it (reconcile.unknown = remove)";
                    tracing::warn!(key, reason, "removed a strategy from Redis");
                    report.removed += 1;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Loads what is missing in Redis, many at a time: after a flush that is everything.
    pub(super) async fn load_all(&self, rows: Vec<Row>, report: &mut Report) -> Result<()> {
        let mut loads =
            stream::iter(rows).map(|row| async move { self.load(&row).await }).buffer_unordered(LOADS_AT_A_TIME);
        while let Some(loaded) = loads.try_next().await? {
            match loaded {
                Loaded::Yes => report.loaded += 1,
                Loaded::Present => {}
                Loaded::Refused => report.unreadable += 1,
            }
        }
        Ok(())
    }

    async fn load(&self, row: &Row) -> Result<Loaded> {
        let key = row.key();
        match self.link.connection().strat_set_nx(&key, &StrategySpec::from_fields(to_load(row))).await {
            Ok(Some(version)) => {
                tracing::warn!(key, version, reason = "it was missing in Redis", "loaded a strategy from Postgres");
                Ok(Loaded::Yes)
            }
            Ok(None) => self.present(&key).await,
            Err(error) if error.code().is_some_and(|code| code != Code::Loading) => {
                tracing::error!(key, %error, "a strategy cannot be loaded from Postgres; correct it by `strategy update`");
                Ok(Loaded::Refused)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// There is a hash after all: somebody has loaded or created it meanwhile, or it does not parse.
    async fn present(&self, key: &str) -> Result<Loaded> {
        let hash = self.link.connection().strat_get(key).await?;
        match hash.map(|hash| hash.state()) {
            Some(Err(error)) => {
                tracing::error!(key, %error, "THIS STRATEGY IS NOT GUARDED: its hash does not parse; correct the field by HSET");
                Ok(Loaded::Refused)
            }
            _ => Ok(Loaded::Present),
        }
    }

    /// The row comes in the older hash's place. Where Redis replaces it by itself that is one command; else, because an
    /// order is in flight there, the hash goes first, in one step with what follows. Such a step cannot be taken back,
    /// so the fields are judged before it.
    async fn replace(&self, key: &str, row: &Row, hash: &Fields, reason: &str, report: &mut Report) -> Result<()> {
        let spec = StrategySpec::from_fields(to_replace(row, hash));
        spec.check()?;
        let kept = state(&row.fields).map_err(strat_client::Error::from)?;
        let mut redis = self.link.connection();
        // Redis takes an open position over an idle strategy of the same cycle for a new one and raises the cycle; the
        // order ids of an exit that may be at the broker would not fit any more.
        let as_it_is = !kept.position.is_open() || row.cycle() > number(hash, "cycle");
        let set = if as_it_is { redis.strat_set(key, &spec).await.map(Some) } else { Ok(None) };
        let version = match set {
            Ok(Some(version)) => version,
            Err(error) if error.code() != Some(Code::Busy) => return Err(error.into()),
            _ => {
                let mut set = redis::cmd("STRAT.SET");
                set.arg(key).arg("NX");
                for (name, value) in spec.fields() {
                    set.arg(name).arg(value);
                }
                let mut step = redis::pipe();
                step.atomic().cmd("HGET").arg(key).arg("pending");
                step.cmd("DEL").arg(key).ignore().add_command(set);
                let (pending, version): (Option<String>, u64) =
                    step.query_async(&mut redis).await.map_err(strat_client::Error::from)?;
                tell_fired_since(key, row, hash, pending);
                version
            }
        };
        tracing::warn!(
            key,
            from = number(hash, "version"),
            to = version,
            reason,
            "brought a strategy in Redis up to its row"
        );
        report.hashes_mended += 1;
        Ok(())
    }

    async fn follow(&self, key: &str, row: &Row, hash: Fields, reason: &str, report: &mut Report) -> Result<()> {
        let new = Row { fields: hash, ..row.clone() };
        // Written only over the version that was judged: the sync may have been faster.
        if self.store.overwrite(&new, Some(row.version())).await? {
            tracing::warn!(
                key,
                from = row.version(),
                to = new.version(),
                reason,
                "brought a row up to its strategy in Redis"
            );
            report.rows_mended += 1;
        }
        Ok(())
    }

    async fn adopt(
        &self,
        key: &str,
        removed: Option<Row>,
        hash: Fields,
        reason: &str,
        report: &mut Report,
    ) -> Result<()> {
        let Some(id) = StrategyKey::parse(key) else { return Ok(()) };
        let row = Row { user: id.user.to_owned(), strategy: id.strategy.to_owned(), fields: hash, removed: false };
        if self.store.insert(&row).await? {
            tracing::warn!(key, version = row.version(), reason, "adopted a strategy into Postgres");
            report.adopted += 1;
        }
        if let Some(cycle) = removed.as_ref().map(Row::cycle).filter(|cycle| *cycle > row.cycle()) {
            crate::sync::raise_cycle(&mut self.link.connection(), key, cycle).await?;
        }
        Ok(())
    }
}

/// A tick may cross a level between the look at a hash and the step that replaces it.
fn tell_fired_since(key: &str, row: &Row, hash: &Fields, pending: Option<String>) {
    let mut last = hash.clone();
    last.extend(pending.map(|pending| ("pending".to_owned(), pending)));
    if let Some(exit) = fired(row, &last).filter(|_| fired(row, hash).is_none()) {
        tracing::error!(key, %exit, "A STOP FIRED WHILE ITS STRATEGY WAS BEING RESTORED: it fires again with the next price beyond its level");
    }
}
