//! One connection to the ticker. It comes back by itself, with growing pauses, and subscribes again.

use super::{KiteMode, PAUSES};
use crate::broker::kite::{Session, Ticker};
use crate::net::{Frame, Pauses, Socket};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What a connection says next, and the connection.
pub(super) type Next = BoxFuture<'static, (Line, Result<Frame, String>)>;

/// A connection, and what it subscribes to.
pub(super) struct Line {
    session: Arc<Session>,
    ticker: Arc<Ticker>,
    mode: KiteMode,
    tokens: Vec<u32>,
    socket: Option<Socket>,
    pauses: Pauses,
    /// To wait before the next attempt, after one that failed.
    pause: Option<Duration>,
}

impl Line {
    /// Nothing is connected yet.
    pub(super) fn new(session: &Arc<Session>, ticker: &Arc<Ticker>, mode: KiteMode, tokens: Vec<u32>) -> Self {
        let (session, ticker) = (Arc::clone(session), Arc::clone(ticker));
        Self { session, ticker, mode, tokens, socket: None, pauses: Pauses::new(PAUSES.0, PAUSES.1), pause: None }
    }

    /// The next message, or why there is no connection any more; whoever asks again then waits and connects anew.
    ///
    /// It takes the line and gives it back, so that several can be waited for and none loses what it has begun.
    pub(super) fn next(self) -> Next {
        Box::pin(self.heard())
    }

    async fn heard(mut self) -> (Self, Result<Frame, String>) {
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        let heard = self.hear().await;
        match &heard {
            Ok(_) => self.pauses.reset(),
            Err(error) => {
                self.socket = None;
                let pause = self.pauses.pause();
                tracing::warn!(error, pause_ms = pause.as_millis() as u64, "no prices from Kite, connecting again");
                self.pause = Some(pause);
            }
        }
        (self, heard)
    }

    async fn hear(&mut self) -> Result<Frame, String> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                wait_for_login(&self.session).await;
                let socket = subscribed(&self.ticker, self.mode, &self.tokens).await?;
                tracing::info!(symbols = self.tokens.len(), mode = self.mode.as_str(), "connected to Kite's ticker");
                none.insert(socket)
            }
        };
        socket.next().await.map_err(|error| error.to_string())
    }
}

/// Returns with a login; says that there is none.
pub(super) async fn wait_for_login(session: &Session) {
    if let Err(why) = session.token() {
        tracing::error!(%why, "NO PRICES FROM KITE WITHOUT A LOGIN");
    }
    session.logged_in().await;
}

async fn subscribed(ticker: &Ticker, mode: KiteMode, tokens: &[u32]) -> Result<Socket, String> {
    let mut socket = ticker.connect().await?;
    let subscribe = serde_json::json!({"a": "subscribe", "v": tokens});
    let mode = serde_json::json!({"a": "mode", "v": [mode.as_str(), tokens]});
    for request in [subscribe, mode] {
        socket.send(request.to_string()).await.map_err(|error| error.to_string())?;
    }
    Ok(socket)
}
