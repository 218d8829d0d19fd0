//! What entries are held against, and how things stand.

use super::Api;
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::Caller;
use crate::http::extract::{Body, Params};
use crate::risk::{RiskError, Standing};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use strat_core::key::is_id;
use strat_core::risk::{LIMIT_NAMES, Limits};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    /// Whose; a user may leave it out.
    user_id: Option<String>,
}

/// How a day went so far, before costs.
#[derive(Debug, Serialize, ToSchema)]
struct Day {
    /// Earned by the day's exits.
    realised: String,
    /// What is open, at its last price.
    open: String,
    /// Both together.
    total: String,
    /// The worst that was today: what the daily loss is held against.
    worst: String,
}

/// Limits, and what is held against them.
#[derive(Debug, Serialize, ToSchema)]
struct Stands {
    /// By name; `none` where nothing is limited.
    limits: BTreeMap<String, String>,
    /// Entries on their way included.
    open_positions: u64,
    orders_last_minute: u64,
    /// Null where something is held that has no price.
    day: Option<Day>,
}

/// How a user stands, and the account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Risk {
    user_id: String,
    user: Stands,
    /// All users together; their amounts are for admins.
    account: Option<Stands>,
    /// Whether somebody halted entries: this user's or everybody's.
    halted: bool,
}

/// What a user is limited to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLimits {
    /// By name; `none` lifts one. What is left out is as the settings say for everybody.
    limits: BTreeMap<String, String>,
}

/// What a user is limited to now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Limited {
    user_id: String,
    limits: BTreeMap<String, String>,
}

/// What a user's entries are held against, and how he stands. An admin also sees the account.
#[utoipa::path(get, path = "/risk", tag = "risk", params(Whose), responses((status = 200, body = Risk)))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(whose): Params<Whose>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = caller.tenant(whose.user_id.as_deref())?;
    let account = if caller.is_admin() { Some(stands(api.risk.standing(None).await?)) } else { None };
    let halted =
        [None, Some(user.as_str())].into_iter().filter_map(|user| api.halt.state(user)).any(|halt| halt.halted);
    let standing = api.risk.standing(Some(&user)).await?;
    let risk = Risk { user_id: user, user: stands(standing), account, halted };
    Ok(answer(&headers, Keep::Nobody, &json!(risk)))
}

/// Sets what a user is limited to; holds from the next entry on, in every engine.
#[utoipa::path(put, path = "/admin/risk/{user_id}", tag = "admin", params(("user_id" = String, Path)), request_body = NewLimits,
    responses((status = 200, body = Limited), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn limit(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(user_id): Path<String>,
    Body(new): Body<NewLimits>,
) -> Result<Json<Limited>, Problem> {
    caller.only_admins()?;
    if !is_id(&user_id) {
        return Err(Problem::bad_request("user_id is not 1 to 128 of A-Z a-z 0-9 _ . @ -"));
    }
    let by = format!("{} {}", caller.kind(), caller.name());
    let limits = api.risk.limit(&user_id, &new.limits, by.trim_end()).await?;
    let limits = limits.map_err(Problem::bad_request)?;
    Ok(Json(Limited { user_id, limits: texts(&limits) }))
}

fn stands(Standing { limits, counts, day }: Standing) -> Stands {
    let day = day.map(|day| Day {
        realised: day.realised.to_string(),
        open: day.open.to_string(),
        total: day.total().to_string(),
        worst: day.worst.to_string(),
    });
    let (open_positions, orders_last_minute) = (counts.open_positions, counts.orders_last_minute);
    Stands { limits: texts(&limits), open_positions, orders_last_minute, day }
}

fn texts(limits: &Limits) -> BTreeMap<String, String> {
    LIMIT_NAMES.iter().map(|name| ((*name).to_owned(), limits.text(name))).collect()
}

impl From<RiskError> for Problem {
    fn from(error: RiskError) -> Self {
        match error {
            RiskError::Postgres(error) => error.into(),
            RiskError::Redis(error) => {
                let detail = format!("Redis does not answer: {error}; try again");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "REDIS_UNAVAILABLE", detail)
            }
            RiskError::Bad(why) => {
                tracing::error!(why, "how things stand cannot be told");
                Self::internal()
            }
        }
    }
}
