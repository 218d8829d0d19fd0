//! A day on one connection.

use super::{Day, PACKETS, Script, Scroll};
use crate::kite::ticker::{FULL_BYTES, put};
use crate::{Message, now_ms};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep_until;

/// What one connection is told.
#[derive(Debug)]
pub struct Player {
    day: Arc<Day>,
    begun: watch::Receiver<Option<Instant>>,
    pub(super) scroll: Scroll,
    /// Prices of the frame that was made last.
    laid_out: Vec<u32>,
}

impl Player {
    /// Of these numbers.
    pub(super) fn new(day: Arc<Day>, tokens: Vec<u32>) -> Self {
        let begun = day.begun.subscribe();
        Self { day, begun, scroll: Scroll { tokens, ..Scroll::default() }, laid_out: Vec::new() }
    }

    /// The next frame, when it is due; after the last one never. Cancel safe: the same frame comes until it was [`Player::told`].
    pub(crate) async fn next(&mut self) -> Message {
        let Some(due) = self.due().await else { return std::future::pending().await };
        sleep_until(due.into()).await;
        self.scroll.late = self.scroll.late.max(due.elapsed());
        self.frame()
    }

    /// The frame was handed to the socket.
    pub(crate) fn told(&mut self, at: Instant) {
        self.scroll.at.push(at);
        self.scroll.prices.append(&mut self.laid_out);
        if self.scroll.prices.len() == self.ticks() {
            self.day.scrolls().push(std::mem::take(&mut self.scroll));
        }
    }

    pub(super) fn ticks(&self) -> usize {
        let Script { per_second, seconds, .. } = self.day.script;
        self.scroll.tokens.len() * per_second * seconds
    }

    /// When the next frame is due; `None` once there is none any more.
    pub(super) async fn due(&mut self) -> Option<Instant> {
        let done = self.scroll.prices.len();
        if done == self.ticks() {
            return None;
        }
        let begun = (*self.begun.wait_for(Option::is_some).await.ok()?)?;
        let in_a_second = self.scroll.tokens.len() * self.day.script.per_second;
        Some(begun + Duration::from_secs(done as u64) / u32::try_from(in_a_second).unwrap())
    }

    pub(super) fn frame(&mut self) -> Message {
        let (from, tokens) = (self.scroll.prices.len(), &self.scroll.tokens);
        let count = PACKETS.min(self.ticks() - from);
        let mut bytes = Vec::with_capacity(2 + count * (2 + FULL_BYTES));
        bytes.extend_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
        let now_s = u32::try_from(now_ms() / 1_000).unwrap();
        self.laid_out.clear();
        for n in from..from + count {
            let token = tokens[n % tokens.len()];
            let raw = self.day.price(token, n / tokens.len());
            put(&mut bytes, FULL_BYTES, token, raw, now_s);
            self.laid_out.push(raw);
        }
        Message::binary(bytes)
    }
}
