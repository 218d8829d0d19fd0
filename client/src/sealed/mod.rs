//! An encrypted cache for sensitive values, such as a broker's tokens.
//!
//! Redis, its files, its replicas and whoever reads them see bytes that only a key of the [`Keyring`] opens, and only at
//! the key of Redis that they were sealed for. `docs/client/sealed.md` has the bytes one by one.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use strat_client::sealed::{ExposeSecret, Keyring, SealedCache, SealedSettings, SealingKey};
//! use strat_client::{Config, Connection};
//!
//! let keyring = Keyring::new(SealingKey::from_text("2026-01", &std::env::var("SEALING_KEY")?)?);
//! let connection = Connection::open(&Config::from_env()?).await?;
//! let tokens = SealedCache::new(connection, keyring, SealedSettings::default())?;
//! tokens.put("alice", "zerodha", b"access token", Duration::from_secs(8 * 3_600)).await?;
//! if let Some(token) = tokens.get("alice", "zerodha").await? {
//!     log_in_with(token.expose_secret());
//! }
//! # fn log_in_with(_: &[u8]) {}
//! # Ok(()) }
//! ```

mod error;
mod format;
mod keyring;

pub use error::SealedError;
pub use format::SECRET_BYTES_MAX;
pub use keyring::{KEY_BYTES, Keyring, SealingKey};
pub use secrecy::{ExposeSecret, SecretSlice};

use crate::error::Error;
use crate::shared::{check_prefix, in_time};
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Script, cmd};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use strat_core::key::check_id;

/// Longest life of a sealed value.
const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Replaces a value that is still the one that was read, for the rest of its life. In one step, or a value that somebody
/// stores in between would be lost. KEYS: value. ARGV: what was read, what replaces it.
static RESEAL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
        return 1",
    )
});

/// Settings of a [`SealedCache`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSettings {
    /// Stands before every key: a tenant, or a `{hash tag}`. Default empty. Part of the name that a value is sealed for.
    pub prefix: String,
    /// Longest wait for one reply of Redis. Default 2 s; `None` leaves it to a connection that has a limit of its own.
    pub timeout: Option<Duration>,
    /// Whether a value that is read with an old key is sealed anew with the active one, for the rest of its life. Default
    /// no: then reading writes nothing.
    pub reseal_on_read: bool,
}

impl Default for SealedSettings {
    fn default() -> Self {
        Self { prefix: String::new(), timeout: Some(Duration::from_secs(2)), reseal_on_read: false }
    }
}

/// Secrets of users, sealed, at `sealed:{user}:{name}`. Clones share the keyring.
#[derive(Debug)]
pub struct SealedCache<C> {
    connection: C,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keyring: Keyring,
    settings: SealedSettings,
}

impl<C: Clone> Clone for SealedCache<C> {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone(), shared: self.shared.clone() }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> SealedCache<C> {
    /// Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Refused`] for a prefix other than at most 128 printable ASCII bytes without blanks, with braces only
    /// around a leading `{tag}`.
    pub fn new(connection: C, keyring: Keyring, settings: SealedSettings) -> Result<Self, Error> {
        check_prefix(&settings.prefix)?;
        Ok(Self { connection, shared: Arc::new(Shared { keyring, settings }) })
    }

    /// Stores a secret of a user for `ttl`, sealed with the active key, in place of what was there.
    ///
    /// # Errors
    /// [`Error::Refused`] for a user or name other than 1 to 128 of `A-Z a-z 0-9 _ . @ -`; [`Error::Config`] for a secret
    /// over [`SECRET_BYTES_MAX`] and for a life below 1 ms or above 366 days; [`Error::Unavailable`] where Redis is down.
    /// After a timeout the secret may have been stored; storing it again is safe.
    pub async fn put(&self, user: &str, name: &str, secret: &[u8], ttl: Duration) -> Result<(), SealedError> {
        let key = self.key(user, name)?;
        if !(Duration::from_millis(1)..=TTL_MAX).contains(&ttl) {
            return Err(Error::Config("sealed: ttl must be from 1 ms to 366 days".to_owned()).into());
        }
        let sealed = format::seal(&self.shared.keyring, &key, secret)?;
        let mut set = cmd("SET");
        set.arg(&key).arg(sealed).arg("PX").arg(ttl.as_millis() as u64);
        self.ask(&set).await
    }

    /// A secret of a user; `None` where there is none, or none any more.
    ///
    /// # Errors
    /// A value that does not open is an error that says why, never `None`. [`Error::Unavailable`] where Redis is down.
    pub async fn get(&self, user: &str, name: &str) -> Result<Option<SecretSlice<u8>>, SealedError> {
        let key = self.key(user, name)?;
        let mut get = cmd("GET");
        get.arg(&key);
        let Some(sealed) = self.ask::<Option<Vec<u8>>>(&get).await? else { return Ok(None) };
        let opened = format::open(&self.shared.keyring, &key, &sealed)?;
        if opened.outdated && self.shared.settings.reseal_on_read {
            self.reseal(&key, &sealed, &opened.secret).await;
        }
        Ok(Some(opened.secret))
    }

    /// Removes a secret of a user; whether there was one.
    ///
    /// # Errors
    /// As [`SealedCache::put`].
    pub async fn remove(&self, user: &str, name: &str) -> Result<bool, SealedError> {
        let mut unlink = cmd("UNLINK");
        unlink.arg(self.key(user, name)?);
        self.ask(&unlink).await
    }

    fn key(&self, user: &str, name: &str) -> Result<String, Error> {
        check_id("user_id", user)?;
        check_id("secret name", name)?;
        Ok([&self.shared.settings.prefix, "sealed:", user, ":", name].concat())
    }

    async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, SealedError> {
        let mut connection = self.connection.clone();
        Ok(in_time(self.shared.settings.timeout, cmd.query_async(&mut connection)).await?)
    }

    /// A failure is not the reader's: the value was opened, and the next read tries again.
    async fn reseal(&self, key: &str, sealed: &[u8], secret: &SecretSlice<u8>) {
        let mut connection = self.connection.clone();
        let resealed = async {
            let new = format::seal(&self.shared.keyring, key, secret.expose_secret())?;
            let mut call = RESEAL.key(key);
            call.arg(sealed).arg(new);
            in_time::<()>(self.shared.settings.timeout, call.invoke_async(&mut connection)).await
        };
        if let Err(error) = resealed.await {
            tracing::warn!(key, %error, "cannot seal a value anew with the active key");
        }
    }
}
