//! Trades of US stocks from Alpaca's market data stream (v2: `iex`, `sip`, `delayed_sip`, `test`).
//!
//! Only trades make ticks: quotes are not subscribed to, and corrections or cancellations of trades take no tick back.
//! A trade whose conditions say that it does not make the last price makes no tick either: see [`message::OUT_OF_LINE`].
//! Between a lost connection and the next there are no trades; the next one is what the market says then.

mod message;

use super::rejected::Rejected;
use super::{Feed, FeedError, Tick};
use crate::broker::{AlpacaError, alpaca_credentials as credentials};
use crate::failure::one_line;
use crate::net::{AddressError, Pauses, Socket, SocketBounds, SocketError, check_socket};
use async_trait::async_trait;
use message::{Said, read};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// First and longest pause between two attempts to connect, before chance adds to it. A connection that is refused
/// because another one is open stays refused until that one is gone.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Largest message: some thousand trades at once.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages before the one that is waited for while a session begins.
const GREETINGS_MAX: usize = 16;

/// Where the trades come from, and which.
#[derive(Debug, Clone)]
pub struct AlpacaFeedSettings {
    /// `wss://stream.data.alpaca.markets/v2/iex`, or another feed of it.
    pub url: String,
    /// API key id.
    pub key_id: SecretString,
    /// API secret key.
    pub secret_key: SecretString,
    /// Symbols whose trades are wanted; without any there is nothing to say.
    pub symbols: Vec<String>,
    /// Longest wait for the connection and for each answer while it begins.
    pub timeout: Duration,
    /// Silence, unanswered pings included, after which the connection is made anew.
    pub silence: Duration,
}

/// Why a feed cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlpacaFeedError {
    /// An address that may not be used.
    #[error("the address {0} {1}")]
    Address(String, AddressError),
    /// Credentials that no header can carry.
    #[error(transparent)]
    Credentials(#[from] AlpacaError),
    /// No symbols.
    #[error("no symbols are named")]
    NoSymbols,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("Alpaca says: {words} ({code}){}", hint(*code))]
    Refused { code: u64, words: String },
    #[error("it does not begin as it should: {0}")]
    Astray(String),
}

/// What to do about a refusal.
fn hint(code: u64) -> &'static str {
    match code {
        402 => "; check key id and secret key",
        405 => "; subscribe to fewer symbols, or take a larger plan",
        406 => "; an account has one connection: stop whatever else listens",
        409 => "; the plan does not include this feed: choose another in the address",
        _ => "",
    }
}

/// The feed.
pub struct AlpacaFeed {
    settings: AlpacaFeedSettings,
    url: String,
    bounds: SocketBounds,
    symbols: HashMap<String, Arc<str>>,
    socket: Option<Socket>,
    ready: VecDeque<Tick>,
    pauses: Pauses,
    bad: Rejected,
}

impl AlpacaFeed {
    /// A feed that connects when its first tick is asked for.
    ///
    /// # Errors
    /// [`AlpacaFeedError`] for settings that cannot be used.
    pub fn new(settings: AlpacaFeedSettings) -> Result<Self, AlpacaFeedError> {
        let url = check_socket(&settings.url).map_err(|why| AlpacaFeedError::Address(settings.url.clone(), why))?;
        credentials(&settings.key_id, &settings.secret_key)?;
        if settings.symbols.is_empty() {
            return Err(AlpacaFeedError::NoSymbols);
        }
        let symbols = settings.symbols.iter().map(|symbol| (symbol.clone(), Arc::from(symbol.as_str()))).collect();
        let AlpacaFeedSettings { timeout, silence, .. } = settings;
        let bounds = SocketBounds { connect: timeout, silence, ping: silence / 3, message_bytes: MESSAGE_BYTES_MAX };
        let pauses = Pauses::new(PAUSES.0, PAUSES.1);
        Ok(Self {
            settings,
            url,
            bounds,
            symbols,
            socket: None,
            ready: VecDeque::new(),
            pauses,
            bad: Rejected::default(),
        })
    }

    /// Connects, says who asks, and subscribes.
    async fn open(&self) -> Result<Socket, Ended> {
        let mut socket = Socket::connect(&self.url, Vec::new(), self.bounds).await?;
        self.expect(&mut socket, |said| matches!(said, Said::Success(word) if word == "connected")).await?;
        let who = serde_json::json!({"action": "auth", "key": self.settings.key_id.expose_secret(),
            "secret": self.settings.secret_key.expose_secret()});
        socket.send(who.to_string()).await?;
        self.expect(&mut socket, |said| matches!(said, Said::Success(word) if word == "authenticated")).await?;
        let trades = serde_json::json!({"action": "subscribe", "trades": self.settings.symbols});
        socket.send(trades.to_string()).await?;
        let wanted: BTreeSet<_> = self.settings.symbols.iter().cloned().collect();
        let all = |said: &Said| matches!(said, Said::Subscribed(trades) if wanted.is_subset(trades));
        self.expect(&mut socket, all).await?;
        Ok(socket)
    }

    /// Waits for a message; whatever else is said before it is passed over, but for errors.
    async fn expect(&self, socket: &mut Socket, wanted: impl Fn(&Said) -> bool) -> Result<(), Ended> {
        let wait = self.bounds.connect;
        for _ in 0..GREETINGS_MAX {
            let frame = timeout(wait, socket.next()).await.map_err(|_| SocketError::Slow(wait))??;
            for said in read(frame.bytes()).map_err(Ended::Astray)? {
                match said.map_err(Ended::Astray)? {
                    Said::Error { code, words } => return Err(Ended::Refused { code, words }),
                    said if wanted(&said) => return Ok(()),
                    _ => {}
                }
            }
        }
        Err(Ended::Astray("the answer that is waited for does not come".to_owned()))
    }

    /// Waits for more ticks. Cancel safe but for a connection that is being made.
    async fn fill(&mut self) -> Result<(), Ended> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => {
                let socket = self.open().await?;
                tracing::info!(url = self.url, symbols = self.symbols.len(), "listening to trades from Alpaca");
                self.pauses.reset();
                self.socket.insert(socket)
            }
        };
        let frame = socket.next().await?;
        self.take(frame.bytes())
    }

    fn take(&mut self, message: &[u8]) -> Result<(), Ended> {
        let parts = match read(message) {
            Ok(parts) => parts,
            Err(why) => {
                self.complain(&why);
                return Ok(());
            }
        };
        for part in parts {
            match part {
                Ok(Said::Trade(trade)) => match self.symbols.get(&trade.symbol) {
                    Some(symbol) => self.ready.push_back(trade.tick(Arc::clone(symbol))),
                    None => self.complain("a trade of a symbol that was not asked for"),
                },
                Ok(Said::Error { code, words }) => return Err(Ended::Refused { code, words }),
                Ok(_) => {}
                Err(why) => self.complain(&why),
            }
        }
        Ok(())
    }

    fn complain(&mut self, why: &str) {
        if let Some(total) = self.bad.another() {
            tracing::error!(why = one_line(why), total, "a message of Alpaca's trades cannot be read");
        }
    }
}

#[async_trait]
impl Feed for AlpacaFeed {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        loop {
            if let Some(tick) = self.ready.pop_front() {
                return Some(Ok(tick));
            }
            if let Err(ended) = self.fill().await {
                self.socket = None;
                let pause = self.pauses.pause();
                tracing::warn!(error = %ended, again_in_ms = pause.as_millis(), "no trades from Alpaca");
                sleep(pause).await;
            }
        }
    }
}
