//! Requests over HTTP: signed, within the limits, and their answers sorted into what is certain and what is not.

use super::clock::ServerClock;
use super::codes::{Coded, Meaning};
use super::config::BinanceSettings;
use super::gate::{Gate, Purpose, Shut};
use super::sign::{Keys, Query};
use super::wire;
use crate::broker::BrokerError;
use crate::broker::wire::http::{Answer, Ask, Body, Bounds, Http};
use crate::broker::wire::read::excerpt;
use crate::clock::Clock;
use hyper::body::Bytes;
use hyper::http::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Largest answer: a thousand orders, or the filters of a hundred symbols.
const BODY_BYTES_MAX: usize = 8 << 20;
/// A request whose time was refused is sent once more, with the time measured anew: it was not carried out.
const CLOCK_TRIES: u32 = 2;
/// Where too many orders were sent and no wait is named: the shortest interval that orders are counted in.
const TOO_OFTEN_WAIT: Duration = Duration::from_secs(10);

/// Why a request did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Refused with a code that says what became of it.
    Coded(Coded),
    /// Anything else.
    Broker(BrokerError),
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        let coded = match failure {
            Failure::Broker(error) => return error,
            Failure::Coded(coded) => coded,
        };
        match coded.meaning() {
            Meaning::Refused => Self::Rejected(coded.words()),
            Meaning::Keys | Meaning::Clock => Self::Unavailable(coded.words()),
            Meaning::TooOften | Meaning::NoOrder | Meaning::Unknown => Self::Unknown(coded.words()),
        }
    }
}

/// The way to Binance's REST API.
pub(super) struct Rest {
    http: Http,
    pub(super) keys: Keys,
    key_header: (HeaderName, HeaderValue),
    pub(super) clock: ServerClock,
    pub(super) gate: Gate,
    timeout: Duration,
    recv_window_ms: u64,
    /// One measures the server's time at a time; the others take what it found.
    measuring: tokio::sync::Mutex<()>,
}

impl Rest {
    /// `None` where the key is nothing that a header can carry.
    pub(super) fn new(settings: &BinanceSettings, clock: Arc<dyn Clock>) -> Option<Self> {
        let keys = Keys::new(settings.api_key.clone(), &settings.api_secret);
        let mut key = HeaderValue::from_str(keys.key()).ok()?;
        key.set_sensitive(true);
        Some(Self {
            http: Http::new(&settings.rest_url, settings.timeout, settings.in_flight_max),
            keys,
            key_header: (HeaderName::from_static("x-mbx-apikey"), key),
            clock: ServerClock::new(clock),
            gate: Gate::default(),
            timeout: settings.timeout,
            recv_window_ms: u64::try_from(settings.recv_window.as_millis()).unwrap_or(u64::MAX),
            measuring: tokio::sync::Mutex::default(),
        })
    }

    pub(super) const fn recv_window_ms(&self) -> u64 {
        self.recv_window_ms
    }

    /// A request that anybody may make.
    pub(super) async fn public(&self, path: &str, query: &Query, purpose: Purpose) -> Result<Bytes, Failure> {
        let path = if query.text().is_empty() { path.to_owned() } else { format!("{path}?{}", query.text()) };
        self.exchange(Ask { method: Method::GET, path: &path, headers: &[], body: Body::Empty }, purpose).await
    }

    /// A request with key, time and signature.
    pub(super) async fn signed(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        purpose: Purpose,
    ) -> Result<Bytes, Failure> {
        let mut last = None;
        for _ in 0..CLOCK_TRIES {
            let now_ms = self.server_now_ms(purpose).await?;
            let signed = query.clone().signed(&self.keys, self.recv_window_ms, now_ms);
            let headers = std::slice::from_ref(&self.key_header);
            let answer = if method == Method::POST {
                self.exchange(Ask { method: method.clone(), path, headers, body: Body::Form(signed) }, purpose).await
            } else {
                let path = format!("{path}?{signed}");
                self.exchange(Ask { method: method.clone(), path: &path, headers, body: Body::Empty }, purpose).await
            };
            match answer {
                Err(Failure::Coded(coded)) if coded.meaning() == Meaning::Clock => {
                    tracing::warn!(
                        offset_ms = self.clock.offset_ms(),
                        said = coded.words(),
                        "measuring Binance's time anew"
                    );
                    self.clock.doubt();
                    last = Some(coded);
                }
                answer => return answer,
            }
        }
        Err(last.map_or_else(|| BrokerError::Unavailable("no time".to_owned()).into(), Failure::Coded))
    }

    /// The time at the server, measured where that has not been done for a while.
    pub(super) async fn server_now_ms(&self, purpose: Purpose) -> Result<i64, Failure> {
        if let Some(now_ms) = self.clock.now_ms() {
            return Ok(now_ms);
        }
        let _turn = self.measuring.lock().await;
        if let Some(now_ms) = self.clock.now_ms() {
            return Ok(now_ms);
        }
        let asked_ms = self.clock.local_ms();
        let told = self.public("/api/v3/time", &Query::default(), purpose).await;
        // Nothing of the request that wants the time was sent yet, whatever became of this one.
        let body = told.map_err(|failure| match failure.into() {
            BrokerError::Unknown(why) | BrokerError::Rejected(why) => unmeasured(&why),
            error => error,
        })?;
        let server_ms = wire::server_time(&body).map_err(|why| unmeasured(&why))?;
        self.clock.measured(asked_ms, server_ms);
        tracing::info!(offset_ms = self.clock.offset_ms(), "measured Binance's time");
        Ok(self.clock.now_ms().unwrap_or(server_ms))
    }

    async fn exchange(&self, ask: Ask<'_>, purpose: Purpose) -> Result<Bytes, Failure> {
        self.gate.pass(purpose, Instant::now()).map_err(|shut| refused(shut, purpose))?;
        let bounds = Bounds { time: self.timeout, body_bytes: BODY_BYTES_MAX };
        let answer = self.http.send(ask, bounds).await.map_err(BrokerError::from)?;
        if let Some(retry_after) = self.gate.heed(&answer, Instant::now()) {
            return Err(BrokerError::RateLimited { retry_after }.into());
        }
        if answer.status == StatusCode::OK {
            return Ok(answer.body);
        }
        Err(self.sorted(&answer))
    }

    /// Everything but a success.
    fn sorted(&self, answer: &Answer) -> Failure {
        let unclear = || BrokerError::Unknown(format!("HTTP {}: '{}'", answer.status.as_u16(), excerpt(&answer.body)));
        // "It is important to NOT treat this as a failure operation": whatever code comes with a 5xx.
        if !answer.status.is_client_error() {
            return unclear().into();
        }
        match Coded::read(&answer.body) {
            Some(coded) if coded.meaning() == Meaning::TooOften => {
                let wait = answer.header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
                BrokerError::RateLimited {
                    retry_after: self.gate.shut(wait.unwrap_or(TOO_OFTEN_WAIT), false, Instant::now()),
                }
                .into()
            }
            Some(coded) => Failure::Coded(coded),
            None => unclear().into(),
        }
    }
}

fn unmeasured(why: &str) -> BrokerError {
    BrokerError::Unavailable(format!("Binance's time could not be measured: {why}"))
}

fn refused(shut: Shut, purpose: Purpose) -> BrokerError {
    let seconds = shut.wait().as_secs();
    match (shut, purpose) {
        (Shut::Banned(_), Purpose::Vital) => tracing::error!(
            seconds,
            "AN EXIT OR LOOK-UP WAITS: Binance has banned this address, and sending would prolong that; close positions by hand if need be"
        ),
        (Shut::Asked(_), Purpose::Vital) => {
            tracing::warn!(seconds, "an exit or look-up waits: Binance has asked to, and sending would lead to a ban");
        }
        _ => {}
    }
    BrokerError::RateLimited { retry_after: shut.wait() }
}
