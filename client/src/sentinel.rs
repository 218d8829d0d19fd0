//! Finding the primary through Redis Sentinel, and noticing that it has moved.
//!
//! The `redis` crate has a `sentinel` feature. It is not used, because it hurts more than it helps: it asks for the role
//! over one connection and hands out another, so that what was checked is not what is used; it asks in the order given
//! every time, so that a silent first sentinel costs its timeout at every lookup; it never looks again, so that whoever
//! is connected to a primary that was paused and replaced stays there; and it checks by `ROLE`, which no user without
//! administrator's commands may call. What it would save is one command.

mod url;
mod watch;

pub(crate) use url::{SentinelUrl, parse as parse_url};

use crate::error::{handshake, is_settled};
use crate::reply;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError,
    RedisResult, Value,
};
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for one server, sentinel or primary, whatever the settings allow for the whole search.
const STEP_MAX: Duration = Duration::from_secs(1);

/// The sentinels of one service. All connections made from one [`crate::Config`] and its clones share what is learned
/// about who answers.
pub(crate) struct Sentinels {
    service: String,
    nodes: Vec<ConnectionInfo>,
    /// How to greet the primary; the place in it is of no meaning.
    server: ConnectionInfo,
    /// Numbers of `nodes`: who answered last stands first, who did not stands last.
    order: Mutex<VecDeque<usize>>,
    /// How often a watch asks.
    watch_every: Duration,
}

/// A server that said it is the primary.
pub(crate) struct Primary {
    /// `host:port`, as the sentinels name it.
    pub(crate) address: String,
    /// To open further connections to it.
    pub(crate) info: ConnectionInfo,
    /// The connection that it was asked over.
    pub(crate) connection: MultiplexedConnection,
}

impl Sentinels {
    /// `server` says how to greet the primary.
    pub(crate) fn new(url: &SentinelUrl, server: ConnectionInfo) -> Self {
        // RESP2 and no library name: nothing is sent but the login and the question.
        let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        if let Some(user) = &url.user {
            login = login.set_username(user);
        }
        if let Some(password) = &url.password {
            login = login.set_password(password);
        }
        let node = |(host, port): &(String, u16)| {
            server.clone().set_addr(place(server.addr(), host.clone(), *port)).set_redis_settings(login.clone())
        };
        Self {
            nodes: url.sentinels.iter().map(node).collect(),
            order: Mutex::new((0..url.sentinels.len()).collect()),
            service: url.service.clone(),
            watch_every: watch::EVERY,
            server,
        }
    }

    /// The same sentinels; they and the servers are trusted by what `like` holds.
    #[cfg(feature = "tls")]
    pub(crate) fn secured(&self, like: &ConnectionAddr) -> Self {
        let again = |node: &ConnectionInfo| match node.addr() {
            ConnectionAddr::TcpTls { host, port, .. } => node.clone().set_addr(place(like, host.clone(), *port)),
            _ => node.clone(),
        };
        Self {
            service: self.service.clone(),
            nodes: self.nodes.iter().map(again).collect(),
            server: self.server.clone().set_addr(like.clone()),
            order: Mutex::new(self.order().clone()),
            watch_every: self.watch_every,
        }
    }

    #[cfg(test)]
    pub(crate) fn set_watch_every(&mut self, every: Duration) {
        self.watch_every = every;
    }

    /// What stands for the address while there is none, without credentials.
    pub(crate) fn description(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        format!("the primary of {} (sentinels {})", self.service, nodes.join(", "))
    }

    /// Finds the primary: asks one sentinel after the other until a server that one of them names says that it is the
    /// primary. Each step gets a share of `whole`, so that one silent server does not use up all of it.
    ///
    /// A sentinel that was cut off may name a primary of the past. That one says itself that it is a replica now, unless
    /// it was cut off as well: then only its own `min-replicas-to-write`, and the module's epoch, refuse what is sent to it.
    pub(crate) async fn primary(
        &self,
        whole: Duration,
        mut options: impl FnMut() -> AsyncConnectionConfig + Send,
    ) -> RedisResult<Primary> {
        let step = self.step(whole);
        let (mut notes, mut tried, mut settled) = (Vec::new(), Vec::new(), None);
        for node in self.ordered() {
            let place = match self.ask(node, step).await {
                Ok(place) => place,
                Err(why) => {
                    notes.push(why);
                    continue;
                }
            };
            let (address, sentinel) = (place.to_string(), self.nodes[node].addr());
            if tried.contains(&address) {
                notes.push(format!("sentinel {sentinel} names {address} as well"));
                continue;
            }
            let info = self.server.clone().set_addr(place);
            match open(&info, &options(), step).await {
                Ok(connection) => {
                    self.put_first(node);
                    return Ok(Primary { address, info, connection });
                }
                // Another sentinel may know better, also than one that names somebody else's server.
                Err(error) if is_settled(&error) => settled = Some(error),
                Err(error) => {
                    let next = handshake(&error).map(|next| format!("; {next}")).unwrap_or_default();
                    notes.push(format!("sentinel {sentinel} names {address}: {error}{next}"));
                }
            }
            tried.push(address);
        }
        Err(settled.unwrap_or_else(|| failure(notes.join("; "))))
    }

    async fn ask(&self, node: usize, step: Duration) -> Result<ConnectionAddr, String> {
        // Before it is asked: a search that is given up while this one is silent begins with another the next time.
        self.put_last(node);
        let asked = async {
            let mut connection = self.reach(node, step).await?;
            self.question(node, &mut connection, step).await
        };
        let late = || Err(format!("sentinel {} does not answer in time", self.nodes[node].addr()));
        timeout(step, asked).await.unwrap_or_else(|_| late())
    }

    async fn reach(&self, node: usize, step: Duration) -> Result<MultiplexedConnection, String> {
        let limits = AsyncConnectionConfig::new().set_connection_timeout(Some(step)).set_response_timeout(Some(step));
        let connected = async {
            let client = Client::open(self.nodes[node].clone())?;
            client.get_multiplexed_async_connection_with_config(&limits).await
        };
        in_time(step, connected).await.map_err(|error| self.complaint(node, &error))
    }

    async fn question(
        &self,
        node: usize,
        connection: &mut MultiplexedConnection,
        step: Duration,
    ) -> Result<ConnectionAddr, String> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        match in_time(step, command.query_async::<Option<(String, u16)>>(connection)).await {
            Ok(Some((host, port))) => Ok(place(self.server.addr(), host, port)),
            Ok(None) => Err(format!(
                "sentinel {} watches nothing named '{}' (SENTINEL MASTERS lists what it does)",
                self.nodes[node].addr(),
                self.service
            )),
            Err(error) => Err(self.complaint(node, &error)),
        }
    }

    fn complaint(&self, node: usize, error: &RedisError) -> String {
        let reason = handshake(error).map_or_else(|| error.to_string(), |next| format!("{error}; {next}"));
        let hint = if is_settled(error) || matches!(error.code(), Some("NOAUTH" | "NOPERM")) {
            " (its login is the URL's sentinel_user and sentinel_password)"
        } else {
            ""
        };
        format!("sentinel {}: {reason}{hint}", self.nodes[node].addr())
    }

    /// All but one sentinel may be silent, and there is still time for the last one and for the primary.
    fn step(&self, whole: Duration) -> Duration {
        let steps = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX).saturating_add(1);
        (whole / steps).min(STEP_MAX)
    }

    fn order(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ordered(&self) -> Vec<usize> {
        self.order().iter().copied().collect()
    }

    fn put_first(&self, node: usize) {
        let mut order = self.order();
        order.retain(|other| *other != node);
        order.push_front(node);
    }

    fn put_last(&self, node: usize) {
        let mut order = self.order();
        order.retain(|other| *other != node);
        order.push_back(node);
    }
}

/// A place that is connected to in the way of another: encrypted or not, by the same certificates.
fn place(like: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

/// Connects, if the server says that it is a primary.
async fn open(
    info: &ConnectionInfo,
    options: &AsyncConnectionConfig,
    step: Duration,
) -> RedisResult<MultiplexedConnection> {
    let greeted = async {
        let mut connection = Client::open(info.clone())?.get_multiplexed_async_connection_with_config(options).await?;
        // `HELLO` without a version changes nothing and says the role. `ROLE` says the same, but it is one of the
        // administrator's commands, which an engine's or a user's login need not have.
        let said: Value = redis::cmd("HELLO").query_async(&mut connection).await?;
        match role(said).as_deref() {
            Some("master") => Ok(connection),
            Some(role) => Err(failure(format!("it says that it is a {role}"))),
            None => Err(failure("it does not say whether it is a primary".to_owned())),
        }
    };
    in_time(step, greeted).await
}

pub(crate) fn role(said: Value) -> Option<String> {
    let pairs = reply::pairs(said, "HELLO").ok()?;
    let (_, role) =
        pairs.into_iter().find(|(name, _)| reply::text(name.clone(), "name").is_ok_and(|name| name == "role"))?;
    reply::text(role, "role").ok()
}

/// A failure that may pass.
fn failure(why: String) -> RedisError {
    io::Error::new(io::ErrorKind::NotConnected, why).into()
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(failure("no answer in time".to_owned())))
}

#[cfg(test)]
mod tests;
