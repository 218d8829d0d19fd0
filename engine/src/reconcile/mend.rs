//! Carries out what was judged; every action is logged with its key and reason.

use super::compare::Doubt;
use super::judge::{Verdict, judge, to_load, to_replace};
use super::{Reconciler, Report};
use crate::store::{Fields, Row, count};
use color_eyre::Result;
use color_eyre::eyre::bail;
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
    pub(super) async fn mend(&self, doubt: Doubt, epoch: &str, report: &mut Report) -> Result<()> {
        let Doubt { key, row, hash, verdict } = doubt;
        match (verdict, row, hash) {
            (Verdict::RowWins(reason), Some(_), Some(hash)) => self.replace(&key, epoch, &hash, reason, report).await,
            (Verdict::HashWins(reason), Some(row), Some(hash)) => self.follow(&key, &row, hash, reason, report).await,
            (Verdict::Adopt(reason), row, Some(hash)) => self.adopt(&key, row, hash, reason, report).await,
            // It was deleted while it was compared, by somebody who did not see what the row knows.
            (Verdict::Load, Some(row), _) => self.load_all(vec![row], epoch, report).await,
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
    pub(super) async fn load_all(&self, rows: Vec<Row>, epoch: &str, report: &mut Report) -> Result<()> {
        let mut loads =
            stream::iter(rows).map(|row| async move { self.load(&row, epoch).await }).buffer_unordered(LOADS_AT_A_TIME);
        while let Some(loaded) = loads.try_next().await? {
            match loaded {
                Loaded::Yes => report.loaded += 1,
                Loaded::Present => {}
                Loaded::Refused => report.unreadable += 1,
            }
        }
        Ok(())
    }

    async fn load(&self, row: &Row, epoch: &str) -> Result<Loaded> {
        let key = row.key();
        let spec = StrategySpec::from_fields(to_load(row));
        match self.link.connection().strat_restore(&key, &spec, (epoch, 0)).await {
            Ok(version) => {
                tracing::warn!(key, version, reason = "it was missing in Redis", "loaded a strategy from Postgres");
                Ok(Loaded::Yes)
            }
            Err(error) => match error.code() {
                Some(Code::BadVersion | Code::BadField | Code::BadPrice) => self.present(&key, error).await,
                None | Some(Code::Loading | Code::Unsynced) => Err(error.into()),
                Some(_) => Ok(refused(&key, &error)),
            },
        }
    }

    /// There may be a hash after all: somebody has loaded or created it meanwhile, or it does not parse.
    async fn present(&self, key: &str, error: strat_client::Error) -> Result<Loaded> {
        let hash = self.link.connection().strat_get(key).await?;
        match hash.map(|hash| hash.state()) {
            Some(Ok(_)) => Ok(Loaded::Present),
            Some(Err(error)) => {
                tracing::error!(key, %error, "THIS STRATEGY IS NOT GUARDED: its hash does not parse; correct the field by HSET");
                Ok(Loaded::Refused)
            }
            None => Ok(refused(key, &error)),
        }
    }

    /// The row comes in the older hash's place, in one step that is refused where the hash has moved on: a tick may fire
    /// meanwhile. The row is read again, for this engine may have been stopped since.
    async fn replace(&self, key: &str, epoch: &str, hash: &Fields, reason: &str, report: &mut Report) -> Result<()> {
        let Some(id) = StrategyKey::parse(key) else { return Ok(()) };
        let row = self.store.get(id.user, id.strategy).await?;
        let Some(row) =
            row.filter(|row| matches!(judge(Some(row), Some(hash), self.settings.unknown), Verdict::RowWins(_)))
        else {
            bail!("{key} has moved on while it was being restored");
        };
        let spec = StrategySpec::from_fields(to_replace(&row, hash));
        spec.check()?;
        let from = count(hash, "version");
        let restored = self.link.connection().strat_restore(key, &spec, (epoch, from.unsigned_abs())).await;
        let to = match restored {
            Err(error) if error.code() == Some(Code::BadVersion) => bail!("{key} has moved on: {error}"),
            restored => restored?,
        };
        tracing::warn!(key, from, to, reason, "brought a strategy in Redis up to its row");
        report.hashes_mended += 1;
        Ok(())
    }

    async fn follow(&self, key: &str, row: &Row, hash: Fields, reason: &str, report: &mut Report) -> Result<()> {
        let new = Row { fields: hash, ..row.clone() };
        // Written only over the version that was judged: the sync may have been faster.
        if self.store.overwrite(&new, Some(row.version())).await? {
            self.sync.tell_mended(key);
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
        let row = Row {
            user: id.user.to_owned(),
            strategy: id.strategy.to_owned(),
            fields: hash,
            removed: false,
            forked: false,
        };
        if self.store.insert(&row).await? {
            self.sync.tell_mended(key);
            tracing::warn!(key, version = row.version(), reason, "adopted a strategy into Postgres");
            report.adopted += 1;
        }
        if let Some(cycle) = removed.as_ref().map(Row::cycle).filter(|cycle| *cycle > row.cycle()) {
            crate::sync::raise_cycle(&mut self.link.connection(), key, cycle).await?;
        }
        Ok(())
    }
}

fn refused(key: &str, error: &strat_client::Error) -> Loaded {
    tracing::error!(key, %error, "a strategy cannot be loaded from Postgres; correct it by `strategy update`");
    Loaded::Refused
}
