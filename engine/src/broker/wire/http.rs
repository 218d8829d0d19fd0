//! One request and its answer, with a bound on everything: how many at once, how long, how much.
//!
//! The client is hyper-util's: the HTTP server of the engine has it in the build already, and it does nothing by
//! itself that could send an order elsewhere or twice: no redirects, no proxies of the environment. The one repeat it
//! knows is that of a request which it could not begin to write because a kept connection had closed.

use crate::broker::BrokerError;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use hyper::http::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
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
pub(crate) enum Failed {
    /// Nothing of the request has left this machine.
    NotSent(String),
    /// The broker may have got it.
    Lost(String),
}

impl From<Failed> for BrokerError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotSent(why) => Self::Unavailable(why),
            Failed::Lost(why) => Self::Unknown(why),
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Behind the base address, with the query; parts of it went through [`escaped`].
    pub(crate) path: &'a str,
    /// Beside `Accept` and `Content-Type`; values that are secrets are marked sensitive.
    pub(crate) headers: &'a [(HeaderName, HeaderValue)],
    pub(crate) body: Body,
}

/// Body of a request.
#[derive(Debug)]
pub(crate) enum Body {
    /// None.
    Empty,
    /// JSON.
    Json(String),
    /// `application/x-www-form-urlencoded`: see [`form`].
    Form(String),
}

/// What came back, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The header as text; `None` where it is absent or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// How long a throttled request is to wait, by the header `Retry-After` in seconds.
    pub(crate) fn retry_after(&self) -> Duration {
        let seconds = self.header(RETRY_AFTER.as_str()).and_then(|value| value.parse().ok());
        within_range(seconds.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs))
    }
}

/// A wait that a broker asks for, within reason.
pub(crate) fn within_range(wait: Duration) -> Duration {
    wait.clamp(RETRY_AFTER_RANGE.0, RETRY_AFTER_RANGE.1)
}

/// Bounds of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Until the last byte of the answer.
    pub(crate) time: Duration,
    /// Size of the answer's body.
    pub(crate) body_bytes: usize,
}

pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    room: Semaphore,
}

impl Http {
    /// `base` is `http://…` or `https://host:port[/path]` without a slash at its end; the caller has checked it.
    pub(crate) fn new(base: &str, request_timeout: Duration, in_flight_max: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        // Shorter than a request may take, so that a host that swallows packets is told from a lost answer.
        connector.set_connect_timeout(Some(request_timeout / 2));
        let connector =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector);
        Self { client, base: base.to_owned(), room: Semaphore::new(in_flight_max.max(1)) }
    }

    /// Sends a request; waiting for one's turn counts.
    pub(crate) async fn send(&self, ask: Ask<'_>, bounds: Bounds) -> Result<Answer, Failed> {
        let request = self.request(ask)?;
        let Ok(Ok(_turn)) = timeout(bounds.time, self.room.acquire()).await else {
            return Err(Failed::NotSent("too many requests are under way".to_owned()));
        };
        match timeout(bounds.time, self.exchange(request, bounds.body_bytes)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failed::Lost(format!("no answer within {} ms", bounds.time.as_millis()))),
        }
    }

    fn request(&self, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, Failed> {
        let (kind, body) = match ask.body {
            Body::Empty => (None, String::new()),
            Body::Json(text) => (Some("application/json"), text),
            Body::Form(text) => (Some("application/x-www-form-urlencoded"), text),
        };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.base, ask.path))
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failed::NotSent(error.to_string()))?;
        request.headers_mut().extend(ask.headers.iter().cloned());
        if let Some(kind) = kind {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Ok(request)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, body_bytes: usize) -> Result<Answer, Failed> {
        let response = self.client.request(request).await.map_err(|error| {
            let text = with_causes(&error);
            if error.is_connect() { Failed::NotSent(text) } else { Failed::Lost(text) }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, body_bytes).collect().await;
        let body = body.map_err(|error| Failed::Lost(format!("the answer breaks off: {}", with_causes(&*error))))?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

/// Names and values as a form or a query: `a=1&b=2`.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let parts: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    parts.join("&")
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
pub(crate) fn escaped(text: &str) -> String {
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
        assert_eq!(form(&[("symbol", "M&M"), ("tag", "A1")]), "symbol=M%26M&tag=A1");
    }

    /// A listener that closes every connection: no certificate is ever shown.
    #[tokio::test]
    async fn what_cannot_be_encrypted_is_not_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        });
        let http = Http::new(&base, Duration::from_secs(2), 1);
        let ask = Ask { method: Method::POST, path: "/v2/orders", headers: &[], body: Body::Json("{}".into()) };
        let answer = http.send(ask, Bounds { time: Duration::from_secs(2), body_bytes: 100 }).await;
        assert!(matches!(answer, Err(Failed::NotSent(_))), "{answer:?}");
    }
}
