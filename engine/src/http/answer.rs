//! What answers have in common: problems as `application/problem+json` (RFC 9457) with stable codes, and what caches may keep.

use super::requests::ProblemCode;
use crate::failure::sentence;
use crate::store;
use crate::strategies::DeskError;
use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use strat_client::Error;
use strat_core::Code;

/// A refusal or a failure.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// Stable, for programs.
    code: &'static str,
    /// For people: the cause and the next step.
    detail: String,
    /// Besides those that every problem has.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new() }
    }

    /// With one more header.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A mistake of ours, of which the log has more.
    pub(super) fn internal() -> Self {
        let detail = "this is a mistake of ours; the log has more under the request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", detail)
    }

    pub(super) fn is_mistake(&self) -> bool {
        self.status == StatusCode::INTERNAL_SERVER_ERROR
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::Refused { code: Code::Loading, .. } => (StatusCode::SERVICE_UNAVAILABLE, "REDIS_UNAVAILABLE"),
            Error::Refused { code: Code::WrongType, .. } => (StatusCode::CONFLICT, "WRONG_TYPE"),
            Error::Refused { code: Code::Busy, .. } => (StatusCode::CONFLICT, "BUSY"),
            Error::Refused { code: Code::Limit, .. } => (StatusCode::CONFLICT, "LIMIT"),
            Error::Refused { code: Code::BadVersion, .. } => (StatusCode::PRECONDITION_FAILED, "VERSION_CHANGED"),
            Error::Refused { code: Code::Err, .. } => (StatusCode::BAD_GATEWAY, "REDIS_ERROR"),
            Error::Refused { .. } | Error::Config(_) => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            Error::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "REDIS_UNAVAILABLE"),
            error if error.outcome_unknown() => (StatusCode::SERVICE_UNAVAILABLE, "OUTCOME_UNKNOWN"),
            _ => (StatusCode::BAD_GATEWAY, "REDIS_ERROR"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if store::is_away(&error) {
            let detail = format!("Postgres does not answer: {error}; try again");
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "POSTGRES_UNAVAILABLE", detail);
        }
        match &error {
            // What the checks before let pass and the table does not: data exceptions and violated constraints.
            sqlx::Error::Database(refusal) if refusal.code().is_some_and(|code| ["22", "23"].contains(&&code[..2])) => {
                Self::bad_request(format!("Postgres does not take it: {}", refusal.message()))
            }
            _ => {
                tracing::error!(%error, "Postgres refuses what HTTP asks of it");
                Self::internal()
            }
        }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Bad(report) => Self::bad_request(sentence(&report)),
            DeskError::Unknown { .. } => Self::not_found(error.to_string()),
            DeskError::InMarket { .. } => {
                Self::new(StatusCode::CONFLICT, "BUSY", format!("{error}: stop it first, and wait until it is out"))
            }
            DeskError::Saved { .. } => {
                let detail = format!("{error}; the engine loads it at its next reconciliation");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "OUTCOME_UNKNOWN", detail)
            }
            DeskError::Redis(error) => error.into(),
            DeskError::Postgres(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let body = json!({ "title": title, "status": self.status.as_u16(), "code": self.code, "detail": self.detail });
        let mut answer = (self.status, Json(body)).into_response();
        answer.extensions_mut().insert(ProblemCode(self.code));
        let headers = answer.headers_mut();
        headers.extend(self.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }
}

/// Who may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Anybody, for a second: prices are everybody's.
    Everybody,
    /// Nobody: it is about one user.
    Nobody,
}

/// An answer with its entity tag; a client that has it already is told so without the body.
pub(super) fn answer(asked: &HeaderMap, keep: Keep, body: &Value) -> Response {
    let text = body.to_string();
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let kept = match keep {
        Keep::Everybody => "public, max-age=1",
        Keep::Nobody => "private, no-store",
    };
    let known = asked.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag || known.trim() == "*"));
    let headers = [(CACHE_CONTROL, kept.to_owned()), (ETAG, tag)];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, [(CONTENT_TYPE, "application/json")], text).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_an_answer_is_not_sent_it_again() {
        let body = json!({ "price": "2500.00" });
        let first = answer(&HeaderMap::new(), Keep::Everybody, &body);
        assert_eq!(
            (first.status(), &first.headers()[CACHE_CONTROL]),
            (StatusCode::OK, &"public, max-age=1".parse().unwrap())
        );
        let mut asked = HeaderMap::new();
        asked.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(answer(&asked, Keep::Everybody, &body).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer(&asked, Keep::Everybody, &json!({ "price": "2500.05" })).status(), StatusCode::OK);
        let private = answer(&HeaderMap::new(), Keep::Nobody, &body);
        assert_eq!(private.headers()[CACHE_CONTROL], "private, no-store");
    }

    #[test]
    fn a_failure_of_redis_says_what_is_known_of_it() {
        let of = |error: Error| {
            let problem = Problem::from(error);
            (problem.status.as_u16(), problem.code)
        };
        let unavailable = Error::Unavailable { address: "h".to_owned(), reason: "x".to_owned() };
        assert_eq!(of(unavailable), (503, "REDIS_UNAVAILABLE"));
        assert_eq!(of(Error::Config("no user".to_owned())), (400, "BAD_REQUEST"));
        for (code, expected) in [
            (Code::BadPrice, (400, "BAD_REQUEST")),
            (Code::Loading, (503, "REDIS_UNAVAILABLE")),
            (Code::WrongType, (409, "WRONG_TYPE")),
            (Code::Err, (502, "REDIS_ERROR")),
            (Code::Busy, (409, "BUSY")),
            (Code::Limit, (409, "LIMIT")),
            (Code::BadVersion, (412, "VERSION_CHANGED")),
        ] {
            assert_eq!(of(Error::Refused { code, detail: String::new() }), expected);
        }
    }
}
