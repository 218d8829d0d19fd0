//! The stream `trade_updates`: every change of an order, with the whole order. Whatever may have been missed is made
//! good by the list of orders, after every connection.
//!
//! Frames are binary on paper accounts and text on live ones; both hold JSON.

use super::AlpacaBroker;
use super::execution::Order;
use crate::broker::Broker as _;
use crate::broker::wire::read::{json, printable};
use crate::failure::one_line;
use crate::metrics;
use crate::net::{Pauses, Socket, SocketError};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// First and longest pause between two attempts to connect, before chance adds to it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Least time between two lists of all orders.
const CATCH_UP_PAUSE: Duration = Duration::from_secs(1);
/// Messages before the one that is waited for while a session begins.
const GREETINGS_MAX: usize = 16;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("Alpaca does not take the key: check key id and secret key, and that they are of this environment")]
    NotAuthorized,
    #[error("it does not begin as it should: {0}")]
    Astray(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Authorization<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Listening<'a> {
    #[serde(borrow)]
    streams: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Update<'a> {
    #[serde(borrow)]
    order: Order<'a>,
}

impl AlpacaBroker {
    /// Passes updates on until `cancel`.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
        loop {
            let ended = tokio::select! {
                () = cancel.cancelled() => return,
                Err(ended) = self.session(&mut pauses) => ended,
            };
            let pause = pauses.pause();
            metrics::stream_lost();
            tracing::warn!(error = %ended, again_in_ms = pause.as_millis(), "no updates of orders from Alpaca");
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// One connection; it never ends well.
    async fn session(&self, pauses: &mut Pauses) -> Result<std::convert::Infallible, Ended> {
        let mut socket = self.open().await?;
        tracing::info!("listening to updates of orders from Alpaca");
        pauses.reset();
        // What changed before this connection is not in what follows.
        let mut missed = Some(Instant::now());
        loop {
            tokio::select! {
                frame = socket.next() => {
                    if !self.heard(frame?.bytes()) {
                        missed = missed.or(Some(Instant::now() + CATCH_UP_PAUSE));
                    }
                }
                () = sleep_until(missed.unwrap_or_else(Instant::now)), if missed.is_some() => {
                    missed = (!self.catch_up().await).then(|| Instant::now() + CATCH_UP_PAUSE);
                }
            }
        }
    }

    /// Connects, says who asks, and listens.
    async fn open(&self) -> Result<Socket, Ended> {
        let mut socket = Socket::connect(&self.checked.stream, Vec::new(), self.checked.bounds).await?;
        let who = serde_json::json!({"action": "authenticate", "data": {
            "key_id": self.settings.key_id.expose_secret(), "secret_key": self.settings.secret_key.expose_secret()}});
        socket.send(who.to_string()).await?;
        let answer = self.answer(&mut socket, "authorization").await?;
        if json::<Authorization<'_>>(answer.as_bytes()).map_err(Ended::Astray)?.status != "authorized" {
            return Err(Ended::NotAuthorized);
        }
        let listen = serde_json::json!({"action": "listen", "data": {"streams": ["trade_updates"]}});
        socket.send(listen.to_string()).await?;
        let answer = self.answer(&mut socket, "listening").await?;
        let listening: Listening<'_> = json(answer.as_bytes()).map_err(Ended::Astray)?;
        if listening.streams.iter().all(|stream| stream != "trade_updates") {
            return Err(Ended::Astray("trade_updates is not among what is listened to".to_owned()));
        }
        Ok(socket)
    }

    /// The data of the next message of this stream; nothing of account matters is said before it.
    async fn answer(&self, socket: &mut Socket, stream: &str) -> Result<String, Ended> {
        let wait = self.checked.bounds.connect;
        for _ in 0..GREETINGS_MAX {
            let frame = timeout(wait, socket.next()).await.map_err(|_| SocketError::Slow(wait))??;
            let envelope: Envelope<'_> = json(frame.bytes()).map_err(Ended::Astray)?;
            if envelope.stream == stream {
                return Ok(envelope.data.get().to_owned());
            }
        }
        Err(Ended::Astray(format!("no answer of '{stream}' came")))
    }

    /// Whether a message could be read. One that could not may have been about an order.
    fn heard(&self, message: &[u8]) -> bool {
        match read(message, &self.settings.user) {
            Ok(Some(state)) => self.reports.push(state),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = one_line(&error), "an update of an order cannot be read");
                return false;
            }
        }
        true
    }

    /// Whether the list of orders came.
    async fn catch_up(&self) -> bool {
        match self.orders().await {
            Ok(orders) => {
                tracing::info!(orders = orders.len(), "took the state of Alpaca's orders instead of missed updates");
                orders.into_iter().for_each(|order| self.reports.push(order.state));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot list Alpaca's orders yet");
                false
            }
        }
    }
}

/// The order that a message is about, if it is about one that may be ours.
pub(super) fn read(message: &[u8], user: &str) -> Result<Option<crate::broker::OrderState>, String> {
    let envelope: Envelope<'_> = json(message)?;
    if envelope.stream != "trade_updates" {
        tracing::debug!(stream = printable(&envelope.stream), "a message of another stream");
        return Ok(None);
    }
    let update: Update<'_> = json(envelope.data.get().as_bytes())?;
    Ok(update.order.read(user)?.map(|order| order.state))
}
