//! Where Redis is and how patient to be with it.

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::sentinel::{self, Sentinels};
use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Used where neither a URL nor `REDIS_URL` is given.
pub const URL_DEFAULT: &str = "redis://127.0.0.1:6379/";

/// Settings of a connection. Every wait in this crate has a limit, and all of them come from here.
#[derive(Clone)]
pub struct Config {
    /// Behind sentinels the place in it is of no meaning.
    info: ConnectionInfo,
    sentinels: Option<Arc<Sentinels>>,
    connect_timeout: Duration,
    response_timeout: Duration,
    reconnect_wait: Duration,
    backoff: (Duration, Duration),
    observer: Option<Arc<dyn Observer>>,
}

impl Config {
    /// From one of
    /// - `redis://[user][:password@]host[:port][/db]`, or `rediss://` where it is to be encrypted (feature `tls`),
    /// - `unix:///path?db=n`, or the bare path of a Unix socket,
    /// - `redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service_name[/db]`, where the hosts are
    ///   sentinels (port 26379 unless given) and the login is the server's; that of the sentinels, if they ask for one, is
    ///   `?sentinel_user=..&sentinel_password=..`. Whatever the sentinels name as primary is used from then on. With
    ///   `rediss+sentinel://` the connections to both are encrypted.
    ///
    /// RESP3 is spoken unless the URL says `?protocol=resp2`: with it, a connection that breaks while nothing is being
    /// asked is noticed at once.
    ///
    /// # Errors
    /// [`Error::Config`]; the text never repeats the URL, which may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        let url = url.trim();
        let watched = sentinel::parse_url(url).transpose();
        let watched = watched.map_err(|why| Error::Config(format!("the Redis URL is not usable: {why}")))?;
        let url = watched.as_ref().map_or(url, |watched| &watched.server);
        let parsed = if url.starts_with('/') {
            ConnectionAddr::Unix(url.into()).into_connection_info()
        } else {
            url.into_connection_info()
        };
        let info = parsed.map_err(|why| {
            let hint = "expected redis://[user][:password@]host[:port][/db], the same with rediss:// for TLS (feature \
                `tls` of strat-client), unix:///path/to/redis.sock or \
                redis+sentinel://host[:port][,host[:port]...]/service_name[/db]";
            // What is behind the sentence is a piece of the URL.
            let sentence = match why.detail() {
                Some(detail) => why.to_string().replace(&format!(": {detail}"), ""),
                None => why.to_string(),
            };
            Error::Config(format!("the Redis URL is not usable ({sentence}); {hint}"))
        })?;
        check_encryption(&info)?;
        let redis = info.redis_settings().clone().set_lib_name("strat-client", env!("CARGO_PKG_VERSION"));
        let redis = if url.contains("protocol=") { redis } else { redis.set_protocol(ProtocolVersion::RESP3) };
        // Nagle's algorithm would hold small commands back for the sake of fuller packets.
        let info = info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        Ok(Self {
            sentinels: watched.map(|watched| Arc::new(Sentinels::new(&watched, info.clone()))),
            info,
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(2),
            reconnect_wait: Duration::from_secs(3),
            backoff: (Duration::from_millis(50), Duration::from_secs(2)),
            observer: None,
        })
    }

    /// From `REDIS_URL`, and where set `REDIS_CONNECT_TIMEOUT_MS` and `REDIS_RESPONSE_TIMEOUT_MS`; with the feature `tls`
    /// also `REDIS_CA_FILE`, `REDIS_CERT_FILE` and `REDIS_KEY_FILE`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the variable.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let given = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let millis = |name: &str| match given(name) {
            None => Ok(None),
            Some(text) => match text.trim().parse() {
                Ok(ms @ 1..=3_600_000) => Ok(Some(Duration::from_millis(ms))),
                _ => Err(Error::Config(format!("{name} is '{text}', not a number of milliseconds from 1 to 3600000"))),
            },
        };
        let mut config = Self::from_url(given("REDIS_URL").as_deref().unwrap_or(URL_DEFAULT))?;
        if let Some(timeout) = millis("REDIS_CONNECT_TIMEOUT_MS")? {
            config.connect_timeout = timeout;
        }
        if let Some(timeout) = millis("REDIS_RESPONSE_TIMEOUT_MS")? {
            config.response_timeout = timeout;
        }
        #[cfg(feature = "tls")]
        {
            let file = |name: &str| given(name).map(std::path::PathBuf::from);
            config = config.with_tls_files(&crate::TlsFiles {
                ca: file("REDIS_CA_FILE"),
                cert: file("REDIS_CERT_FILE"),
                key: file("REDIS_KEY_FILE"),
            })?;
        }
        Ok(config)
    }

    /// What an encrypted connection trusts and shows. The files are read now.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file that cannot be used, or where the URL asks for no encryption: who names such
    /// files counts on it.
    #[cfg(feature = "tls")]
    pub fn with_tls_files(mut self, files: &crate::TlsFiles) -> Result<Self> {
        if files.is_empty() {
            return Ok(self);
        }
        if !self.is_encrypted() {
            let next = "write rediss:// or rediss+sentinel:// in the URL, or name no such files";
            return Err(Error::Config(format!("TLS files are given, and {} is not encrypted: {next}", self.address())));
        }
        self.info = crate::tls::secured(&self.info, files)?;
        self.sentinels = self.sentinels.map(|sentinels| Arc::new(sentinels.secured(self.info.addr())));
        Ok(self)
    }

    /// Longest time that one attempt to connect may take, greeting included. Default 3 s.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Longest wait for a reply. Default 2 s. When it passes, the outcome of the request is unknown.
    #[must_use]
    pub fn with_response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How long a request waits for a lost connection to come back before it fails unsent. Default 3 s.
    #[must_use]
    pub fn with_reconnect_wait(mut self, wait: Duration) -> Self {
        self.reconnect_wait = wait;
        self
    }

    /// First and longest pause between attempts to reconnect; each is twice the one before. Default 50 ms and 2 s.
    #[must_use]
    pub fn with_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest.max(first));
        self
    }

    /// Tells somebody of each request, for metrics.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.as_ref()
    }

    /// Where Redis is: `host:port` or a path, without credentials. Behind sentinels it names those and the service;
    /// [`crate::Connection::address`] knows where the primary is.
    #[must_use]
    pub fn address(&self) -> String {
        self.sentinels.as_ref().map_or_else(|| self.info.addr().to_string(), |sentinels| sentinels.description())
    }

    /// Longest attempt to connect.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Longest wait for a reply.
    #[must_use]
    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Longest wait of a request for a lost connection to come back.
    #[must_use]
    pub fn reconnect_wait(&self) -> Duration {
        self.reconnect_wait
    }

    /// First and longest pause between attempts to reconnect.
    #[must_use]
    pub fn backoff(&self) -> (Duration, Duration) {
        self.backoff
    }

    /// What the `redis` crate connects with, to open connections of your own. `None` behind sentinels, where the place
    /// changes.
    #[must_use]
    pub fn connection_info(&self) -> Option<&ConnectionInfo> {
        self.sentinels.is_none().then_some(&self.info)
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// Login, database and protocol.
    pub(crate) fn redis_settings(&self) -> &RedisConnectionInfo {
        self.info.redis_settings()
    }

    /// A watch asks this often. Before the first clone only.
    #[cfg(test)]
    pub(crate) fn with_watch_every(mut self, every: Duration) -> Self {
        let sentinels = self.sentinels.as_mut().and_then(Arc::get_mut);
        sentinels.expect("sentinels that nobody shares yet").set_watch_every(every);
        self
    }

    /// Whom to ask for the place, and where nobody needs to be asked, the place.
    pub(crate) fn place(&self) -> Place<'_> {
        self.sentinels.as_ref().map_or(Place::Known(&self.info), Place::Asked)
    }
}

/// Encrypted without a look at the certificate is hardly better than not encrypted.
fn check_encryption(info: &ConnectionInfo) -> Result<()> {
    if let ConnectionAddr::TcpTls { insecure: true, .. } = info.addr() {
        let next = "leave #insecure out, and name the authority that signed it in REDIS_CA_FILE (redis.ca_file)";
        return Err(Error::Config(format!("a server's certificate is always checked: {next}")));
    }
    #[cfg(feature = "tls")]
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        crate::tls::choose_provider();
    }
    Ok(())
}

/// How to find the server.
pub(crate) enum Place<'a> {
    /// There is one.
    Known(&'a ConnectionInfo),
    /// The sentinels say.
    Asked(&'a Arc<Sentinels>),
}

impl fmt::Debug for Config {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("address", &self.address())
            .field("user", &self.info.redis_settings().username())
            .field("db", &self.info.redis_settings().db())
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("reconnect_wait", &self.reconnect_wait)
            .field("backoff", &self.backoff)
            .finish()
    }
}

#[cfg(test)]
mod tests;
