//! Redis and Postgres over TLS: the engine trades, and whoever is not trusted is refused with a next step.

use super::certificates::Authority;
use super::{LIMIT, SYMBOL, env, migrate, said, wait_field};
use crate::servers::engine::{self, Env};
use crate::servers::process::{Process, free_port, temp_dir};
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use futures_util::StreamExt as _;
use std::time::Duration;
use strat_client::{Config, Connection, EventStream, Notice, TlsFiles};

/// A server that listens by TLS alone, beside the socket of the tests.
struct Encrypted {
    redis: Redis,
    port: u16,
    authority: Authority,
}

impl Encrypted {
    /// `ask_clients` is `yes` where they have to show a certificate.
    fn start(ask_clients: &str) -> Self {
        Self::named("DNS:localhost, IP:127.0.0.1", ask_clients)
    }

    fn named(names: &str, ask_clients: &str) -> Self {
        let authority = Authority::new();
        authority.sign_for("server", names);
        authority.sign("engine");
        Self::with(authority, ask_clients)
    }

    fn with(authority: Authority, ask_clients: &str) -> Self {
        let port = free_port();
        let mut options = Options::new();
        options.config.extend(settings(&authority, port));
        options.config.push(format!("tls-auth-clients {ask_clients}"));
        Self { redis: Redis::with(options), port, authority }
    }

    fn url(&self) -> String {
        format!("rediss://localhost:{}/", self.port)
    }

    /// What the engine shows of itself.
    fn identity(&self) -> [(&'static str, String); 2] {
        [("REDIS_CERT_FILE", self.authority.text("engine.crt")), ("REDIS_KEY_FILE", self.authority.text("engine.key"))]
    }

    /// What `doctor` says about Redis with these settings; Postgres is nobody's matter.
    fn doctor(&self, url: &str, more: &[(&str, &str)]) -> String {
        let mut settings = vec![("REDIS_URL", url), ("DATABASE_URL", "postgres://strat@localhost/none?host=/nowhere")];
        settings.extend(more);
        said(&engine::run(&["doctor"], &env(&settings), LIMIT))
    }
}

#[test]
fn the_pages_commands_make_certificates_that_work() {
    let servers = Encrypted::with(Authority::of_the_page(), "no");
    let said = servers.doctor(&servers.url(), &[("REDIS_CA_FILE", &servers.authority.text("ca.crt"))]);
    assert!(said.contains("module strat"), "{said}");
    let file = servers.authority.path("server.crt");
    super::done(
        std::process::Command::new("openssl").args(["x509", "-noout", "-checkend", "2592000", "-in"]).arg(file),
    );
}

/// Lines of a redis.conf or a sentinel.conf.
fn settings(authority: &Authority, port: u16) -> Vec<String> {
    vec![
        format!("tls-port {port}"),
        format!("tls-cert-file {}", authority.text("server.crt")),
        format!("tls-key-file {}", authority.text("server.key")),
        format!("tls-ca-cert-file {}", authority.text("ca.crt")),
    ]
}

#[test]
fn the_engine_trades_over_tls_with_redis_and_postgres() {
    let (servers, dir) = (Encrypted::start("yes"), temp_dir());
    let postgres = Postgres::encrypted(servers.authority.folder());
    let ca = servers.authority.text("ca.crt");
    let (port, ledger) = (postgres.port(), dir.path().join("ledger.jsonl").display().to_string());
    let database = format!("postgres://strat@localhost:{port}/strat?sslmode=verify-full&sslrootcert={ca}");
    let mut env: Env = env(&[
        ("REDIS_URL", &servers.url()),
        ("REDIS_CA_FILE", &ca),
        ("DATABASE_URL", &database),
        ("STRAT_PAPER_LEDGER", &ledger),
    ]);
    env.extend(servers.identity().map(|(name, file)| (name.to_owned(), file)));
    migrate(&env);
    let mut engine = Engine::start(&["run"], env.clone());
    let mut conn = servers.redis.conn();
    let key = "user:alice:strategy:s1";
    conn.run(&format!("STRAT.SET {key} symbol {SYMBOL} quantity 10 buy_at {}", now_ms()));
    wait_field(&mut conn, key, "position", "BOUGHT");
    conn.run(&format!("STRAT.UPDATE {key} stop_loss 9000"));
    wait_field(&mut conn, key, "position", "EXITED_BY_SL");
    until("Postgres has it", LIMIT, || {
        (postgres.sql("SELECT fields->>'position' FROM strategies") == ["EXITED_BY_SL"]).then_some(())
    });
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE application_name = 'strat-engine'";
    assert_eq!(postgres.sql(encrypted), ["t"], "every connection of the engine's");
    let doctor = said(&engine::run(&["doctor"], &env, LIMIT));
    assert!(doctor.contains(&format!("answers at localhost:{}", servers.port)), "{doctor}");
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}

#[test]
fn a_redis_that_is_not_trusted_is_refused_with_a_next_step() {
    let (servers, other) = (Encrypted::start("no"), Authority::new());
    let (ca, wrong, url) = (servers.authority.text("ca.crt"), other.text("ca.crt"), servers.url());
    let trusted = ("REDIS_CA_FILE", ca.as_str());
    let good = servers.doctor(&url, &[trusted]);
    assert!(good.contains("module strat"), "{good}");
    for (settings, url, wanted) in [
        (vec![("REDIS_CA_FILE", wrong.as_str())], url.clone(), "REDIS_CA_FILE"),
        (vec![], url.clone(), "REDIS_CA_FILE"),
        (vec![("REDIS_CA_FILE", "/nowhere/ca.crt")], url.clone(), "/nowhere/ca.crt"),
        (vec![trusted], "redis://127.0.0.1:1/".to_owned(), "rediss://"),
        (vec![trusted], url.replace("/", "/#insecure").replace("/#insecure/#insecure", "//"), "always checked"),
    ] {
        let said = servers.doctor(&url, &settings);
        assert!(said.contains(wanted) && !said.contains("module strat"), "{url} {settings:?}:\n{said}");
    }
    let elsewhere = Encrypted::named("DNS:elsewhere.example", "no");
    let ours = elsewhere.authority.text("ca.crt");
    let said = elsewhere.doctor(&elsewhere.url(), &[("REDIS_CA_FILE", &ours)]);
    assert!(said.contains("is for another name"), "{said}");
    // To a port that speaks plainly.
    let plain = Redis::with(Options::new().tcp());
    let said = servers.doctor(&format!("rediss://localhost:{}/", plain.port()), &[trusted]);
    assert!(said.contains("rediss:// wants its tls-port"), "{said}");
    let start = env(&[("REDIS_URL", &url), ("REDIS_CA_FILE", &wrong)]);
    let refused = engine::run(&["strategy", "list"], &start, LIMIT);
    assert!(!refused.status.success());
}

#[test]
fn a_server_that_asks_who_we_are_is_told() {
    let servers = Encrypted::start("yes");
    let ca = servers.authority.text("ca.crt");
    let trusted = ("REDIS_CA_FILE", ca.as_str());
    let nobody = servers.doctor(&servers.url(), &[trusted]);
    assert!(nobody.contains("REDIS_CERT_FILE") && !nobody.contains("module strat"), "{nobody}");
    let known = servers.identity();
    let shown = known.iter().map(|(name, file)| (*name, file.as_str()));
    let settings: Vec<_> = [trusted].into_iter().chain(shown).collect();
    let somebody = servers.doctor(&servers.url(), &settings);
    assert!(somebody.contains("module strat"), "{somebody}");
}

#[test]
fn a_postgres_that_is_not_trusted_is_refused_with_a_next_step() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.sign("server");
    let postgres = Postgres::encrypted(authority.folder());
    let place = format!("postgres://strat@localhost:{}/strat", postgres.port());
    for (options, wanted) in [
        (format!("sslmode=verify-full&sslrootcert={}", other.text("ca.crt")), Some("sslrootcert=FILE")),
        ("sslmode=verify-full".to_owned(), Some("sslrootcert=FILE")),
        (format!("sslmode=verify-full&sslrootcert={}", authority.text("ca.crt")), None),
    ] {
        let output = engine::run(&["migrate"], &env(&[("DATABASE_URL", &format!("{place}?{options}"))]), LIMIT);
        assert_eq!(output.status.success(), wanted.is_none(), "{options}: {}", said(&output));
        assert!(said(&output).contains(wanted.unwrap_or_default()), "{options}: {}", said(&output));
    }
    let socket = postgres.url() + "&sslmode=verify-full";
    let output = engine::run(&["migrate"], &env(&[("DATABASE_URL", &socket)]), LIMIT);
    println!("over a Unix socket, which is never encrypted: {}", said(&output));
}

/// Requests and events, to the server that sentinels name, all of it encrypted.
#[test]
fn sentinels_and_what_they_name_are_spoken_to_by_tls() {
    let (servers, port, dir) = (Encrypted::start("no"), free_port(), temp_dir());
    let mut lines = settings(&servers.authority, port);
    lines.extend(["port 0", "bind 127.0.0.1", "tls-auth-clients no", "tls-replication yes"].map(str::to_owned));
    lines.push(format!("sentinel monitor main 127.0.0.1 {} 1", servers.port));
    let config = dir.path().join("sentinel.conf");
    std::fs::write(&config, lines.join("\n")).unwrap();
    let program = crate::servers::paths::redis_server();
    let log = dir.path().join("sentinel.log");
    let _sentinel = Process::start("sentinel", &program, &log, None, |command| {
        command.arg(&config).arg("--sentinel");
    });
    let url = format!("rediss+sentinel://127.0.0.1:{port}/main");
    let ca = servers.authority.text("ca.crt");
    let found = until("the sentinel is asked", LIMIT, || {
        let said = servers.doctor(&url, &[("REDIS_CA_FILE", &ca)]);
        said.contains("module strat").then_some(said)
    });
    assert!(found.contains(&format!("answers at 127.0.0.1:{}", servers.port)), "{found}");
    let wrong = servers.doctor(&url, &[("REDIS_CA_FILE", &Authority::new().text("ca.crt"))]);
    assert!(wrong.contains("REDIS_CA_FILE") && !wrong.contains("module strat"), "{wrong}");
    let files = TlsFiles { ca: Some(ca.into()), ..TlsFiles::default() };
    let config = Config::from_url(&url).unwrap().with_tls_files(&files).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        Connection::open(&config).await.unwrap().check_module().await.unwrap();
        let mut events = EventStream::subscribe(&config, "al").await.unwrap();
        servers.redis.conn().run("STRAT.SET user:al:strategy:s1 symbol IBM quantity 1");
        let notice = tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(notice, Notice::Event(event) if event.strategy_id == "s1"));
    });
}
