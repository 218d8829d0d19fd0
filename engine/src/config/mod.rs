//! Settings: defaults, then the TOML file, then the environment, then flags. Every one is a row of [`table::TABLE`].

mod accounts;
mod alpaca;
mod binance;
mod broker;
mod candles;
mod feed;
mod guard;
mod http;
mod kite;
mod redis;
mod risk;
mod schedule;
mod sources;
mod table;
mod upkeep;
mod values;

pub use alpaca::AlpacaConfig;
pub use binance::BinanceConfig;
pub use broker::{BrokerKind, BrokerSettings};
pub use candles::CandleSettings;
pub use http::HttpSettings;
pub use kite::KiteConfig;
pub use risk::RiskConfig;
pub use sources::SourceSettings;
pub use table::{Secret, Setting, TABLE};
pub use upkeep::UpkeepConfig;
pub use values::is_set;

use crate::broker::PaperSettings;
use crate::calendar::Calendars;
use crate::failure::{OrFail as _, failure};
use crate::guard::GuardSettings;
use crate::market::SessionRule;
use crate::replay::Speed;
use color_eyre::Result;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use strat_client::TlsFiles;
use strat_core::time::TimeOfDay;
use strat_core::{Price, decimal::DecimalError};

/// What happens to a time that passed while nobody was looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedPolicy {
    /// Done late, within the grace window; skipped with an event after it.
    Late,
    /// Skipped with an event.
    Skip,
}

/// What happens to a strategy that is in Redis but not in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownPolicy {
    /// It gets a row.
    Adopt,
    /// It is deleted from Redis, unless it holds a position.
    Remove,
}

/// Where prices come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    /// A seeded simulated market.
    Sim,
    /// A file of ticks.
    Csv,
    /// Lines over TCP.
    Lines,
    /// Trades from Alpaca.
    Alpaca,
    /// Prices from Zerodha's Kite.
    Kite,
    /// Trades from Binance.
    Binance,
    /// A Redis stream.
    Stream,
    /// JSON over a WebSocket.
    Websocket,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of the feed.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// Which one.
    pub kind: FeedKind,
    /// Seed of the simulated market: the same seed gives the same walk.
    pub seed: u64,
    /// Symbols of the simulated market and their first prices.
    pub symbols: Vec<(String, Price)>,
    /// Time between two ticks of a symbol in the simulated market.
    pub tick_ms: u64,
    /// Largest step of the simulated market, in basis points of the price.
    pub step_bps: u32,
    /// Symbols whose trades are subscribed to at a broker's market data.
    pub subscribe: Vec<String>,
    /// The file of ticks.
    pub file: Option<PathBuf>,
    /// Host and port of the lines.
    pub address: String,
    /// A connection to the lines that says nothing for so long is made anew; zero for never.
    pub idle: Duration,
    /// How long no tick may come before the engine says that it is not healthy, of a symbol with open positions before
    /// it raises an alarm; zero for as long as it likes.
    pub silence: Duration,
    /// The same for single symbols.
    pub silence_by_symbol: BTreeMap<String, Duration>,
    /// A tick further than this from the last one waits to be confirmed; 0 for never.
    pub max_jump_percent: u32,
    /// How far ahead of this machine's clock the stamp of a live feed may be.
    pub max_ahead: Duration,
    /// Which trades of a day count.
    pub sessions: SessionRule,
    /// Whose sessions those are; empty for those of the calendars of whoever holds a symbol.
    pub calendar: String,
    /// How fast the file is played.
    pub speed: Speed,
}

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Redis with the module.
    pub redis_url: String,
    /// What an encrypted connection to it trusts and shows.
    pub redis_tls: TlsFiles,
    /// Postgres.
    pub database_url: String,
    /// HTTP.
    pub http: HttpSettings,
    /// Consumer name in the streams; must differ between engines that run at the same time.
    pub engine_name: String,
    /// Orders handled at the same time.
    pub concurrency: usize,
    /// How long an order lock lives unless it is extended.
    pub lock_ttl: Duration,
    /// What happens to missed times.
    pub missed: MissedPolicy,
    /// How late a missed time may still be done.
    pub missed_grace: Duration,
    /// Folder of session calendars.
    pub calendars_dir: Option<PathBuf>,
    /// When intraday positions are squared off, by calendar.
    pub square_offs: Vec<(String, TimeOfDay)>,
    /// Time between two reconciliations.
    pub reconcile_interval: Duration,
    /// What happens to strategies that only Redis knows.
    pub reconcile_unknown: UnknownPolicy,
    /// Prices.
    pub feed: FeedSettings,
    /// Candles of the feed.
    pub candles: CandleSettings,
    /// Stops while Redis is away.
    pub guard: GuardSettings,
    /// Redis kept in order.
    pub upkeep: UpkeepConfig,
    /// The broker.
    pub broker: BrokerSettings,
    /// The account at Alpaca.
    pub alpaca: AlpacaConfig,
    /// The account at Kite.
    pub kite: KiteConfig,
    /// The account at Binance.
    pub binance: BinanceConfig,
    /// Feeds that anybody can write to.
    pub source: SourceSettings,
    /// Limits of entries.
    pub risk: RiskConfig,
    /// The paper broker.
    pub paper: PaperSettings,
    /// Where the paper broker keeps its own books, one JSON per line.
    pub paper_ledger: PathBuf,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Filter of log lines, as `RUST_LOG`.
    pub log_filter: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            redis_url: "redis://127.0.0.1:6379/".to_owned(),
            redis_tls: TlsFiles::default(),
            database_url: "postgres://strat@localhost/strat".to_owned(),
            http: HttpSettings::default(),
            engine_name: default_engine_name(),
            concurrency: 64,
            lock_ttl: Duration::from_millis(3_000),
            missed: MissedPolicy::Late,
            missed_grace: Duration::from_secs(300),
            calendars_dir: None,
            square_offs: Vec::new(),
            reconcile_interval: Duration::from_secs(30),
            reconcile_unknown: UnknownPolicy::Adopt,
            feed: FeedSettings {
                kind: FeedKind::Sim,
                seed: 42,
                symbols: parse_symbols("RELIANCE=2500,INFY=1500,TCS=3500,HDFCBANK=1650,SBIN=820").unwrap_or_default(),
                tick_ms: 250,
                step_bps: 8,
                subscribe: Vec::new(),
                file: None,
                address: String::new(),
                idle: Duration::from_secs(30),
                silence: Duration::from_secs(60),
                silence_by_symbol: BTreeMap::new(),
                max_jump_percent: 0,
                max_ahead: Duration::from_secs(10),
                sessions: SessionRule::Regular,
                calendar: String::new(),
                speed: Speed::Times(1),
            },
            candles: CandleSettings::default(),
            guard: guard::DEFAULT,
            upkeep: UpkeepConfig::default(),
            broker: BrokerSettings::default(),
            alpaca: AlpacaConfig::default(),
            kite: KiteConfig::default(),
            binance: BinanceConfig::default(),
            source: SourceSettings::default(),
            risk: RiskConfig::default(),
            paper: PaperSettings {
                latency: Duration::from_millis(20),
                partial_percent: 0,
                reject_percent: 0,
                timeout_percent: 0,
                seed: 7,
            },
            paper_ledger: PathBuf::from("paper-ledger.jsonl"),
            log_format: LogFormat::Text,
            log_filter: "info,sqlx=warn".to_owned(),
        }
    }
}

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// Name and value pairs from flags.
    pub values: Vec<(String, String)>,
}

/// Where each setting that is not a default came from, by name.
pub type Sources = BTreeMap<&'static str, String>;

impl Settings {
    /// Reads file, environment and flags, later ones win.
    ///
    /// # Errors
    /// The first bad value or unknown key, with the setting's name, the cause and the next step.
    pub fn load(overrides: &Overrides, env: impl Fn(&str) -> Option<String>) -> Result<(Self, Sources)> {
        let mut settings = Self::default();
        let mut sources = Sources::new();
        if let Some(path) = &overrides.file {
            for (name, value) in read_file(path)? {
                settings.apply(&name, &value, &path.display().to_string(), &mut sources)?;
            }
        }
        for setting in TABLE {
            if let Some(value) = env(setting.env) {
                settings.apply(setting.name, &value, setting.env, &mut sources)?;
            }
        }
        for (name, value) in &overrides.values {
            settings.apply(name, value, "the command line", &mut sources)?;
        }
        Ok((settings, sources))
    }

    fn apply(&mut self, name: &str, value: &str, source: &str, sources: &mut Sources) -> Result<()> {
        let setting = TABLE.iter().find(|setting| setting.name == name).ok_or_else(|| unknown(name, source))?;
        (setting.set)(self, value).map_err(|cause| {
            failure(
                format!("setting {name} from {source}: {} {cause}", setting.shown(value)),
                format!("{} (default: {})", setting.about, (setting.get)(&Self::default())),
            )
        })?;
        sources.insert(setting.name, source.to_owned());
        Ok(())
    }
}

impl Settings {
    /// The session calendars, with their square-offs.
    ///
    /// # Errors
    /// Where a file cannot be read or is not right, or a square-off does not fit its calendar.
    pub fn calendars(&self) -> Result<Calendars> {
        let calendars = Calendars::load(self.calendars_dir.as_deref()).or_fail(
            "the session calendars cannot be read",
            "check schedule.calendars_dir (STRAT_SCHEDULE_CALENDARS_DIR)",
        )?;
        calendars
            .with_square_offs(&self.square_offs)
            .or_fail("a square-off cannot be", "check schedule.square_off (STRAT_SCHEDULE_SQUARE_OFF)")
    }
}

fn unknown(name: &str, source: &str) -> color_eyre::Report {
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    let near: Vec<_> = TABLE.iter().map(|s| s.name).filter(|known| last(known) == last(name)).collect();
    let hint = match near.first() {
        Some(known) => format!("did you mean {known}? `strat-engine settings` lists them all"),
        None => "`strat-engine settings` lists all settings".to_owned(),
    };
    failure(format!("setting {name} from {source} is not known"), hint)
}

/// Flattens the TOML file into dotted names and texts.
fn read_file(path: &Path) -> Result<Vec<(String, String)>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .or_fail(format!("cannot read the settings file {shown}"), "check the path given with --config")?;
    let table: toml::Table = text.parse::<toml::Table>().or_fail(
        format!("the settings file {shown} is not TOML"),
        "see https://toml.io; `strat-engine settings` lists names and defaults",
    )?;
    let mut pairs = Vec::new();
    flatten("", toml::Value::Table(table), &mut pairs)?;
    Ok(pairs)
}

fn flatten(prefix: &str, value: toml::Value, into: &mut Vec<(String, String)>) -> Result<()> {
    let text = match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&name, value, into)?;
            }
            return Ok(());
        }
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            let list = "lists hold texts, as in symbols = [\"INFY=1500\"]";
            texts
                .ok_or_else(|| failure(format!("setting {prefix} is a list of something else than texts"), list))?
                .join(",")
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) => {
            return Err(failure(
                format!("setting {prefix} is neither a text nor a whole number"),
                "put it between quotes",
            ));
        }
    };
    into.push((prefix.to_owned(), text));
    Ok(())
}

/// `NAME=PRICE,…`.
pub(crate) fn parse_symbols(text: &str) -> Result<Vec<(String, Price)>, String> {
    let mut symbols = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (symbol, price) =
            part.split_once('=').ok_or_else(|| format!("has '{part}' where SYMBOL=PRICE is expected"))?;
        strat_core::key::check_symbol(symbol).map_err(|refusal| refusal.detail)?;
        let price = Price::parse(price.as_bytes())
            .and_then(|p| if p > Price::ZERO { Ok(p) } else { Err(DecimalError::NotPositive) });
        symbols.push((symbol.to_owned(), price.map_err(|why| format!("has '{part}', whose price {why}"))?));
    }
    Ok(symbols)
}

/// Host and process id: differs between engines that run at the same time.
fn default_engine_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String =
        host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).take(64).collect();
    format!("{}:{}", if host.is_empty() { "engine" } else { &host }, std::process::id())
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
