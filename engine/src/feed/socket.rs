//! A feed over a WebSocket: sessions that come back by themselves, and whose successor is there before they are too old.
//!
//! What is said on it is its [`Dialect`]'s. A message that makes no sense is counted and logged, never fatal.

use super::rejected::Rejected;
use super::{Feed, FeedError, Tick};
use crate::net::{Frame, Pauses, Socket, SocketBounds, SocketError};
use async_trait::async_trait;
use futures_util::FutureExt as _;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// First and longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A session that has lasted so long was a good one: the pauses begin anew.
const GOOD: Duration = Duration::from_secs(10);
/// Longest wait for a connection, for one write and for the answer to a greeting.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Pause between two greetings: servers count what they are sent.
const GREETING_PAUSE: Duration = Duration::from_millis(250);
/// Messages that may come before the last greeting is answered.
const EARLY_MAX: usize = 50_000;
/// A silence that is not minded.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// Ticks, or nothing that concerns prices.
    Read,
    /// A greeting was taken.
    Welcome,
    /// A greeting was refused, or the server is about to go.
    Over(String),
}

/// What distinguishes a feed over a WebSocket.
pub(super) trait Dialect: Send {
    /// What is said first, one message each.
    fn greetings(&self) -> Vec<String>;

    /// Whether each greeting is answered with [`Heard::Welcome`].
    fn answers(&self) -> bool;

    /// Reads a message and adds its ticks.
    ///
    /// # Errors
    /// Why it makes no sense.
    fn read(&mut self, message: &[u8], ticks: &mut VecDeque<Tick>) -> Result<Heard, String>;

    /// What follows comes from the next session, which has run beside the last for a while.
    fn handed_over(&mut self) {}
}

/// Where it is, and how long its sessions may be quiet and old.
#[derive(Debug, Clone)]
pub(super) struct SocketSettings {
    pub(super) url: String,
    /// Nothing heard for so long, pings included, is a cut; zero for never.
    pub(super) idle: Duration,
    /// Age at which a successor takes over; zero for never.
    pub(super) renew: Duration,
    /// Largest message, bytes.
    pub(super) message_bytes: usize,
}

impl SocketSettings {
    /// The address for the log: a query may hold a token.
    fn place(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Box<Session>, SocketError>> + Send>>;

struct Session {
    socket: Socket,
    born: Instant,
    /// What came before the greetings were answered.
    early: VecDeque<Frame>,
}

/// The feed.
pub(super) struct SocketFeed<D> {
    settings: SocketSettings,
    dialect: D,
    session: Option<Box<Session>>,
    opening: Option<Opening>,
    ticks: VecDeque<Tick>,
    pauses: Pauses,
    bad: Rejected,
}

/// What woke the feed.
enum Event {
    Message(Result<Frame, SocketError>),
    Opened(Result<Box<Session>, SocketError>),
    TooOld,
}

impl<D: Dialect> SocketFeed<D> {
    /// A feed that connects when its first tick is asked for.
    pub(super) fn new(settings: SocketSettings, dialect: D) -> Self {
        Self {
            settings,
            dialect,
            session: None,
            opening: None,
            ticks: VecDeque::new(),
            pauses: Pauses::new(PAUSES.0, PAUSES.1),
            bad: Rejected::default(),
        }
    }

    fn open(&self, after: Duration) -> Opening {
        let (settings, greetings, answers) = (self.settings.clone(), self.dialect.greetings(), self.dialect.answers());
        let wanted = if answers { greetings.len() } else { 0 };
        Box::pin(async move {
            sleep(after).await;
            open(&settings, greetings, wanted).await.map(Box::new)
        })
    }

    /// Waits for the next thing that happens. Cancel safe: what is under way is kept.
    async fn event(&mut self) -> Event {
        if let Some(frame) = self.session.as_mut().and_then(|session| session.early.pop_front()) {
            return Event::Message(Ok(frame));
        }
        if self.session.is_none() && self.opening.is_none() {
            self.opening = Some(self.open(Duration::ZERO));
        }
        let renew_at = self.session.as_ref().filter(|_| !self.settings.renew.is_zero() && self.opening.is_none());
        let renew_at = renew_at.map(|session| session.born + self.settings.renew);
        tokio::select! {
            frame = next(&mut self.session) => Event::Message(frame),
            session = opened(&mut self.opening) => {
                self.opening = None;
                Event::Opened(session)
            }
            () = sleep_until(renew_at.unwrap_or_else(Instant::now)), if renew_at.is_some() => Event::TooOld,
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Message(Ok(frame)) => self.hear(&frame),
            Event::Message(Err(error)) => self.lost(&error.to_string()),
            Event::Opened(Ok(session)) => {
                tracing::info!(url = self.settings.place(), "connected to the feed");
                if let Some(last) = self.session.replace(session) {
                    self.hear_out(last);
                    self.dialect.handed_over();
                }
            }
            Event::Opened(Err(error)) => self.again(&error.to_string()),
            Event::TooOld => {
                self.pauses.reset();
                self.opening = Some(self.open(Duration::ZERO));
            }
        }
    }

    fn hear(&mut self, frame: &Frame) {
        match self.dialect.read(frame.bytes(), &mut self.ticks) {
            Ok(Heard::Over(why)) => self.lost(&why),
            Ok(Heard::Read | Heard::Welcome) => {}
            Err(why) => self.complain(&why),
        }
    }

    /// What has come on a session that is left.
    fn hear_out(&mut self, mut session: Box<Session>) {
        for _ in 0..EARLY_MAX {
            let next = || session.socket.next().now_or_never().and_then(Result::ok);
            let Some(frame) = session.early.pop_front().or_else(next) else { return };
            // Whatever it says of its own end is of no interest any more.
            if let Err(why) = self.dialect.read(frame.bytes(), &mut self.ticks) {
                self.complain(&why);
            }
        }
    }

    /// The session has ended; a successor that is on its way already goes on.
    fn lost(&mut self, why: &str) {
        if self.session.take().is_some_and(|session| session.born.elapsed() >= GOOD) {
            self.pauses.reset();
        }
        if self.opening.is_none() {
            self.again(why);
        }
    }

    fn again(&mut self, why: &str) {
        let pause = self.pauses.pause();
        let pause_ms = pause.as_millis() as u64;
        tracing::warn!(url = self.settings.place(), why, pause_ms, "no connection to the feed, connecting again");
        self.opening = Some(self.open(pause));
    }

    fn complain(&mut self, why: &str) {
        if let Some(total) = self.bad.another() {
            tracing::error!(url = self.settings.place(), why, total, "a message of the feed is not a tick");
        }
    }

    #[cfg(test)]
    pub(super) const fn bad(&self) -> u64 {
        self.bad.total()
    }
}

#[async_trait]
impl<D: Dialect> Feed for SocketFeed<D> {
    fn has_more(&self) -> bool {
        !self.ticks.is_empty()
    }

    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        loop {
            if let Some(tick) = self.ticks.pop_front() {
                return Some(Ok(tick));
            }
            let event = self.event().await;
            self.take(event);
        }
    }
}

async fn next(session: &mut Option<Box<Session>>) -> Result<Frame, SocketError> {
    match session {
        Some(session) => session.socket.next().await,
        None => std::future::pending().await,
    }
}

async fn opened(opening: &mut Option<Opening>) -> Result<Box<Session>, SocketError> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

/// Connects, says the greetings, and waits for as many answers.
async fn open(settings: &SocketSettings, greetings: Vec<String>, wanted: usize) -> Result<Session, SocketError> {
    let silence = if settings.idle.is_zero() { FOREVER } else { settings.idle };
    let bounds =
        SocketBounds { connect: CONNECT_MAX, silence, ping: settings.idle / 2, message_bytes: settings.message_bytes };
    let mut socket = Socket::connect(&settings.url, Vec::new(), bounds).await?;
    let count = greetings.len();
    for (number, greeting) in greetings.into_iter().enumerate() {
        socket.send(greeting).await?;
        if number + 1 < count {
            sleep(GREETING_PAUSE).await;
        }
    }
    let mut session = Session { socket, born: Instant::now(), early: VecDeque::new() };
    // The answers are read by the dialect with everything else; here they only end the wait.
    let answered = async {
        let mut left = wanted;
        while left > 0 {
            let frame = session.socket.next().await?;
            left -= usize::from(is_answer(&frame));
            if session.early.len() >= EARLY_MAX {
                return Err(SocketError::Closed("it says too much before it answers".to_owned()));
            }
            session.early.push_back(frame);
        }
        Ok(())
    };
    timeout(CONNECT_MAX, answered).await.map_err(|_| SocketError::Slow(CONNECT_MAX))??;
    Ok(session)
}

/// An answer to a numbered request bears its number.
fn is_answer(frame: &Frame) -> bool {
    #[derive(serde::Deserialize)]
    struct Numbered {
        #[serde(rename = "id")]
        _id: u64,
    }
    serde_json::from_slice::<Numbered>(frame.bytes()).is_ok()
}
