//! Creates, changes and ends strategies: for the command line and for HTTP, by the same rules.
//!
//! Creating writes the row in Postgres first and then the hash in Redis: from that moment on a crash loses nothing,
//! because a running engine loads what Redis lacks. Changes go to Redis, where the strategy lives, and reach the row
//! through the journal.

use super::check;
use crate::calendar::Calendars;
use crate::reconcile;
use crate::store::{Fields, Row, Store};
use crate::strategies_csv::StrategyLine;
use color_eyre::Report;
use redis::aio::ConnectionLike;
use strat_client::{Error, StratCommands as _, Strategy, StrategySpec, StrategyUpdate};
use strat_core::field::OnStop;
use strat_core::{Code, Quantity, Status, StrategyKey};

/// What became of a strategy to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is in Postgres and Redis, at this version.
    Yes(u64),
    /// There was one already; it stays as it is.
    Exists,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    /// A field, an id, a time: found before anything was written.
    #[error("{0}")]
    Bad(Report),
    /// There is no such strategy.
    #[error("user {user} has no strategy {strategy}")]
    Unknown { user: String, strategy: String },
    /// It must be stopped first.
    #[error("strategy {strategy} of {user} has an open position or an order in flight")]
    InMarket { user: String, strategy: String },
    /// The row is written, and whether the hash is, is unknown or not so.
    #[error("strategy {strategy} of {user} is saved in Postgres but not yet in Redis: {cause}")]
    Saved { user: String, strategy: String, cause: Error },
    /// Redis, or the module's rules.
    #[error(transparent)]
    Redis(#[from] Error),
    /// Postgres.
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
}

/// What a change led to.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    /// The strategy before.
    pub(crate) before: Strategy,
    /// Its version now; the same as before where nothing differed.
    pub(crate) version: u64,
}

impl Changed {
    /// Whether anything differed.
    pub(crate) fn is_new(&self) -> bool {
        self.version != self.before.version()
    }
}

/// Carries out commands on strategies.
#[derive(Clone)]
pub(crate) struct Desk<C> {
    pub(crate) redis: C,
    pub(crate) store: Store,
    pub(crate) calendars: Calendars,
}

impl<C: ConnectionLike + Clone + Send + Sync> Desk<C> {
    /// Creates a strategy, by all rules.
    pub(crate) async fn add(&self, new: &StrategyLine) -> Result<Created, DeskError> {
        check::check_new(new, &self.calendars).map_err(DeskError::Bad)?;
        self.create(new).await
    }

    /// The row first, then the hash. The fields have been checked.
    pub(super) async fn create(&self, new: &StrategyLine) -> Result<Created, DeskError> {
        let fields: Fields = new.fields.iter().cloned().collect();
        let mut row =
            Row { user: new.user.clone(), strategy: new.strategy.clone(), fields, removed: false, forked: false };
        if let Some(old) = self.store.get(&new.user, &new.strategy).await?.filter(|old| old.removed) {
            // It comes back: cycle and version go on counting, so that no order id repeats.
            for name in ["cycle", "version"] {
                if let Some(count) = old.fields.get(name) {
                    row.fields.insert(name.to_owned(), count.clone());
                }
            }
        }
        let fresh = self.store.insert(&row).await?;
        if !fresh {
            match self.store.get(&new.user, &new.strategy).await? {
                // An attempt that got no further than its row.
                Some(kept) if kept.version() == 0 => row = kept,
                _ => return Ok(Created::Exists),
            }
        }
        let set = self.redis.clone().strat_set_nx(&row.key(), &StrategySpec::from_fields(row.fields.clone())).await;
        match set {
            Ok(Some(version)) if fresh => Ok(Created::Yes(version)),
            Ok(_) => Ok(Created::Exists),
            Err(error) if error.code().is_some() => {
                if fresh {
                    self.store.remove(&new.user, &new.strategy).await?;
                }
                Err(error.into())
            }
            Err(cause) => Err(DeskError::Saved { user: new.user.clone(), strategy: new.strategy.clone(), cause }),
        }
    }

    /// The strategy as it is now: the hash, which is the truth of the moment; the row of one that Redis does not hold any
    /// more.
    pub(crate) async fn read(&self, id: &StrategyKey<'_>) -> Result<Vec<(String, String)>, DeskError> {
        if let Some(hash) = self.redis.clone().strat_get(&id.hash()).await? {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            return Ok(hash.fields().map(|(name, value)| (name.to_owned(), text(value))).collect());
        }
        Ok(self.row(id).await?.fields.into_iter().collect())
    }

    /// Changes fields; an empty text clears one. With a version only if the strategy is still at it.
    pub(crate) async fn update(
        &self,
        id: &StrategyKey<'_>,
        fields: &[(String, String)],
        if_version: Option<u64>,
    ) -> Result<Changed, DeskError> {
        let before = self.in_redis(id).await?;
        let after = |name: &str| {
            let given = fields.iter().rev().find(|(given, _)| given == name);
            given.map(|(_, value)| value.as_str()).or_else(|| before.get(name))
        };
        check::check_times(after, &self.calendars).map_err(DeskError::Bad)?;
        let mut update = fields.iter().fold(StrategyUpdate::new(), |update, (name, value)| update.field(name, value));
        if let Some(version) = if_version {
            update = update.if_version(version);
        }
        let version = self.send(id, &update).await?;
        Ok(Changed { before, version })
    }

    /// Stops a strategy. What it holds is squared off, or left without its stop; also what was left when it was stopped before.
    pub(crate) async fn stop(&self, id: &StrategyKey<'_>, leave: bool) -> Result<Changed, DeskError> {
        let before = self.in_redis(id).await?;
        let on_stop = if leave { OnStop::Leave } else { OnStop::SquareOff };
        let stopped = StrategyUpdate::new().status("STOPPED");
        let version = match before.state() {
            Ok(state) if state.status == Status::Running => {
                let update = if state.on_stop == on_stop { stopped } else { stopped.on_stop(on_stop.as_str()) };
                self.send(id, &update).await?
            }
            Ok(state) if !leave && state.open_quantity() > Quantity::ZERO && !state.exit_in_flight() => {
                // Only one that runs can be stopped, and only what is stopped is squared off.
                let again = StrategyUpdate::new().status("RUNNING").on_stop(on_stop.as_str());
                let version = self.send(id, &again.if_version(before.version())).await?;
                self.send(id, &stopped.if_version(version)).await?
            }
            Ok(_) => before.version(),
            Err(_) => self.send(id, &stopped).await?,
        };
        Ok(Changed { before, version })
    }

    /// Removes a strategy that is out of the market; answers its last version.
    pub(crate) async fn remove(&self, id: &StrategyKey<'_>) -> Result<u64, DeskError> {
        let mut redis = self.redis.clone();
        let hash = redis.strat_get(&id.hash()).await?;
        if hash.as_ref().is_some_and(|hash| hash.state().is_ok_and(|state| !state.is_idle())) {
            return Err(DeskError::InMarket { user: id.user.to_owned(), strategy: id.strategy.to_owned() });
        }
        // Redis first: a hash whose row is gone would be taken for a new one.
        let was_live = redis.strat_del(&id.hash()).await?;
        let was_kept = self.store.remove(id.user, id.strategy).await?;
        if !was_live && !was_kept {
            return Err(unknown(id));
        }
        Ok(hash.as_ref().map_or(0, Strategy::version))
    }

    async fn send(&self, id: &StrategyKey<'_>, update: &StrategyUpdate) -> Result<u64, DeskError> {
        let version = self.redis.clone().strat_update(&id.hash(), update).await?;
        version.ok_or_else(|| unknown(id))
    }

    async fn row(&self, id: &StrategyKey<'_>) -> Result<Row, DeskError> {
        let row = self.store.get(id.user, id.strategy).await?;
        row.filter(|row| !row.removed).ok_or_else(|| unknown(id))
    }

    /// The strategy's hash. One that only Postgres knows, because it had ended, is put into Redis first.
    async fn in_redis(&self, id: &StrategyKey<'_>) -> Result<Strategy, DeskError> {
        let mut redis = self.redis.clone();
        if let Some(hash) = redis.strat_get(&id.hash()).await? {
            return Ok(hash);
        }
        let row = self.row(id).await?;
        redis.strat_set_nx(&id.hash(), &StrategySpec::from_fields(reconcile::to_load(&row))).await?;
        redis.strat_get(&id.hash()).await?.ok_or_else(|| unknown(id))
    }
}

fn unknown(id: &StrategyKey<'_>) -> DeskError {
    DeskError::Unknown { user: id.user.to_owned(), strategy: id.strategy.to_owned() }
}

impl DeskError {
    /// The module's refusal, if it was one.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Redis(error) => error.code(),
            _ => None,
        }
    }
}
