//! The ticker's connection, and what keeps a broker up to date: order updates, the order book behind them, the login, the
//! list of instruments.
//!
//! Updates come as text messages (<https://kite.trade/docs/connect/v3/postbacks/>), unasked for and unnumbered, sometimes twice
//! or out of turn. Quantities in them are cumulative, so what is old changes nothing. What may have been missed comes from the
//! order book: after every connection, soon after every order, and every few seconds as long as one of ours is open.

use super::config::KiteSettings;
use super::matching::{Wanted, choose};
use super::order::{Listed, is_tag};
use super::session::{LOOKED_AT_EVERY, Session, Standing};
use super::time::{LISTED_AT, next};
use super::wire::{self, News};
use super::{KiteBroker, instruments_of_the_day, lock};
use crate::broker::wire::http::form;
use crate::feed::kite::MESSAGE_BYTES_MAX;
use crate::metrics;
use crate::net::{Frame, Pauses, Socket, SocketBounds, SocketError};
use jiff::civil::Time;
use secrecy::ExposeSecret as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// First and longest pause between two attempts at anything here.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// From an order's acknowledgement to the first look at it: market orders are done by then.
const SETTLE: Duration = Duration::from_millis(200);
/// Between two looks at the order book while an order of ours is open.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// When the login is tried at Kite itself: before the exchanges open.
const TRIED_AT: Time = Time::constant(9, 0, 0, 0);
/// Between two attempts to get the list of instruments.
const LIST_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How the ticker is reached.
pub(crate) struct Ticker {
    url: String,
    api_key: String,
    session: Arc<Session>,
    bounds: SocketBounds,
}

impl Ticker {
    /// `url` was checked.
    pub(super) fn new(settings: &KiteSettings, url: &str, session: Arc<Session>) -> Self {
        let bounds = SocketBounds {
            connect: settings.timeout,
            silence: settings.silence,
            // Kite sends a heartbeat about every second; this asks for another.
            ping: settings.silence / 2,
            message_bytes: MESSAGE_BYTES_MAX,
        };
        Self { url: url.to_owned(), api_key: settings.api_key.clone(), session, bounds }
    }

    /// A connection with the token of the day; why there is none, without the token.
    pub(crate) async fn connect(&self) -> Result<Socket, String> {
        let token = self.session.token().map_err(|why| why.to_string())?;
        let query = form(&[("api_key", &self.api_key), ("access_token", token.expose_secret())]);
        match Socket::connect(&format!("{}/?{query}", self.url), Vec::new(), self.bounds).await {
            Ok(socket) => Ok(socket),
            // Which of the two, a request over HTTP tells.
            Err(SocketError::Refused { status: 403 }) => {
                Err("Kite refuses it: the access token has ended, or the app has three connections".to_owned())
            }
            Err(error) => Err(error.to_string().replace(token.expose_secret(), "***")),
        }
    }
}

impl KiteBroker {
    /// Keeps everything up to date until `cancel`.
    pub async fn run(&self, cancel: CancellationToken) {
        let work = async { tokio::join!(self.listen(), self.keep_up(), self.watch_login(), self.keep_instruments()) };
        tokio::select! {
            () = cancel.cancelled() => {}
            _ = work => {}
        }
    }

    /// Order updates, over one connection after the other.
    async fn listen(&self) {
        let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
        loop {
            self.session.logged_in().await;
            let error = match self.ticker.connect().await {
                Err(why) => why,
                Ok(socket) => {
                    tracing::info!("connected to Kite's order updates");
                    // What happened meanwhile was told to nobody.
                    self.look.notify_one();
                    self.hear(socket, &mut pauses).await.to_string()
                }
            };
            let pause = pauses.pause();
            metrics::stream_lost();
            tracing::warn!(error, again_in_ms = pause.as_millis(), "no order updates from Kite");
            self.look.notify_one();
            sleep(pause).await;
        }
    }

    async fn hear(&self, mut socket: Socket, pauses: &mut Pauses) -> SocketError {
        loop {
            let heard = socket.next().await;
            if heard.is_ok() {
                // Not before: a connection that is closed at once is not to be made anew at once.
                pauses.reset();
            }
            match heard {
                Err(error) => return error,
                // Heartbeats: nothing is subscribed to here.
                Ok(Frame::Binary(_)) => {}
                Ok(Frame::Text(text)) => match wire::news(text.as_bytes()) {
                    News::Order(update) => self.updated(*update),
                    News::Error(why) => tracing::warn!(why, "Kite's ticker complains"),
                    News::Other => {}
                },
            }
        }
    }

    fn updated(&self, update: Result<Listed, String>) {
        match update {
            Ok(order) if !is_tag(&order.tag) => {}
            Ok(order) if !order.lacks_price() && self.is_what_was_sent(&order) => self.reports.push(order.state()),
            // The order book has what is missing here, and all orders of the tag.
            Ok(_) => self.look.notify_one(),
            Err(why) => {
                tracing::warn!(why, "an order update cannot be read");
                self.look.notify_one();
            }
        }
    }

    /// Reads the order book when it should be.
    async fn keep_up(&self) {
        let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
        let mut open = true;
        loop {
            let wait = if open { LOOK_EVERY } else { Duration::MAX };
            if timeout(wait, self.look.notified()).await.is_ok() {
                sleep(SETTLE).await;
            }
            loop {
                self.session.logged_in().await;
                match self.catch_up().await {
                    Ok(still_open) => {
                        open = still_open;
                        pauses.reset();
                        break;
                    }
                    Err(error) => {
                        let pause = pauses.pause();
                        tracing::warn!(%error, again_in_ms = pause.as_millis(), "cannot read Kite's order book");
                        sleep(pause).await;
                    }
                }
            }
        }
    }

    /// Tells how our orders stand; answers whether one is open.
    async fn catch_up(&self) -> Result<bool, crate::broker::BrokerError> {
        self.room_for_upkeep().await;
        let book = self.order_book().await?;
        let mut by_tag: HashMap<&str, Vec<&Listed>> = HashMap::new();
        for order in book.iter().filter(|order| is_tag(&order.tag)) {
            by_tag.entry(&order.tag).or_default().push(order);
        }
        let mut open = false;
        for (tag, orders) in by_tag {
            open |= orders.iter().any(|order| !order.status.is_terminal() || order.lacks_price());
            let Listed { exchange, tradingsymbol, .. } = orders[0];
            match choose(&orders, Wanted { tag, exchange, tradingsymbol, sent: self.sent(tag) }) {
                Ok(Some(order)) if !order.lacks_price() => self.reports.push(order.state()),
                Ok(_) => {}
                Err(why) => tracing::error!(why, "AN ORDER THAT A PERSON HAS TO LOOK AT"),
            }
        }
        Ok(open)
    }

    /// Says what is wrong with the login, once each; tries it at Kite at the start and before the exchanges open.
    async fn watch_login(&self) {
        let (mut told, mut try_at) = (Standing::Good, 0);
        loop {
            let now_ms = self.clock.now_ms();
            if now_ms >= try_at && self.session.token().is_ok() {
                match self.rest.get("/user/profile").await {
                    Ok(_) => {
                        tracing::info!("Kite takes the access token");
                        try_at = next(TRIED_AT, now_ms);
                    }
                    // Said again until it is known.
                    Err(error) => tracing::warn!(%error, "the login at Kite could not be checked"),
                }
            }
            let standing = self.standing();
            if standing != told {
                if matches!(told, Standing::Without(_)) {
                    try_at = 0;
                }
                match &standing {
                    Standing::Good => tracing::info!("the access token is good"),
                    Standing::EndsSoon(at) => tracing::warn!(at, "Kite's access token ends soon: log in after that"),
                    Standing::Without(why) => tracing::error!(%why, "NO ORDERS CAN BE SENT TO KITE"),
                }
                told = standing;
            }
            sleep(LOOKED_AT_EVERY).await;
        }
    }

    /// Lots by symbol, anew every day.
    async fn keep_instruments(&self) {
        let mut pauses = Pauses::new(LIST_PAUSES.0, LIST_PAUSES.1);
        loop {
            self.session.logged_in().await;
            let pause = match instruments_of_the_day(&self.settings, &self.rest, &*self.clock).await {
                Ok(list) => {
                    *lock(&self.instruments) = Some(Arc::new(list));
                    pauses.reset();
                    let now_ms = self.clock.now_ms();
                    Duration::from_millis(next(LISTED_AT, now_ms).saturating_sub(now_ms).unsigned_abs())
                }
                Err(error) => {
                    let pause = pauses.pause();
                    tracing::warn!(%error, again_in_s = pause.as_secs(), "no list of Kite's instruments; lots are not checked");
                    pause
                }
            };
            sleep(pause).await;
        }
    }
}
