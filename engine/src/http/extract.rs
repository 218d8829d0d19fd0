//! What a request carries, read or refused as a problem.

use super::answer::Problem;
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use strat_core::key::is_id;

/// Rows on a page unless said.
const PAGE: i64 = 100;
/// Most of them.
const PAGE_MAX: i64 = 500;

/// The query.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(read)| Self(read)).map_err(|why| Problem::bad_request(why.body_text()))
    }
}

/// The body, which is JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Json::<T>::from_request(request, state).await;
        body.map(|Json(read)| Self(read)).map_err(|why| match why.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Problem::bad_request(why.body_text()),
        })
    }
}

/// A body beyond what is read.
pub(super) fn too_large() -> Problem {
    let most = super::BODY_BYTES_MAX;
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", format!("a body has at most {most} bytes"))
}

/// How many rows are asked for.
pub(super) fn page_size(asked: Option<i64>) -> Result<i64, Problem> {
    match asked {
        None => Ok(PAGE),
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("limit is not 1 to {PAGE_MAX}"))),
    }
}

/// A cursor that is a number.
pub(super) fn number(cursor: Option<&str>) -> Result<Option<i64>, Problem> {
    cursor.map(|text| text.parse().map_err(|_| bad_cursor())).transpose()
}

/// A cursor of two parts.
pub(super) fn pair(cursor: Option<&str>) -> Result<Option<(&str, &str)>, Problem> {
    cursor.map(|text| text.split_once(':').ok_or_else(bad_cursor)).transpose()
}

/// A cursor of a user's id and a strategy's.
pub(super) fn id_pair(cursor: Option<&str>) -> Result<Option<(&str, &str)>, Problem> {
    match pair(cursor)? {
        Some((user, strategy)) if !is_id(user) || !is_id(strategy) => Err(bad_cursor()),
        ids => Ok(ids),
    }
}

/// Where the next page begins; `None` where a page that is not full was the last.
pub(super) fn next_cursor<T>(rows: &[T], limit: i64, cursor: impl FnOnce(&T) -> String) -> Option<String> {
    let is_last = (rows.len() as i64) < limit;
    rows.last().filter(|_| !is_last).map(cursor)
}

pub(super) fn bad_cursor() -> Problem {
    Problem::bad_request("cursor is not one of this list's: give back what the last page said")
}

/// Whether text can go to Postgres, which keeps no NUL.
pub(super) fn no_nul(text: Option<&str>) -> Result<(), Problem> {
    match text {
        Some(text) if text.contains('\0') => Err(Problem::bad_request("a NUL is no part of any id, symbol or cursor")),
        _ => Ok(()),
    }
}
