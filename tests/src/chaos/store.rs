//! Redis and what stands behind it: a server with a replica, or two servers that three sentinels watch over.

use super::proxy::{Proxy, Target};
use crate::resp::{Conn, Value};
use crate::servers::engine::Env;
use crate::servers::sentinel::{Scout, Watched};
use crate::servers::{Options, Redis};
use std::io;
use std::path::PathBuf;

/// Two servers.
pub(super) enum Store {
    /// The second follows the first, whatever happens.
    Pair { servers: Vec<Redis>, replication: Proxy },
    /// Either may be the primary. Everybody reaches each by its link: engines, sentinels, and the other server.
    Watched { watched: Watched, links: Vec<Proxy> },
}

/// Finds the primary; threads share it.
#[derive(Clone)]
pub(super) enum Finder {
    Fixed(PathBuf),
    Named(Scout),
}

impl Finder {
    /// A connection to the primary.
    pub(super) fn open(&self) -> io::Result<Conn> {
        let nobody = || io::Error::new(io::ErrorKind::NotConnected, "there is no primary now");
        let socket = match self {
            Self::Fixed(socket) => socket.clone(),
            Self::Named(scout) => scout.primary().ok_or_else(nobody)?,
        };
        let mut conn = Conn::open(&socket)?;
        let is_primary = match conn.try_call(&["ROLE"])? {
            Value::Array(role) => role.first().is_some_and(|role| role.text() == "master"),
            _ => false,
        };
        if is_primary { Ok(conn) } else { Err(nobody()) }
    }
}

impl Store {
    /// Each server with these variables in its environment.
    pub(super) fn start(sentinels: bool, env: [Env; 2]) -> Self {
        if sentinels {
            let mut links = Vec::new();
            let options = env.map(|env| server().env(env));
            let watched = Watched::start_behind(options, |at, port| {
                let link = Proxy::start(["to-redis0", "to-redis1"][at], Target::Tcp(port));
                let announced = link.port();
                links.push(link);
                announced
            });
            return Self::Watched { watched, links };
        }
        let [first, second] = env;
        let primary = Redis::with(server().env(first));
        let replication = Proxy::start("replica-primary", Target::Unix(primary.socket()));
        let replica = Redis::with(server().env(second).config(&format!("replicaof 127.0.0.1 {}", replication.port())));
        Self::Pair { servers: vec![primary, replica], replication }
    }

    pub(super) fn finder(&self) -> Finder {
        match self {
            Self::Pair { servers, .. } => Finder::Fixed(servers[0].socket()),
            Self::Watched { watched, .. } => Finder::Named(watched.scout()),
        }
    }

    /// Where clients begin, if that is not a single server.
    pub(super) fn sentinel_url(&self) -> Option<String> {
        match self {
            Self::Pair { .. } => None,
            Self::Watched { watched, .. } => Some(watched.url()),
        }
    }

    /// The links of the servers.
    pub(super) fn links(&self) -> &[Proxy] {
        match self {
            Self::Pair { replication, .. } => std::slice::from_ref(replication),
            Self::Watched { links, .. } => links,
        }
    }

    /// Whether what the primary has acknowledged may be lost with it.
    pub(super) fn may_fail_over(&self) -> bool {
        matches!(self, Self::Watched { .. })
    }

    /// Number of the server that is, or was last, the primary.
    pub(super) fn primary(&self) -> usize {
        match self {
            Self::Pair { .. } => 0,
            Self::Watched { watched, .. } => watched.scout().named().unwrap_or(0),
        }
    }

    /// Asks the sentinels for a failover; whether they begin one.
    pub(super) fn fail_over(&self) -> bool {
        match self {
            Self::Pair { .. } => false,
            Self::Watched { watched, .. } => watched.try_failover(),
        }
    }

    pub(super) fn server(&mut self, at: usize) -> &mut Redis {
        match self {
            Self::Pair { servers, .. } => &mut servers[at],
            Self::Watched { watched, .. } => watched.redis(at),
        }
    }

    /// Starts a killed server again.
    pub(super) fn start_again(&mut self, at: usize) {
        match self {
            Self::Pair { servers, .. } => servers[at].start_again(),
            Self::Watched { watched, .. } => watched.start_as_named(at),
        }
    }

    /// Of a server that must be there.
    pub(super) fn conn(&self, at: usize) -> Conn {
        match self {
            Self::Pair { servers, .. } => servers[at].conn(),
            Self::Watched { watched, .. } => watched.conn(at),
        }
    }
}

/// Rewrites of the append-only file are part of the test; retries must fit into the time of a test.
pub(super) fn server() -> Options {
    let lines = [
        "auto-aof-rewrite-min-size 1mb",
        "repl-timeout 5",
        "repl-ping-replica-period 1",
        "strat.retry-backoff-ms 200",
        "strat.retry-backoff-max-ms 2000",
    ];
    lines.iter().fold(Options::new().durable().sees_full_disk(), |options, line| options.config(line))
}
