//! Every write leaves two rows in `api_audit`: before it, and what came of it.

use super::BODY_BYTES_MAX;
use super::answer::Problem;
use super::api::Api;
use super::auth::Caller;
use super::extract::too_large;
use super::requests::{ProblemCode, RequestId};
use crate::store::Asked;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for Postgres.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// What ends positions goes on without Postgres.
const EXITS: [&str; 2] = ["/stop", "/square-off"];

/// Notes a write. Reads pass.
pub(super) async fn note(
    State(api): State<Arc<Api>>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| too_large())?;
    let id = parts.extensions.get::<RequestId>().map_or_else(String::new, |RequestId(id)| id.to_string());
    let asked = Asked {
        request_id: id,
        caller_kind: caller.kind(),
        caller: caller.name(),
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        body: text(&body),
        engine: api.watched.engine.clone(),
    };
    let ends_positions = EXITS.iter().any(|end| parts.uri.path().ends_with(end));
    if let Err(why) = write(&api, &asked, None).await {
        if !ends_positions {
            let detail =
                format!("what is asked for cannot be noted, so it is not done: {why}; try again once Postgres answers");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "POSTGRES_UNAVAILABLE", detail));
        }
        tracing::error!(why, ?asked, "a write over HTTP is not noted in Postgres and goes on, for it ends positions");
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let code = response.extensions().get::<ProblemCode>().map(|ProblemCode(code)| *code);
    let status = response.status().as_u16();
    if let Err(why) = write(&api, &asked, Some((status, code))).await {
        tracing::error!(why, ?asked, status, code, "what came of a write over HTTP is not noted in Postgres");
    }
    Ok(response)
}

async fn write(api: &Api, asked: &Asked, outcome: Option<(u16, Option<&str>)>) -> Result<(), String> {
    match timeout(ANSWER_MAX, api.store.audit(asked, outcome)).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(_) => Err("Postgres does not answer in time".to_owned()),
    }
}

/// A body as text that Postgres can keep.
fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).replace('\0', "\u{fffd}")
}
