//! The table of settings: name, environment variable, meaning, how to read and how to show each.

use super::{LogFormat, MissedPolicy, Settings, UnknownPolicy, parse_symbols};
use super::{alpaca, binance, broker, candles, feed, guard, http, kite, redis, risk, schedule, sources, upkeep};
use crate::replay::Speed;
use std::path::PathBuf;
use std::time::Duration;

/// One setting.
pub struct Setting {
    /// Dotted name, as in the TOML file and in `--set`.
    pub name: &'static str,
    /// Environment variable.
    pub env: &'static str,
    /// What it means, one line.
    pub about: &'static str,
    /// Reads a text into the settings; the error completes "'value' …".
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
    /// The value as text.
    pub get: fn(&Settings) -> String,
    /// What of its value is not to be shown.
    pub secret: Secret,
}

/// What of a value is not to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// Nothing.
    No,
    /// A password in a URL.
    InUrl,
    /// All of it.
    Whole,
}

impl Setting {
    /// A value for messages: URLs lose their password.
    #[must_use]
    pub fn shown(&self, value: &str) -> String {
        match self.secret {
            Secret::No => format!("'{value}'"),
            Secret::InUrl => format!("'{}'", without_password(value)),
            Secret::Whole => "the value".to_owned(),
        }
    }
}

pub(super) const fn row(
    name: &'static str,
    env: &'static str,
    about: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
    get: fn(&Settings) -> String,
) -> Setting {
    Setting { name, env, about, set, get, secret: Secret::No }
}

/// Every setting.
pub const TABLE: &[Setting] = &[
    Setting {
        secret: Secret::InUrl,
        ..row(
            "redis.url",
            "REDIS_URL",
            "Redis with the module: redis://host:port/, redis+unix:///path or redis+sentinel://host,host,host/service; rediss:// and rediss+sentinel:// are encrypted",
            |s, v| url(v, &redis::SCHEMES).map(|v| s.redis_url = v),
            |s| without_password(&s.redis_url),
        )
    },
    redis::CA_FILE,
    redis::CERT_FILE,
    redis::KEY_FILE,
    Setting {
        secret: Secret::InUrl,
        ..row(
            "database.url",
            "DATABASE_URL",
            "Postgres: postgres://user@host/database; ?sslmode=verify-full&sslrootcert=FILE for TLS",
            |s, v| url(v, &["postgres://", "postgresql://"]).map(|v| s.database_url = v),
            |s| without_password(&s.database_url),
        )
    },
    http::ADDR,
    http::TOKEN,
    http::JWT_SECRET,
    http::READS,
    http::WRITES,
    http::REFUSED,
    http::STREAMS,
    http::STREAMS_PER_USER,
    row(
        "engine.name",
        "STRAT_ENGINE_NAME",
        "name in the streams, different for each engine running; host:pid unless set",
        |s, v| name(v).map(|v| s.engine_name = v),
        |s| s.engine_name.clone(),
    ),
    row(
        "engine.concurrency",
        "STRAT_ENGINE_CONCURRENCY",
        "orders handled at the same time, 1 to 10000",
        |s, v| whole(v, 1, 10_000).map(|v| s.concurrency = v as usize),
        |s| s.concurrency.to_string(),
    ),
    row(
        "engine.lock_ttl_ms",
        "STRAT_ENGINE_LOCK_TTL_MS",
        "life of an order lock unless extended, 500 to 60000 ms",
        |s, v| whole(v, 500, 60_000).map(|v| s.lock_ttl = Duration::from_millis(v)),
        |s| s.lock_ttl.as_millis().to_string(),
    ),
    row(
        "schedule.missed",
        "STRAT_SCHEDULE_MISSED",
        "a time missed is done `late` (within the grace) or `skip`ped",
        |s, v| one_of(v, &[("late", MissedPolicy::Late), ("skip", MissedPolicy::Skip)]).map(|v| s.missed = v),
        |s| if s.missed == MissedPolicy::Late { "late" } else { "skip" }.to_owned(),
    ),
    row(
        "schedule.grace_seconds",
        "STRAT_SCHEDULE_GRACE_SECONDS",
        "how late a missed time may still be done, 0 to 86400 s",
        |s, v| whole(v, 0, 86_400).map(|v| s.missed_grace = Duration::from_secs(v)),
        |s| s.missed_grace.as_secs().to_string(),
    ),
    row(
        "schedule.calendars_dir",
        "STRAT_SCHEDULE_CALENDARS_DIR",
        "folder of session calendars; empty for none",
        |s, v| {
            s.calendars_dir = path(v);
            Ok(())
        },
        |s| shown_path(s.calendars_dir.as_ref()),
    ),
    schedule::SQUARE_OFF,
    row(
        "reconcile.interval_seconds",
        "STRAT_RECONCILE_INTERVAL_SECONDS",
        "time between two reconciliations, 1 to 86400 s",
        |s, v| whole(v, 1, 86_400).map(|v| s.reconcile_interval = Duration::from_secs(v)),
        |s| s.reconcile_interval.as_secs().to_string(),
    ),
    row(
        "reconcile.unknown",
        "STRAT_RECONCILE_UNKNOWN",
        "a strategy only Redis knows: `adopt` it into Postgres or `remove` it",
        |s, v| {
            one_of(v, &[("adopt", UnknownPolicy::Adopt), ("remove", UnknownPolicy::Remove)])
                .map(|v| s.reconcile_unknown = v)
        },
        |s| if s.reconcile_unknown == UnknownPolicy::Adopt { "adopt" } else { "remove" }.to_owned(),
    ),
    row(
        "feed.kind",
        "STRAT_FEED_KIND",
        "where prices come from: `sim` (simulated market), `csv` (a file of ticks), `lines` (over TCP), `stream` (in Redis), `websocket` (JSON), `alpaca`, `binance` or `kite` (trades of feed.subscribe)",
        |s, v| one_of(v, feed::KINDS).map(|v| s.feed.kind = v),
        |s| feed::KINDS.iter().find(|(_, kind)| *kind == s.feed.kind).map_or("", |(word, _)| word).to_owned(),
    ),
    row(
        "feed.seed",
        "STRAT_FEED_SEED",
        "seed of the simulated market",
        |s, v| whole(v, 0, u64::MAX).map(|v| s.feed.seed = v),
        |s| s.feed.seed.to_string(),
    ),
    row(
        "feed.symbols",
        "STRAT_FEED_SYMBOLS",
        "symbols of the simulated market: SYMBOL=PRICE,SYMBOL=PRICE",
        |s, v| parse_symbols(v).map(|v| s.feed.symbols = v),
        |s| s.feed.symbols.iter().map(|(symbol, price)| format!("{symbol}={price}")).collect::<Vec<_>>().join(","),
    ),
    row(
        "feed.tick_ms",
        "STRAT_FEED_TICK_MS",
        "time between two simulated ticks of a symbol, 1 to 60000 ms",
        |s, v| whole(v, 1, 60_000).map(|v| s.feed.tick_ms = v),
        |s| s.feed.tick_ms.to_string(),
    ),
    row(
        "feed.step_bps",
        "STRAT_FEED_STEP_BPS",
        "largest simulated step, 1 to 1000 basis points",
        |s, v| whole(v, 1, 1_000).map(|v| s.feed.step_bps = v as u32),
        |s| s.feed.step_bps.to_string(),
    ),
    row(
        "feed.file",
        "STRAT_FEED_FILE",
        "file of ticks for feed.kind csv",
        |s, v| {
            s.feed.file = path(v);
            Ok(())
        },
        |s| shown_path(s.feed.file.as_ref()),
    ),
    row(
        "feed.silence_seconds",
        "STRAT_FEED_SILENCE_SECONDS",
        "time without a tick after which /health is unhealthy, of a symbol with open positions after which an alarm is raised, 0 to 86400 s; 0 for never",
        |s, v| whole(v, 0, 86_400).map(|v| s.feed.silence = Duration::from_secs(v)),
        |s| s.feed.silence.as_secs().to_string(),
    ),
    row(
        "feed.speed",
        "STRAT_FEED_SPEED",
        "how fast feed.file is played: so many times as fast as it was, or `max`",
        |s, v| {
            v.parse()
                .map(|v| s.feed.speed = v)
                .map_err(|_: String| "is neither max nor a whole number above 0".to_owned())
        },
        |s| match s.feed.speed {
            Speed::Max => "max".to_owned(),
            Speed::Times(times) => times.to_string(),
        },
    ),
    feed::ADDRESS,
    feed::SUBSCRIBE,
    sources::STREAM,
    sources::URL,
    sources::SUBSCRIBE_MESSAGE,
    sources::ITEMS,
    sources::ONLY,
    sources::SYMBOL,
    sources::PRICE,
    sources::TIME,
    sources::TIME_UNIT,
    sources::SIZE,
    sources::ID,
    feed::IDLE,
    feed::SILENCE_BY_SYMBOL,
    feed::MAX_JUMP,
    feed::MAX_AHEAD,
    feed::SESSIONS,
    feed::CALENDAR,
    candles::HOURS,
    guard::ENABLED,
    guard::NOTICE,
    guard::PATIENCE,
    upkeep::INTERVAL,
    upkeep::CLEAN,
    upkeep::MEMORY_WARN,
    upkeep::MEMORY_CRITICAL,
    upkeep::MEMORY_LIMIT,
    upkeep::CALM_INTERVAL,
    broker::KIND,
    broker::URL,
    broker::CLASS,
    broker::TIMEOUT,
    broker::SETTLE,
    broker::PER_SECOND,
    broker::PER_MINUTE,
    broker::PER_DAY,
    broker::EXIT_SHARE,
    broker::EXIT_PROTECTION,
    broker::EXIT_REST,
    broker::ACCOUNTS_DIR,
    alpaca::USER,
    alpaca::URL,
    alpaca::STREAM_URL,
    alpaca::DATA_URL,
    alpaca::KEY_ID,
    alpaca::SECRET_KEY,
    kite::USER,
    kite::API_KEY,
    kite::API_SECRET,
    kite::TOKEN_FILE,
    kite::INSTRUMENTS_FILE,
    kite::URL,
    kite::STREAM_URL,
    kite::EXCHANGE,
    kite::PRODUCT,
    kite::MARKET_PROTECTION,
    kite::MODE,
    binance::USER,
    binance::SYMBOLS,
    binance::URL,
    binance::STREAM_URL,
    binance::DATA_URL,
    binance::API_KEY,
    binance::API_SECRET,
    binance::RECV_WINDOW,
    risk::MAX_QUANTITY,
    risk::MAX_NOTIONAL,
    risk::MAX_OPEN,
    risk::MAX_ORDERS,
    risk::MAX_LOSS,
    risk::ON_LOSS,
    risk::COLLAR,
    risk::ACCOUNT_OPEN,
    risk::ACCOUNT_ORDERS,
    risk::ACCOUNT_LOSS,
    risk::ACCOUNT_ON_LOSS,
    risk::ZONE,
    row(
        "paper.latency_ms",
        "STRAT_PAPER_LATENCY_MS",
        "time until the paper broker answers, 0 to 60000 ms",
        |s, v| whole(v, 0, 60_000).map(|v| s.paper.latency = Duration::from_millis(v)),
        |s| s.paper.latency.as_millis().to_string(),
    ),
    row(
        "paper.partial_percent",
        "STRAT_PAPER_PARTIAL_PERCENT",
        "paper orders in a hundred that fill in parts",
        |s, v| whole(v, 0, 100).map(|v| s.paper.partial_percent = v as u8),
        |s| s.paper.partial_percent.to_string(),
    ),
    row(
        "paper.reject_percent",
        "STRAT_PAPER_REJECT_PERCENT",
        "paper orders in a hundred that are rejected",
        |s, v| whole(v, 0, 100).map(|v| s.paper.reject_percent = v as u8),
        |s| s.paper.reject_percent.to_string(),
    ),
    row(
        "paper.timeout_percent",
        "STRAT_PAPER_TIMEOUT_PERCENT",
        "paper requests in a hundred whose answer never comes",
        |s, v| whole(v, 0, 100).map(|v| s.paper.timeout_percent = v as u8),
        |s| s.paper.timeout_percent.to_string(),
    ),
    row(
        "paper.seed",
        "STRAT_PAPER_SEED",
        "seed of the paper broker's draws",
        |s, v| whole(v, 0, u64::MAX).map(|v| s.paper.seed = v),
        |s| s.paper.seed.to_string(),
    ),
    row(
        "paper.ledger",
        "STRAT_PAPER_LEDGER",
        "file in which the paper broker keeps its own books",
        |s, v| path(v).map(|v| s.paper_ledger = v).ok_or_else(|| "names no file".to_owned()),
        |s| s.paper_ledger.display().to_string(),
    ),
    row(
        "log.format",
        "STRAT_LOG_FORMAT",
        "log lines as `text` or `json`",
        |s, v| one_of(v, &[("text", LogFormat::Text), ("json", LogFormat::Json)]).map(|v| s.log_format = v),
        |s| if s.log_format == LogFormat::Text { "text" } else { "json" }.to_owned(),
    ),
    row(
        "log.filter",
        "STRAT_LOG_FILTER",
        "what is logged: error, warn, info, debug, trace, or as in RUST_LOG",
        |s, v| log_filter(v).map(|v| s.log_filter = v),
        |s| s.log_filter.clone(),
    ),
];

pub(super) fn url(value: &str, schemes: &[&str]) -> Result<String, String> {
    if schemes.iter().any(|scheme| value.starts_with(scheme)) {
        return Ok(value.to_owned());
    }
    Err(format!("must start with {}", schemes.join(" or ")))
}

/// `scheme://user:password@host?sentinel_password=password` without the passwords.
///
/// A password is often pasted as it is, with bytes that end the login by the book, or without a scheme before it. So
/// everything from the first colon to the last `@` counts as one.
fn without_password(url: &str) -> String {
    let plain = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
    let end = url.find("://").filter(|end| plain(&url[..*end]));
    let (scheme, rest) = end.map_or(("", url), |end| url.split_at(end + 3));
    let (login, place) = rest.rsplit_once('@').map_or(("", rest), |(login, place)| (login, place));
    let login = match login.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None if login.len() < rest.len() - place.len() => format!("{login}@"),
        None => String::new(),
    };
    let rest = format!("{login}{place}");
    let (place, query) = rest.split_once('?').unwrap_or((&rest, ""));
    let shown = |option: &str| match option.split_once('=') {
        Some((name, _)) if name.contains("pass") => format!("{name}=***"),
        _ => option.to_owned(),
    };
    let query: Vec<_> = query.split('&').map(shown).collect();
    let mark = if rest.contains('?') { "?" } else { "" };
    format!("{scheme}{place}{mark}{}", query.join("&"))
}

pub(super) fn whole(value: &str, min: u64, max: u64) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|number| (min..=max).contains(number) && value.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("is not a whole number from {min} to {max}"))
}

pub(super) fn one_of<T: Copy>(value: &str, known: &[(&str, T)]) -> Result<T, String> {
    let words = || known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
    known.iter().find(|(word, _)| *word == value).map(|(_, value)| *value).ok_or_else(|| format!("is not {}", words()))
}

fn name(value: &str) -> Result<String, String> {
    let plain = (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(value.to_owned()) } else { Err("is not 1 to 128 printable ASCII bytes without blanks".to_owned()) }
}

pub(super) fn path(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

pub(super) fn shown_path(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

fn log_filter(value: &str) -> Result<String, String> {
    value
        .parse::<tracing_subscriber::EnvFilter>()
        .map(|_| value.to_owned())
        .map_err(|cause| format!("is not a filter: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            ("redis://:secret@h:1/", "redis://:***@h:1/"),
            ("postgres://u:p@ss@h/db", "postgres://u:***@h/db"),
            ("postgres://u@h/db?host=/tmp/a@b", "postgres://u@h/db?host=/tmp/a@b"),
            ("postgres://h/db?user=u&password=p%40ss&x=1", "postgres://h/db?user=u&password=***&x=1"),
            ("redis+unix:///tmp/x.sock", "redis+unix:///tmp/x.sock"),
            ("redis+unix:///tmp/x.sock?user=u&pass=secret", "redis+unix:///tmp/x.sock?user=u&pass=***"),
            ("redis://u:se/cr?et@h:1/", "redis://u:***@h:1/"),
            ("u:secret@h:1", "u:***@h:1"),
            (
                "redis+sentinel://:p@g,h:1/main?sentinel_password=p",
                "redis+sentinel://:***@g,h:1/main?sentinel_password=***",
            ),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
