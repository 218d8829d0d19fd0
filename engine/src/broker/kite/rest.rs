//! Requests to Kite, and what its refusals mean.
//!
//! The table is that of <https://kite.trade/docs/connect/v3/exceptions/>, with what Kite's people add to it in their forum: only
//! an answer with status 400 says for certain that an order was not taken.
//!
//! | answer | for the engine |
//! |---|---|
//! | 400 with `InputException`, `OrderException`, `MarginException`, `HoldingException`, `UserException` | rejected |
//! | 403 with `PermissionException`, `UserException` | rejected |
//! | 4xx with `TokenException` | unavailable: nothing is looked at without a login |
//! | 429 | rate limited |
//! | `NetworkException`, `DataException`, `GeneralException`, any other exception or status | unknown |

use super::config::KiteSettings;
use super::session::{self, Session};
use super::wire;
use crate::broker::BrokerError;
use crate::broker::wire::http::{Answer, Ask, Body, Bounds, Http, form};
use crate::broker::wire::read::excerpt;
use crate::clock::Clock;
use hyper::body::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::http::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use std::time::Duration;

/// Version of the interface, in every request.
const VERSION: (HeaderName, HeaderValue) = (HeaderName::from_static("x-kite-version"), HeaderValue::from_static("3"));
/// Largest answer about one order, and largest list of a day's orders.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Longest wait for the list of instruments, which has tens of megabytes.
const LIST_TIME_MAX: Duration = Duration::from_secs(60);
/// Requests at the same time. Kite takes ten in a second.
const IN_FLIGHT_MAX: usize = 16;

/// Speaks to Kite's HTTP interface with the token of the day.
pub(crate) struct Rest {
    http: Http,
    session: Arc<Session>,
    api_key: String,
    timeout: Duration,
}

impl Rest {
    /// `base` was checked.
    pub(crate) fn new(settings: &KiteSettings, base: &str, session: Arc<Session>) -> Self {
        let http = Http::new(base, settings.timeout, IN_FLIGHT_MAX);
        Self { http, session, api_key: settings.api_key.clone(), timeout: settings.timeout }
    }

    /// Asks for something, changing nothing: no refusal is for good.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, BrokerError> {
        let bounds = Bounds { time: self.timeout, body_bytes: BODY_BYTES_MAX };
        self.ask(Method::GET, path, Body::Empty, bounds).await.map_err(|error| match error {
            BrokerError::Rejected(why) => BrokerError::Unknown(why),
            other => other,
        })
    }

    /// The list of instruments as it comes, packed or not.
    pub(crate) async fn instruments(&self) -> Result<Bytes, BrokerError> {
        let bounds = Bounds { time: LIST_TIME_MAX, body_bytes: super::instruments::LIST_BYTES_MAX };
        self.ask(Method::GET, "/instruments", Body::Empty, bounds).await
    }

    /// Sends or cancels an order.
    pub(crate) async fn order(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Bytes, BrokerError> {
        let bounds = Bounds { time: self.timeout, body_bytes: BODY_BYTES_MAX };
        let body = if fields.is_empty() { Body::Empty } else { Body::Form(form(fields)) };
        self.ask(method, path, body, bounds).await
    }

    async fn ask(&self, method: Method, path: &str, body: Body, bounds: Bounds) -> Result<Bytes, BrokerError> {
        let token = self.session.token().map_err(|why| BrokerError::Unavailable(why.to_string()))?;
        let authorization = HeaderValue::try_from(format!("token {}:{}", self.api_key, token.expose_secret()));
        let mut authorization = authorization.map_err(|_| {
            BrokerError::Unavailable("the API key or the access token is no text for a header".to_owned())
        })?;
        authorization.set_sensitive(true);
        let ask = Ask { method, path, headers: &[VERSION, (AUTHORIZATION, authorization)], body };
        let answer = self.http.send(ask, bounds).await?;
        if answer.status == StatusCode::OK {
            self.session.judged(&token, true);
            return Ok(answer.body);
        }
        if is_token_refused(&answer) {
            self.session.judged(&token, false);
        }
        Err(trouble(&answer))
    }
}

/// Exchanges a request token for the access token of the day, and keeps that. Answers until when it is good.
///
/// # Errors
/// In words for people, without either token.
pub(crate) async fn log_in(
    settings: &KiteSettings,
    base: &str,
    request_token: &str,
    clock: &dyn Clock,
) -> Result<String, String> {
    let checksum = session::checksum(&settings.api_key, request_token, &settings.api_secret);
    let fields = [("api_key", settings.api_key.as_str()), ("request_token", request_token), ("checksum", &checksum)];
    let ask =
        Ask { method: Method::POST, path: "/session/token", headers: &[VERSION], body: Body::Form(form(&fields)) };
    let bounds = Bounds { time: settings.timeout, body_bytes: BODY_BYTES_MAX };
    let http = Http::new(base, settings.timeout, 1);
    let answer = http.send(ask, bounds).await.map_err(|failed| BrokerError::from(failed).to_string())?;
    if answer.status != StatusCode::OK {
        return Err(match wire::failure(&answer.body) {
            Some((exception, message)) => format!("Kite refuses the request token: {message} ({exception})"),
            None => format!("Kite answers with HTTP {}", answer.status.as_u16()),
        });
    }
    let token = wire::access_token(&answer.body)?;
    session::keep(&settings.token_file, &settings.api_key, &token, clock.now_ms())
        .map_err(|error| format!("the access token cannot be written to {}: {error}", settings.token_file.display()))
}

fn is_token_refused(answer: &Answer) -> bool {
    answer.status.is_client_error()
        && wire::failure(&answer.body).is_some_and(|(exception, _)| exception == "TokenException")
}

/// What an answer other than 200 means.
fn trouble(answer: &Answer) -> BrokerError {
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return BrokerError::RateLimited { retry_after: answer.retry_after() };
    }
    let code = answer.status.as_u16();
    let Some((exception, message)) = wire::failure(&answer.body) else {
        return BrokerError::Unknown(format!("HTTP {code}: '{}'", excerpt(&answer.body)));
    };
    match (code, exception.as_str()) {
        (400..=499, "TokenException") => BrokerError::Unavailable(format!(
            "Kite refuses the access token ({message}): log in with `strat-engine kite login`"
        )),
        (400, "InputException" | "OrderException" | "MarginException" | "HoldingException" | "UserException")
        | (403, "PermissionException" | "UserException") => BrokerError::Rejected(format!("{message} ({exception})")),
        _ => BrokerError::Unknown(format!("HTTP {code}, {exception}: '{message}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;

    fn told(status: u16, body: &str) -> BrokerError {
        let status = StatusCode::from_u16(status).unwrap();
        trouble(&Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) })
    }

    #[test]
    fn every_documented_exception_has_its_meaning() {
        let exceptions = [
            ("TokenException", "unavailable", "unavailable", "unknown"),
            ("UserException", "rejected", "rejected", "unknown"),
            ("OrderException", "rejected", "unknown", "unknown"),
            ("InputException", "rejected", "unknown", "unknown"),
            ("MarginException", "rejected", "unknown", "unknown"),
            ("HoldingException", "rejected", "unknown", "unknown"),
            ("PermissionException", "unknown", "rejected", "unknown"),
            ("NetworkException", "unknown", "unknown", "unknown"),
            ("DataException", "unknown", "unknown", "unknown"),
            ("GeneralException", "unknown", "unknown", "unknown"),
            ("NewException", "unknown", "unknown", "unknown"),
        ];
        for (exception, at_400, at_403, at_5xx) in exceptions {
            let body = format!(r#"{{"status":"error","message":"No\n","data":null,"error_type":"{exception}"}}"#);
            for (status, meaning) in
                [(400, at_400), (403, at_403), (500, at_5xx), (502, at_5xx), (503, at_5xx), (504, at_5xx)]
            {
                let word = match told(status, &body) {
                    BrokerError::Rejected(words) => {
                        assert_eq!(words, format!("No  ({exception})"));
                        "rejected"
                    }
                    BrokerError::Unknown(_) => "unknown",
                    BrokerError::RateLimited { .. } => "limited",
                    BrokerError::Unavailable(_) => "unavailable",
                };
                assert_eq!(word, meaning, "{status} {exception}");
            }
            assert!(matches!(told(429, &body), BrokerError::RateLimited { .. }));
        }
        for body in ["", "<h1>400</h1>", "{}", r#"{"error":"no"}"#] {
            assert!(matches!(told(400, body), BrokerError::Unknown(_)), "{body}");
        }
    }
}
