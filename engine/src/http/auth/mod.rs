//! Who asks: an operator with `http.token`, a user or an admin with a token of his own, or, where no secret is set, whoever is
//! on this machine.

mod caller;
mod limits;
mod refusals;

pub(super) use caller::{Caller, Who};
pub(super) use limits::Limits;
pub(super) use refusals::Refusals;

use super::answer::Problem;
use super::api::{Api, Redis};
use crate::config::{HttpSettings, is_set};
use crate::token::{Claims, Keys};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use color_eyre::Result;
use secrecy::{ExposeSecret as _, SecretString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use strat_client::sessions::{self, RevokedTokens};

/// Longest id of a token that is looked up.
const JTI_BYTES_MAX: usize = 256;

/// Who may ask.
pub(super) struct Access {
    operator: SecretString,
    keys: Option<Keys>,
    is_loopback: bool,
    revoked: RevokedTokens<Redis>,
}

impl Access {
    /// # Errors
    /// Where the client's settings cannot be; they are its defaults.
    pub(super) fn new(settings: &HttpSettings, listening: IpAddr, redis: Redis) -> Result<Self> {
        Ok(Self {
            operator: settings.token.clone(),
            keys: is_set(&settings.jwt_secret).then(|| Keys::new(&settings.jwt_secret)),
            is_loopback: listening.is_loopback(),
            revoked: RevokedTokens::new(redis, &sessions::Settings::default())?,
        })
    }

    /// Who asks, as far as that can be told without Redis. Who has guessed too often is not told whether he has found the
    /// operator's token, which may be a word that somebody chose; users' tokens are signed, and nobody guesses one.
    fn identify(&self, headers: &HeaderMap, peer: IpAddr, may_guess: bool) -> Result<Who, Problem> {
        if !is_set(&self.operator) && self.keys.is_none() {
            return if self.is_loopback && !by_foreign_page(headers) {
                Ok(Who::Address(peer))
            } else {
                Err(no_token_set())
            };
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given =
            given.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| unauthorized("give a bearer token"))?;
        if may_guess && is_set(&self.operator) && is_same(self.operator.expose_secret().as_bytes(), given.as_bytes()) {
            return Ok(Who::Operator);
        }
        let keys = self.keys.as_ref().ok_or_else(|| unauthorized("this is not http.token"))?;
        let claims = keys.verify(given).map_err(|why| unauthorized(why.to_string()))?;
        Ok(Who::Token { claims: Arc::new(claims), text: Arc::from(given) })
    }

    /// Whether the token was revoked since it was issued. Where nobody can say, it is not taken.
    pub(super) async fn check_revoked(&self, who: &Who) -> Result<(), Problem> {
        let Who::Token { claims, text } = who else { return Ok(()) };
        match self.revoked.are_revoked(&names(text, claims)).await {
            Ok(found) if found.contains(&true) => Err(unauthorized("the token was revoked: get a new one")),
            Ok(_) => Ok(()),
            Err(error) => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "REDIS_UNAVAILABLE",
                format!(
                    "whether the token was revoked cannot be told, so it is not taken now; keep it and try again: {error}"
                ),
            )),
        }
    }

    /// Ends a token before its time.
    pub(super) async fn revoke(&self, who: &Who) -> Result<bool, Problem> {
        let Who::Token { claims, text } = who else {
            return Err(Problem::bad_request(
                "only a user's token can be revoked; http.token is changed in the settings",
            ));
        };
        let expires_at_ms = i64::try_from(claims.exp).unwrap_or(i64::MAX).saturating_mul(1_000);
        Ok(self.revoked.revoke(text, expires_at_ms).await?)
    }
}

/// By what a token may have been revoked: its text, and its id where it has one.
fn names<'a>(text: &'a str, claims: &'a Claims) -> Vec<&'a str> {
    let jti = claims.jti.as_deref().filter(|jti| (1..=JTI_BYTES_MAX).contains(&jti.len()));
    [Some(text), jti].into_iter().flatten().collect()
}

/// Lets a request in, or refuses it; what is let in knows who asks.
pub(super) async fn authorize(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let counted = |why| api.refusals.count(peer, why);
    let who = api.access.identify(request.headers(), peer, api.refusals.may_guess(peer)).map_err(counted)?;
    api.access.check_revoked(&who).await.map_err(counted)?;
    let taken = api.limits.take(&who, request.method().is_safe()).await?;
    request.extensions_mut().insert(Caller::new(who));
    let mut response = next.run(request).await;
    taken.write(response.headers_mut());
    Ok(response)
}

fn no_token_set() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "NO_TOKEN_SET",
        "pages of other sites, and everybody where the engine listens beyond this machine, need a token: set http.token (STRAT_HTTP_TOKEN) or http.jwt_secret (STRAT_HTTP_JWT_SECRET)",
    )
}

fn unauthorized(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", detail)
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// Whether a browser asks for a page that is not this engine's own. A page whose name was made to lead here names itself as the
/// host; one on another port of this machine is of another origin.
fn by_foreign_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST).unwrap_or_default();
    let own = |origin: &str| origin.strip_prefix("http://") == Some(host);
    !is_this_machine(host) || (headers.contains_key(ORIGIN) && !text(ORIGIN).is_some_and(own))
}

/// Whether a `Host` names this machine.
fn is_this_machine(host: &str) -> bool {
    let port_less = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = port_less.map_or(host, |(name, _)| name);
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Takes as long for a wrong token as for the right one of its length, so that nothing can be guessed from the time.
fn is_same(token: &[u8], given: &[u8]) -> bool {
    let differs = token.iter().zip(given).fold(0, |differs, (a, b)| differs | (a ^ b));
    token.len() == given.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests;
