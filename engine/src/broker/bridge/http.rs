//! One request and its answer, with a bound on everything: how many at once, how long, how much.
//!
//! The client is hyper-util's: the HTTP server of the engine has it in the build already, and it does nothing by
//! itself that could send an order elsewhere or twice: no redirects, no proxies of the environment. The one repeat it
//! knows is that of a request which it could not begin to write because a kept connection had closed.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Kept connections that nobody used for this long are closed, so that a request rarely meets one that the other
/// side has just closed: servers wait longer.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// How long a throttled request waits at least, and at most, whatever the broker says.
const RETRY_AFTER_RANGE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// Where it does not say.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nothing of the request has left this machine.
    NotSent(String),
    /// The broker may have got it.
    Lost(String),
}

/// What came back, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Duration,
    pub(super) body: Bytes,
}

/// Bounds of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Until the last byte of the answer.
    pub(super) time: Duration,
    /// Size of the answer's body.
    pub(super) body_bytes: usize,
}

pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    room: Semaphore,
}

impl Http {
    /// `base` is `http://host:port[/path]` without a slash at its end.
    pub(super) fn new(base: &str, request_timeout: Duration, in_flight_max: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // Shorter than a request may take, so that a host that swallows packets is told from a lost answer.
        connector.set_connect_timeout(Some(request_timeout / 2));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector);
        Self { client, base: base.to_owned(), room: Semaphore::new(in_flight_max) }
    }

    /// Sends a request; waiting for one's turn counts.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        bounds: Bounds,
    ) -> Result<Answer, Failed> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| Failed::NotSent(error.to_string()))?;
        let Ok(Ok(_turn)) = timeout(bounds.time, self.room.acquire()).await else {
            return Err(Failed::NotSent("too many requests are under way".to_owned()));
        };
        match timeout(bounds.time, self.exchange(request, bounds.body_bytes)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failed::Lost(format!("no answer within {} ms", bounds.time.as_millis()))),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, body_bytes: usize) -> Result<Answer, Failed> {
        let response = self.client.request(request).await.map_err(|error| {
            let text = with_causes(&error);
            if error.is_connect() { Failed::NotSent(text) } else { Failed::Lost(text) }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, body_bytes).collect().await;
        let body = body.map_err(|error| Failed::Lost(format!("the answer breaks off: {}", with_causes(&*error))))?;
        let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let wait = wait.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs);
        Ok(Answer {
            status: head.status,
            retry_after: wait.clamp(RETRY_AFTER_RANGE.0, RETRY_AFTER_RANGE.1),
            body: body.to_bytes(),
        })
    }
}

/// hyper says "client error (Connect)"; which one is in the sources.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}

/// Makes a text part of a path or of a query: a symbol may hold slashes, ampersands and question marks.
pub(super) fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_cannot_break_out_of_its_place() {
        assert_eq!(escaped("M&M"), "M%26M");
        assert_eq!(escaped("BTC/USDT?#+%"), "BTC%2FUSDT%3F%23%2B%25");
        assert_eq!(escaped("BRK.B-1_~"), "BRK.B-1_~");
    }
}
