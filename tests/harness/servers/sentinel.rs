//! A primary, a replica, and three sentinels that watch over them.

use super::paths;
use super::process::{Process, free_port, temp_dir};
use super::redis::{Options, Redis};
use crate::resp::{Conn, Value};
use crate::support::until;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How the sentinels call what they watch.
pub const SERVICE: &str = "main";
/// A primary that says nothing for so long is held for dead. Shorter, and a busy machine makes failovers of its own.
const DOWN_AFTER_MS: u32 = 700;
const SENTINELS: usize = 3;
/// Longest wait for something that takes a second: a sentinel that finds its machine asleep waits half a minute.
const LIMIT: Duration = Duration::from_secs(60);

/// Two servers with their sentinels. Dropping it takes all of them down.
pub struct Watched {
    // Dropped in this order, so that no sentinel mourns.
    sentinels: Vec<Sentinel>,
    servers: Vec<Server>,
}

struct Server {
    redis: Redis,
    options: Options,
    /// The port by which the sentinels, the clients and the other server know it.
    announced: u16,
}

struct Sentinel {
    port: u16,
    // Dropped in this order: first the process, then its folder.
    _process: Process,
    dir: TempDir,
}

impl Watched {
    /// Starts a primary as asked for, its replica, and the sentinels; waits until all know each other.
    pub fn start(options: &Options) -> Self {
        Self::start_behind([options.clone(), options.clone()], |_, port| port)
    }

    /// As [`Watched::start`], with options for each server. `announced` gives the port by which everybody else is to know
    /// the server of this number, which listens on this one: that of a proxy.
    pub fn start_behind(options: [Options; 2], mut announced: impl FnMut(usize, u16) -> u16) -> Self {
        let start = |(at, options)| server(options, |port| announced(at, port));
        let servers = options.iter().enumerate().map(start).collect();
        let mut watched = Self { sentinels: Vec::new(), servers };
        watched.follow(1, 0);
        let primary = watched.servers[0].announced;
        watched.sentinels = (0..SENTINELS).map(|_| sentinel(primary)).collect();
        for sentinel in &watched.sentinels {
            until("the sentinels know the replica and each other", LIMIT, || {
                let known = sentinel.master();
                (known("num-slaves") == "1" && known("num-other-sentinels") == "2" && known("flags") == "master")
                    .then_some(())
            });
        }
        watched
    }

    /// URL for clients.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// Number of the server that the sentinels name, if they agree and it says so itself.
    pub fn primary(&self) -> Option<usize> {
        let mut named = self.sentinels.iter().map(Sentinel::names);
        let first = named.next()??;
        let at = self.servers.iter().position(|server| server.announced == first)?;
        (named.all(|name| name == Some(first)) && self.role(at).as_deref() == Some("master")).then_some(at)
    }

    /// Waits until the sentinels name another than `old`, and it agrees.
    pub fn wait_failover(&self, old: usize) -> usize {
        until("another primary", LIMIT, || self.primary().filter(|&primary| primary != old))
    }

    /// `host:port` of a server, as the sentinels name it.
    pub fn address(&self, at: usize) -> String {
        format!("127.0.0.1:{}", self.servers[at].announced)
    }

    /// The server itself.
    pub fn redis(&mut self, at: usize) -> &mut Redis {
        &mut self.servers[at].redis
    }

    /// A connection to a server.
    pub fn conn(&self, at: usize) -> Conn {
        self.servers[at].redis.conn()
    }

    /// Whether the sentinels begin to hand over, if they can just now.
    pub fn try_failover(&self) -> bool {
        let reply = self.sentinels[0].conn().and_then(|mut conn| conn.try_call(&["SENTINEL", "FAILOVER", SERVICE]));
        reply.is_ok_and(|reply| !reply.is_error())
    }

    /// For other threads, which want to know the primary too.
    pub fn scout(&self) -> Scout {
        Scout {
            sentinels: self.sentinels.iter().map(|sentinel| socket(sentinel.dir.path())).collect(),
            servers: self.servers.iter().map(|server| (server.announced, server.redis.socket())).collect(),
        }
    }

    /// Has the sentinels hand over from the primary that works.
    pub fn order_failover(&self) {
        until("the sentinel begins", LIMIT, || {
            let reply = self.sentinels[0].conn().ok()?.try_call(&["SENTINEL", "FAILOVER", SERVICE]).ok()?;
            // NOGOODSLAVE, INPROG: the last failover is not over for it.
            (!reply.is_error()).then_some(())
        });
    }

    /// Starts a killed server again, as the replica of `primary`.
    pub fn start_again(&mut self, at: usize, primary: usize) {
        let line = format!("replicaof 127.0.0.1 {}", self.servers[primary].announced);
        let server = &mut self.servers[at];
        server.redis.set_options(server.options.clone().config(&line));
        server.redis.start_again();
        self.wait_synced(at);
    }

    /// Starts a killed server again in the role that the sentinels give it, ready or not.
    pub fn start_as_named(&mut self, at: usize) {
        let primary = self.scout().named().filter(|&named| named != at).map(|named| self.servers[named].announced);
        let server = &mut self.servers[at];
        let line = primary.map(|port| format!("replicaof 127.0.0.1 {port}"));
        let options = line.iter().fold(server.options.clone(), |options, line| options.config(line));
        server.redis.set_options(options);
        server.redis.start_again();
    }

    /// Makes a server the replica of another, and waits until it has everything.
    pub fn follow(&mut self, at: usize, primary: usize) {
        let port = self.servers[primary].announced;
        self.conn(at).run(&format!("REPLICAOF 127.0.0.1 {port}"));
        self.wait_synced(at);
    }

    /// Waits until a server is a replica that is in step.
    pub fn wait_synced(&self, at: usize) {
        let conn = || Conn::open(&self.servers[at].redis.socket()).ok();
        until("the replica is in step", LIMIT, || {
            let role = conn()?.try_call(&["ROLE"]).ok()?;
            (role.items()[0].text() == "slave" && role.items()[3].text() == "connected").then_some(())
        });
    }

    /// Waits until every sentinel knows a healthy replica, without which it cannot hand over.
    pub fn wait_replica_known(&self) {
        for sentinel in &self.sentinels {
            until("the sentinels see a healthy replica", LIMIT, || {
                let reply = sentinel.conn().ok()?.try_call(&["SENTINEL", "REPLICAS", SERVICE]).ok()?;
                let healthy = |replica: &Value| {
                    let fields = replica.fields();
                    fields["flags"] == "slave" && fields["master-link-status"] == "ok"
                };
                reply.items().iter().any(healthy).then_some(())
            });
        }
    }

    fn role(&self, at: usize) -> Option<String> {
        let mut conn = Conn::open(&self.servers[at].redis.socket()).ok()?;
        conn.limit(Duration::from_secs(1));
        Some(conn.try_call(&["ROLE"]).ok()?.items()[0].text())
    }
}

impl Sentinel {
    fn conn(&self) -> std::io::Result<Conn> {
        Conn::open(&socket(self.dir.path()))
    }

    /// What it knows of the primary, by field; empty where it does not answer.
    fn master(&self) -> impl Fn(&str) -> String {
        let reply = self.conn().and_then(|mut conn| conn.try_call(&["SENTINEL", "MASTER", SERVICE]));
        let fields = reply.ok().filter(|reply| !reply.is_error()).map(|reply| reply.fields()).unwrap_or_default();
        move |name| fields.get(name).cloned().unwrap_or_default()
    }

    /// Port of the primary that it names.
    fn names(&self) -> Option<u16> {
        named_by(&mut self.conn().ok()?)
    }
}

/// Asks the sentinels where the primary is.
#[derive(Debug, Clone)]
pub struct Scout {
    /// Sockets of the sentinels.
    sentinels: Vec<PathBuf>,
    /// Ports and sockets of the servers.
    servers: Vec<(u16, PathBuf)>,
}

impl Scout {
    /// Number of the server that the first sentinel which answers names.
    pub fn named(&self) -> Option<usize> {
        let port = self.sentinels.iter().find_map(|socket| named_by(&mut Conn::open(socket).ok()?))?;
        self.servers.iter().position(|(known, _)| *known == port)
    }

    /// Socket of that server.
    pub fn primary(&self) -> Option<PathBuf> {
        self.named().map(|at| self.servers[at].1.clone())
    }
}

/// Port of the primary that a sentinel names.
fn named_by(sentinel: &mut Conn) -> Option<u16> {
    sentinel.try_call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).ok()?.texts()[1].parse().ok()
}

/// Its port stays the same when it is started again: the sentinels know it by that.
fn server(options: &Options, announced: impl FnOnce(u16) -> u16) -> Server {
    let redis = Redis::with(options.clone().tcp());
    let announced = announced(redis.port());
    let line = format!("replica-announce-port {announced}");
    redis.conn().run(&format!("CONFIG SET {line}"));
    Server { options: options.clone().port(redis.port()).config(&line), redis, announced }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("sentinel.sock")
}

fn sentinel(primary: u16) -> Sentinel {
    for _ in 0..5 {
        let (dir, port) = (temp_dir(), free_port());
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("unixsocket {}", socket(dir.path()).display()),
            format!("dir {}", dir.path().display()),
            format!("sentinel monitor {SERVICE} 127.0.0.1 {primary} 2"),
            format!("sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}"),
            // A vote that nobody won is held again after twice this.
            format!("sentinel failover-timeout {SERVICE} 2000"),
        ];
        let config = dir.path().join("sentinel.conf");
        std::fs::write(&config, lines.join("\n")).unwrap();
        let mut process =
            Process::start("sentinel", &paths::redis_server(), &dir.path().join("sentinel.log"), None, |command| {
                command.arg(&config).arg("--sentinel");
            });
        let ready = until("the sentinel answers", LIMIT, || {
            if process.ended().is_some() {
                return Some(false);
            }
            Conn::open(&socket(dir.path())).and_then(|mut conn| conn.try_call(&["PING"])).ok().map(|_| true)
        });
        if ready {
            return Sentinel { port, _process: process, dir };
        }
        let output = process.output();
        assert!(output.contains("Address already in use"), "the sentinel does not start:\n{output}");
    }
    panic!("no free port in five tries");
}
