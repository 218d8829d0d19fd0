//! What every request and every answer below `/api` have: an id, and a problem where something went wrong.

use super::answer::Problem;
use super::extract::too_large;
use crate::token::random_id;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use strat_core::key::is_id;

/// The id's header.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: its sender's, or one of ours.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// Marks an answer that is a problem, with its code.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProblemCode(pub(super) &'static str);

/// Names the request, and makes a problem of whatever refusal is none yet.
pub(super) async fn name_and_tidy(mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok()).filter(|text| is_id(text));
    let id: Arc<str> = given.map(Arc::from).or_else(|| random_id().map(Arc::from)).unwrap_or_else(|| Arc::from("none"));
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let mut response = next.run(request).await;
    if let Some(problem) = untidy(&response) {
        if problem.is_mistake() {
            tracing::error!(request = &*id, "a request failed by a mistake of ours");
        }
        response = problem.into_response();
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// A problem instead of an answer of the framework's own.
fn untidy(response: &Response) -> Option<Problem> {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || response.extensions().get::<ProblemCode>().is_some() {
        return None;
    }
    // Answers about health say by their status how things are, and have a body that says more.
    if status == StatusCode::SERVICE_UNAVAILABLE && response.headers().contains_key(axum::http::header::CONTENT_TYPE) {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => Problem::not_found("there is no such route: see /api/openapi.json"),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(status, "METHOD_NOT_ALLOWED", "this route has no such method: see /api/openapi.json")
        }
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        StatusCode::SERVICE_UNAVAILABLE => Problem::new(
            status,
            "TIMEOUT",
            "it took too long; a write may have been carried out: look before you repeat it",
        ),
        status if status.is_client_error() => {
            Problem::new(status, "BAD_REQUEST", "the request is not of the form that the route takes")
        }
        _ => Problem::internal(),
    })
}
