//! Optimistic transactions: WATCH, read, MULTI … EXEC, and again where somebody else was faster.
//!
//! They have connections of their own, one transaction at a time on each. On a shared connection WATCH would guard the
//! keys of all its users together, and the EXEC or UNWATCH of any of them would end the watch of the others unseen: an
//! update would be lost without an error.

use crate::config::Config;
use crate::error::{Error, NotSent, Result};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind, ToRedisArgs, Value,
};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Bounds of [`Transactions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionSettings {
    /// Times that one transaction is tried before it gives up, the first included. 64 unless set; 0 counts as 1.
    pub attempts: u32,
    /// Connections, and so transactions, at once. 8 unless set, at least 1.
    pub connections_max: usize,
    /// Longest wait for one of them to be free. 2 s unless set.
    pub wait: Duration,
    /// Longest attempt to connect. 1 s unless set.
    pub connect_timeout: Duration,
    /// Longest wait for a reply. 2 s unless set.
    pub response_timeout: Duration,
    /// Longest time that the caller's reading may take, in one attempt. 5 s unless set.
    pub read_timeout: Duration,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self {
            attempts: 64,
            connections_max: 8,
            wait: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(5),
        }
    }
}

/// How a transaction ended, where nothing stood in its way before EXEC.
#[derive(Debug, Clone)]
#[must_use = "it may not have been committed"]
pub enum Transaction<T> {
    /// Everything was written, once. Holds the replies.
    Committed(T),
    /// What was read made writing unnecessary. Nothing was written.
    Declined,
    /// Somebody else changed a watched key each time. Nothing was written.
    GaveUp {
        /// Times that it was tried.
        attempts: u32,
    },
    /// EXEC was sent, and what came of it is not known in full: no reply came, or one that is of no use, or one command
    /// was refused among others that were carried out. Look before doing it again.
    Unknown(Error),
}

/// Runs optimistic transactions.
#[derive(Debug)]
pub struct Transactions {
    client: Client,
    settings: TransactionSettings,
    places: Semaphore,
    /// Connected and without a watch.
    idle: Mutex<Vec<MultiplexedConnection>>,
}

impl Transactions {
    /// On connections of this client. Connects with the first transaction.
    ///
    /// # Errors
    /// [`Error::Config`] for `connections_max` of 0.
    pub fn new(client: Client, settings: TransactionSettings) -> Result<Self> {
        if !(1..=Semaphore::MAX_PERMITS).contains(&settings.connections_max) {
            return Err(Error::Config("connections_max of transactions must be above 0".to_owned()));
        }
        let places = Semaphore::new(settings.connections_max);
        Ok(Self { client, settings, places, idle: Mutex::new(Vec::new()) })
    }

    /// As [`Transactions::new`], to the place and with the timeouts of these settings.
    ///
    /// # Errors
    /// [`Error::Config`] behind sentinels: a connection that is kept for later would not notice that the primary moved.
    pub fn of(config: &Config) -> Result<Self> {
        let why = "transactions behind sentinels are not supported; take a Lua script, which any connection can run";
        let info = config.connection_info().ok_or_else(|| Error::Config(why.to_owned()))?;
        let (connect_timeout, response_timeout) = (config.connect_timeout(), config.response_timeout());
        let settings = TransactionSettings { connect_timeout, response_timeout, ..TransactionSettings::default() };
        Self::new(Client::open(info.clone())?, settings)
    }

    /// Watches `keys`, lets `read` look at them and say what to write, and writes it if none of them has changed since.
    /// Where one has, `read` is called again. It must do nothing but read, on the connection that it is given, and must
    /// not keep that connection. `None` from it: there is nothing to write.
    ///
    /// Commands of the pipeline that are [ignored](Pipeline::ignore) have no reply in `T`.
    ///
    /// # Errors
    /// Every error means that nothing was written; what is unknown is [`Transaction::Unknown`]. A connection that broke
    /// before EXEC was sent, or no connection at all, is [`Error::Unavailable`]. Errors of `read` are handed on.
    pub async fn run<T: FromRedisValue, F: Future<Output = Result<Option<Pipeline>>>>(
        &self,
        keys: &[impl ToRedisArgs],
        mut read: impl FnMut(MultiplexedConnection) -> F,
    ) -> Result<Transaction<T>> {
        if keys.is_empty() {
            return Err(Error::Config("a transaction without watched keys would never see a conflict".to_owned()));
        }
        let _place = self.place().await?;
        let mut connection = self.watched(keys).await.map_err(|error| self.before_exec(error))?;
        let attempts = self.settings.attempts.max(1);
        for attempt in 1..=attempts {
            let pipeline = self.look(&mut connection, &mut read).await.map_err(|error| self.before_exec(error))?;
            let Some(mut pipeline) = pipeline else {
                self.give_back(connection);
                return Ok(Transaction::Declined);
            };
            match exec(&mut connection, pipeline.atomic()).await? {
                // Closed: its late reply must not meet another transaction.
                Some(unknown @ Transaction::Unknown(_)) => return Ok(unknown),
                Some(ended) => {
                    self.give_back(connection);
                    return Ok(ended);
                }
                None if attempt < attempts => {
                    watch(&mut connection, keys).await.map_err(|error| self.before_exec(error))?;
                }
                None => break,
            }
        }
        self.give_back(connection);
        Ok(Transaction::GaveUp { attempts })
    }

    /// What to write; `None`, with no watch left, for nothing.
    async fn look<F: Future<Output = Result<Option<Pipeline>>>>(
        &self,
        connection: &mut MultiplexedConnection,
        read: &mut impl FnMut(MultiplexedConnection) -> F,
    ) -> Result<Option<Pipeline>> {
        let late = |_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        let wanted = timeout(self.settings.read_timeout, read(connection.clone())).await.map_err(late)??;
        // The `redis` crate cannot read the reply to an EXEC without commands.
        let wanted = wanted.filter(|pipeline| !pipeline.is_empty());
        if wanted.is_none() {
            redis::cmd("UNWATCH").exec_async(connection).await?;
        }
        Ok(wanted)
    }

    /// A connection of its own, with the keys watched.
    async fn watched(&self, keys: &[impl ToRedisArgs]) -> Result<MultiplexedConnection> {
        loop {
            let idle = self.idle().pop();
            let fresh = idle.is_none();
            let mut connection = match idle {
                Some(idle) => idle,
                None => self.connect().await?,
            };
            match watch(&mut connection, keys).await {
                // It broke while it was idle; at most all that are idle did.
                Err(Error::Lost { .. }) if !fresh => {}
                outcome => return outcome.map(|()| connection),
            }
        }
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>> {
        let (wait, limit) = (self.settings.wait, self.settings.connections_max);
        match timeout(wait, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.unavailable(format!("none of {limit} connections for transactions became free in {wait:?}"))),
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        let options = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.response_timeout));
        let connected = self.client.get_multiplexed_async_connection_with_config(&options).await;
        connected.map_err(|error| match error.kind() {
            ErrorKind::Io => self.unavailable(error.to_string()),
            _ => error.into(),
        })
    }

    fn give_back(&self, connection: MultiplexedConnection) {
        self.idle().push(connection);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection is closed by whoever gets this; nothing of the transaction was sent.
    fn before_exec(&self, error: Error) -> Error {
        match error {
            Error::Lost { source } | Error::Timeout { source } => {
                self.unavailable(format!("before EXEC, so nothing was written: {source}"))
            }
            other => other,
        }
    }

    fn unavailable(&self, reason: String) -> Error {
        let address = self.client.get_connection_info().addr().to_string();
        RedisError::from(NotSent { address, reason }).into()
    }
}

async fn watch(connection: &mut MultiplexedConnection, keys: &[impl ToRedisArgs]) -> Result<()> {
    Ok(redis::cmd("WATCH").arg(keys).exec_async(connection).await?)
}

/// `None` where a watched key had changed. An error: the server refused the whole.
async fn exec<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    pipeline: &Pipeline,
) -> Result<Option<Transaction<T>>> {
    let unknown = |error: RedisError| Ok(Some(Transaction::Unknown(error.into())));
    match pipeline.query_async(connection).await {
        Ok(Value::Nil) => Ok(None),
        Ok(replies) => match redis::from_redis_value(replies) {
            Ok(replies) => Ok(Some(Transaction::Committed(replies))),
            Err(error) => unknown(error.into()),
        },
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::ExecAbort) => {
            // The reason stands at the command that was refused.
            let refused = error.clone().into_server_errors();
            let first = refused.and_then(|errors| errors.first().map(|(_, error)| error.clone()));
            Err(first.map_or(error, RedisError::from).into())
        }
        Err(error) => unknown(error),
    }
}
