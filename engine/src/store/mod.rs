//! Postgres: the durable truth.

mod audit;
mod batch;
mod cached;
mod entry;
mod events;
mod fold;
mod halts;
#[cfg(test)]
pub(crate) mod hostile;
mod leases;
mod orders;
mod records;
mod risk;
mod rows;
mod together;

pub use audit::{Asked, AuditRow};
pub use batch::{Applied, apply, reject};
pub use cached::Rows;
pub use entry::JournalEntry;
pub use events::EventRow;
pub(crate) use fold::OrderRow;
pub use fold::{Fold, Slot};
pub use halts::HaltState;
pub use leases::Claim;
pub use orders::{Earned, ListedFill, ListedOrder, OrderFilter};
pub use records::StoreRecords;
pub use risk::{Asking, Changes, Counts, Held};
pub use rows::{Fields, Filter, KnownOrder, Row};
pub(crate) use rows::{count, state};
pub(crate) use together::Together;

use crate::failure::{Failure, OrFail as _};
use color_eyre::Result;
use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use std::time::{Duration, Instant};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Longest wait for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time that any statement may take; the server ends it.
const STATEMENT_TIMEOUT: &str = "15s";
/// How long a start waits for a Postgres that is just starting itself.
pub const START_PATIENCE: Duration = Duration::from_secs(10);

const HINT_TLS: &str = "DATABASE_URL asks for TLS by sslmode: verify-full wants sslrootcert=FILE with the authority that \
    signed the server's certificate, and the host by a name that stands in it; the server wants ssl = on";
const HINT_REACH: &str = "start Postgres, or set DATABASE_URL to where it runs; `strat-engine doctor` checks it";

/// The pool of connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

/// What a ping found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Round trip.
    pub latency: Duration,
    /// `server_version`.
    pub version: String,
}

impl Store {
    /// A pool that connects when it is first used.
    ///
    /// # Errors
    /// Where the URL does not parse.
    pub fn lazy(url: &str, application: &str) -> Result<Self> {
        let options: PgConnectOptions = url.parse().or_fail(
            "the Postgres URL (database.url, DATABASE_URL) does not parse",
            "write postgres://user:password@host:5432/database, or postgres://user@localhost/db?host=/socket/folder",
        )?;
        let options = options.application_name(application).options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ]);
        let pool = PgPoolOptions::new().max_connections(8).acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// Connects; a server that is just starting gets `patience`.
    ///
    /// # Errors
    /// Where it does not answer in time, or answers that we may not come in.
    pub async fn connect(url: &str, application: &str, patience: Duration) -> Result<Self> {
        let store = Self::lazy(url, application)?;
        let until = Instant::now() + patience;
        let mut wait = Duration::from_millis(100);
        loop {
            match store.reach().await {
                Ok(()) => return Ok(store),
                Err(error) if is_away(&error) && !is_untrusted(&error) && Instant::now() + wait < until => {
                    tracing::warn!(%error, "Postgres does not answer yet, trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(2));
                }
                Err(error) => {
                    let hint = tls_step(&error).unwrap_or(HINT_REACH);
                    return Err(error).or_fail("Postgres is not reachable", hint);
                }
            }
        }
    }

    /// Opens a connection past the pool, whose own error would only be that time ran out.
    ///
    /// # Errors
    /// What the attempt ended with.
    pub async fn reach(&self) -> sqlx::Result<()> {
        let options = self.pool.connect_options();
        let attempt = PgConnection::connect_with(&options);
        let connection =
            tokio::time::timeout(ACQUIRE_TIMEOUT, attempt).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        connection.close().await
    }

    /// The pool, for queries of other modules.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Asks for the version.
    ///
    /// # Errors
    /// Where Postgres does not answer.
    pub async fn ping(&self) -> sqlx::Result<Ping> {
        let start = Instant::now();
        let ask = sqlx::query_scalar("SELECT current_setting('server_version')").fetch_one(&self.pool);
        let version = tokio::time::timeout(ACQUIRE_TIMEOUT, ask).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(Ping { latency: start.elapsed(), version })
    }

    /// Brings the schema up to date; answers the migrations applied now.
    ///
    /// # Errors
    /// Where a migration fails or the database is newer than this program.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        let due = self.migrations_due().await?;
        MIGRATOR.run(&self.pool).await.or_fail(
            "the database schema cannot be brought up to date",
            "a version mismatch means that a newer strat-engine migrated it: use that one; else see the cause",
        )?;
        Ok(due)
    }

    /// Migrations that the database lacks.
    ///
    /// # Errors
    /// Where Postgres does not answer.
    pub async fn migrations_due(&self) -> Result<Vec<String>> {
        let mut connection = self.pool.acquire().await.or_fail("Postgres is not reachable", HINT_REACH)?;
        let table = MIGRATOR.table_name.clone();
        let known: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table.as_ref())
            .fetch_one(&mut *connection)
            .await
            .or_fail("cannot read the schema's state", HINT_REACH)?;
        let applied: Vec<i64> = if known {
            let list = connection.list_applied_migrations(&table).await;
            list.or_fail("cannot read the schema's state", "does the user of the URL own the tables?")?
                .iter()
                .map(|m| m.version)
                .collect()
        } else {
            Vec::new()
        };
        let due = MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version));
        Ok(due.map(|migration| format!("{:04} {}", migration.version, migration.description)).collect())
    }

    /// Refuses to go on with an old schema.
    ///
    /// # Errors
    /// Where migrations are due.
    pub async fn require_schema(&self) -> Result<()> {
        let due = self.migrations_due().await?;
        if due.is_empty() {
            return Ok(());
        }
        Err(Failure {
            message: format!("the database schema is not up to date, missing: {}", due.join(", ")),
            hint: "run: strat-engine migrate".to_owned(),
            source: None,
        }
        .into())
    }
}

/// What to do about a Postgres that cannot be reached for the sake of TLS.
#[must_use]
pub fn tls_step(error: &sqlx::Error) -> Option<&'static str> {
    is_untrusted(error).then_some(HINT_TLS)
}

/// Whether the two sides do not agree on TLS, or the server's certificate is not accepted: waiting does not help.
fn is_untrusted(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        // What rustls complains about while it shakes hands.
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Whether Postgres is away or overloaded, so that the same request may succeed later.
#[must_use]
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        // Connection errors, too few resources, operator's intervention, serialization: by their SQLSTATE class.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}
