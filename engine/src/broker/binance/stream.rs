//! Execution reports: the account's events over the WebSocket API.
//!
//! The events come by `userDataStream.subscribe.signature`: listen keys were switched off in February 2026, and the
//! other subscription wants a session that is logged on with an Ed25519 key. Whatever may have been missed while there
//! was no session is made good by the list of orders.

use super::codes::Meaning;
use super::events::{self, Denied, Message};
use super::gate::{BAN_DEFAULT, Purpose};
use super::{BinanceBroker, sign};
use crate::broker::{Broker as _, BrokerError};
use crate::metrics;
use crate::net::{Pauses, Socket, SocketBounds, SocketError};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// First and longest pause between two sessions.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Pause after too many connections: they are counted in five minutes.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A session that has lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// A connection, with its handshakes, and the answer to the subscription may each take at least so long.
const CONNECT_MIN: Duration = Duration::from_secs(5);
/// Pause before a list that could not be had is asked for again.
const CATCH_UP_PAUSE: Duration = Duration::from_secs(2);
/// Largest message; a report has about a thousand bytes.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Number of the request that subscribes.
const SUBSCRIBE: u64 = 1;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("the subscription was refused: {0}")]
    Denied(String),
    #[error("no answer to the subscription within {} ms", .0.as_millis())]
    Mute(Duration),
    #[error("it says {0}")]
    Told(String),
    #[error("a message cannot be read: {0}")]
    Garbled(String),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Before Binance does it.
    #[error("it is renewed before it is a day old")]
    Renewed,
}

impl BinanceBroker {
    /// Passes reports on until `cancel`, through however many sessions.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
        while !cancel.is_cancelled() {
            let began = Instant::now();
            let ended = tokio::select! {
                () = cancel.cancelled() => return,
                ended = self.session() => ended,
            };
            if began.elapsed() >= GOOD {
                pauses.reset();
            }
            let pause = self.pause_after(&ended, &mut pauses);
            if !matches!(ended, Ended::Renewed) {
                metrics::stream_lost();
            }
            tracing::warn!(%ended, again_in_ms = pause.as_millis() as u64, "no session for Binance's reports");
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    fn pause_after(&self, ended: &Ended, pauses: &mut Pauses) -> Duration {
        match ended {
            Ended::Renewed => Duration::ZERO,
            Ended::Broker(BrokerError::RateLimited { retry_after }) => *retry_after,
            // Of the address, whatever the way.
            Ended::Socket(SocketError::Refused { status: 418 }) => {
                self.rest.gate.shut(BAN_DEFAULT, true, Instant::now())
            }
            // Too many connections, which concerns no order.
            Ended::Socket(SocketError::Refused { status: 429 }) => REFUSED_PAUSE,
            _ => pauses.pause(),
        }
    }

    /// One session, from the connection to its end.
    async fn session(&self) -> Ended {
        let ended = async {
            let mut socket = self.subscribe().await?;
            tracing::info!("listening to Binance's reports");
            // Before, so that the first order does not wait for it.
            if let Err(error) = self.rules.read(&self.rest, &self.settings.symbols).await {
                tracing::warn!(%error, "Binance's filters are not known yet");
            }
            self.listen(&mut socket).await
        };
        ended.await.unwrap_or_else(|ended| ended)
    }

    async fn subscribe(&self) -> Result<Socket, Ended> {
        let now_ms = self.rest.server_now_ms(Purpose::Vital).await.map_err(BrokerError::from)?;
        // A ban is one of the address, whatever the way.
        self.rest
            .gate
            .pass(Purpose::Vital, Instant::now())
            .map_err(|shut| BrokerError::RateLimited { retry_after: shut.wait() })?;
        let bounds = SocketBounds {
            connect: self.connect_max(),
            silence: self.settings.silence,
            ping: self.settings.silence / 2,
            message_bytes: MESSAGE_BYTES_MAX,
        };
        let mut socket = Socket::connect(&self.settings.stream_url, Vec::new(), bounds).await?;
        socket.send(sign::subscription(&self.rest.keys, SUBSCRIBE, self.rest.recv_window_ms(), now_ms)).await?;
        let answer = timeout(self.connect_max(), self.answer(&mut socket)).await;
        answer.map_err(|_| Ended::Mute(self.connect_max()))??;
        Ok(socket)
    }

    /// Nobody waits for a session as for an order's answer.
    fn connect_max(&self) -> Duration {
        self.settings.timeout.max(CONNECT_MIN)
    }

    async fn answer(&self, socket: &mut Socket) -> Result<(), Ended> {
        loop {
            match self.read(socket).await? {
                Message::Answer { id: SUBSCRIBE, outcome: Ok(()) } => return Ok(()),
                Message::Answer { id: SUBSCRIBE, outcome: Err(denied) } => return Err(self.denied(&denied)),
                Message::Ending(why) => return Err(Ended::Told(why)),
                // Events may come before the answer; the list of orders that follows has what they say.
                Message::Execution(_) | Message::Answer { .. } | Message::Other => {}
            }
        }
    }

    fn denied(&self, denied: &Denied) -> Ended {
        let coded = &denied.coded;
        if denied.status == 418 || denied.status == 429 || coded.meaning() == Meaning::TooOften {
            let now_ms = self.rest.clock.now_ms().unwrap_or_else(|| self.rest.clock.local_ms());
            let wait_ms = denied.retry_after_ms.map_or(0, |until_ms| until_ms.saturating_sub(now_ms));
            let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).max(PAUSES.1);
            let retry_after = self.rest.gate.shut(wait, denied.status == 418, Instant::now());
            return BrokerError::RateLimited { retry_after }.into();
        }
        if coded.meaning() == Meaning::Clock {
            self.rest.clock.doubt();
        }
        Ended::Denied(format!("HTTP {} {}", denied.status, coded.words()))
    }

    /// Reads until the session ends; meanwhile, makes good what was missed.
    async fn listen(&self, socket: &mut Socket) -> Result<Ended, Ended> {
        let renew_at = Instant::now() + self.settings.renew;
        let mut catch_up = Box::pin(self.catch_up());
        let mut missed = true;
        let mut told = HashSet::new();
        loop {
            tokio::select! {
                message = self.read(socket) => match message {
                    // The list of orders says what it said.
                    Err(Ended::Garbled(why)) => {
                        tracing::warn!(why, "a report of Binance's cannot be read");
                        if !missed {
                            catch_up.set(self.catch_up());
                            missed = true;
                        }
                    }
                    message => match message? {
                    Message::Execution(execution) => {
                        self.warn_of_commission(&execution, &mut told);
                        self.reports.push(execution.order.state);
                    }
                    Message::Ending(why) => return Err(Ended::Told(why)),
                    Message::Answer { .. } | Message::Other => {}
                    }
                },
                () = &mut catch_up, if missed => missed = false,
                () = sleep_until(renew_at) => return Ok(Ended::Renewed),
            }
        }
    }

    async fn read(&self, socket: &mut Socket) -> Result<Message, Ended> {
        let frame = socket.next().await?;
        events::message(frame.bytes(), &self.settings.user).map_err(Ended::Garbled)
    }

    /// What was missed, from the list of orders, until it can be had.
    async fn catch_up(&self) {
        loop {
            let wait = match self.orders().await {
                Ok(orders) => {
                    tracing::info!(
                        orders = orders.len(),
                        "took the state of Binance's orders instead of missed reports"
                    );
                    orders.into_iter().for_each(|order| self.reports.push(order.state));
                    return;
                }
                Err(BrokerError::RateLimited { retry_after }) => retry_after.max(CATCH_UP_PAUSE),
                Err(error) => {
                    tracing::warn!(%error, "cannot list Binance's orders yet");
                    CATCH_UP_PAUSE
                }
            };
            sleep(wait).await;
        }
    }

    /// A commission that is taken out of what was bought leaves less than the strategy will want to sell.
    fn warn_of_commission(&self, execution: &events::Execution, told: &mut HashSet<String>) {
        let symbol = &execution.order.symbol;
        let Some(asset) = execution.commission_asset.as_deref() else { return };
        let bought = execution.order.side == crate::broker::OrderSide::Buy;
        if bought && self.rules.base_asset(symbol).is_some_and(|base| base == asset) && told.insert(symbol.clone()) {
            tracing::error!(
                symbol,
                asset,
                "BINANCE TAKES ITS COMMISSION OUT OF WHAT IS BOUGHT: the account holds less than the strategy will sell, and the exit may be refused; pay commissions in BNB"
            );
        }
    }
}
