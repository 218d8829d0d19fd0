//! The token that a request came with.

use super::Api;
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::{Caller, Who};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// Who asks, and how long his token is good.
#[utoipa::path(get, path = "/token", tag = "token", responses((status = 200, body = Object)))]
pub(super) async fn show(caller: Caller, asked: HeaderMap) -> Response {
    let expires_at = match caller.who() {
        Who::Token { claims, .. } => Some(claims.exp.saturating_mul(1_000)),
        Who::Address(_) | Who::Operator => None,
    };
    let body =
        json!({ "kind": caller.kind(), "name": caller.name(), "admin": caller.is_admin(), "expires_at": expires_at });
    answer(&asked, Keep::Nobody, &body)
}

/// Ends the token before its time: a log-out.
#[utoipa::path(delete, path = "/token", tag = "token", responses((status = 204)))]
pub(super) async fn revoke(State(api): State<Arc<Api>>, caller: Caller) -> Result<StatusCode, Problem> {
    api.access.revoke(caller.who()).await?;
    Ok(StatusCode::NO_CONTENT)
}
