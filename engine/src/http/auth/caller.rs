//! A caller, and what of whom he may see.

use crate::http::answer::Problem;
use crate::token::{Claims, Role};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use std::net::IpAddr;
use std::sync::Arc;
use strat_core::key::check_id;

/// Who asks.
#[derive(Clone)]
pub(in crate::http) enum Who {
    /// Whoever is on this machine, where no secret is set. He may do everything.
    Address(IpAddr),
    /// By `http.token`. He may do everything.
    Operator,
    /// By a token of his own.
    Token {
        /// What it says.
        claims: Arc<Claims>,
        /// As it was shown.
        text: Arc<str>,
    },
}

/// A request's caller, as an extractor.
#[derive(Clone)]
pub(in crate::http) struct Caller {
    who: Who,
}

impl Caller {
    pub(super) fn new(who: Who) -> Self {
        Self { who }
    }

    pub(in crate::http) fn who(&self) -> &Who {
        &self.who
    }

    /// What he is, for the audit: `user`, `admin`, `operator` or `address`.
    pub(in crate::http) fn kind(&self) -> &'static str {
        match &self.who {
            Who::Address(_) => "address",
            Who::Operator => "operator",
            Who::Token { claims, .. } => claims.role.as_str(),
        }
    }

    /// His name, for the audit.
    pub(in crate::http) fn name(&self) -> String {
        match &self.who {
            Who::Address(address) => address.to_string(),
            Who::Operator => String::new(),
            Who::Token { claims, .. } => claims.sub.clone(),
        }
    }

    pub(in crate::http) fn is_admin(&self) -> bool {
        !matches!(&self.who, Who::Token { claims, .. } if claims.role == Role::User)
    }

    /// Refuses everybody but admins.
    pub(in crate::http) fn only_admins(&self) -> Result<(), Problem> {
        match self.is_admin() {
            true => Ok(()),
            false => Err(Problem::new(StatusCode::FORBIDDEN, "ADMINS_ONLY", "this is for the role admin")),
        }
    }

    /// Whose data he asks for, where it must be one user's.
    pub(in crate::http) fn tenant(&self, asked: Option<&str>) -> Result<String, Problem> {
        let own = match &self.who {
            Who::Token { claims, .. } => Some(claims.sub.clone()),
            Who::Address(_) | Who::Operator => None,
        };
        self.tenants(asked)?
            .or(own)
            .ok_or_else(|| Problem::bad_request("whose? say user_id, or ask with a user's token"))
    }

    /// Whose data he asks for; `None` for everybody's. A user has his own, and of others there is nothing, whether or not they
    /// exist.
    pub(in crate::http) fn tenants(&self, asked: Option<&str>) -> Result<Option<String>, Problem> {
        match (&self.who, asked) {
            (Who::Token { claims, .. }, asked) if claims.role == Role::User => match asked {
                Some(asked) if asked != claims.sub => {
                    Err(Problem::not_found("there is no such user, or not for this token"))
                }
                _ => Ok(Some(claims.sub.clone())),
            },
            (_, None) => Ok(None),
            (_, Some(asked)) => {
                check_id("user_id", asked).map_err(|why| Problem::bad_request(why.to_string()))?;
                Ok(Some(asked.to_owned()))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Every route below /api is behind `authorize`, which puts it there.
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "nobody was asked who this is"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(user: &str, role: Role) -> Caller {
        let claims = Claims { sub: user.to_owned(), role, exp: u64::MAX, iat: None, jti: None };
        Caller::new(Who::Token { claims: Arc::new(claims), text: Arc::from("t") })
    }

    #[test]
    fn a_user_has_his_own_and_of_others_there_is_nothing() {
        let alice = token("alice", Role::User);
        assert_eq!(alice.tenant(None).unwrap(), "alice");
        assert_eq!(alice.tenants(None).unwrap().as_deref(), Some("alice"));
        assert_eq!(alice.tenant(Some("alice")).unwrap(), "alice");
        for other in ["bob", "", "a*", "Alice"] {
            assert_eq!(alice.tenants(Some(other)).unwrap_err().status(), StatusCode::NOT_FOUND, "{other}");
        }
        assert_eq!(alice.only_admins().unwrap_err().status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn an_admin_says_whose_or_has_all() {
        let admin = token("root", Role::Admin);
        assert_eq!((admin.tenants(None).unwrap(), admin.tenant(None).unwrap()), (None, "root".to_owned()));
        assert_eq!(admin.tenant(Some("bob")).unwrap(), "bob");
        assert_eq!(admin.tenant(Some("a*")).unwrap_err().status(), StatusCode::BAD_REQUEST);
        let operator = Caller::new(Who::Operator);
        assert!(operator.only_admins().is_ok() && operator.tenant(None).is_err());
        assert_eq!(operator.tenants(None).unwrap(), None);
    }
}
