//! Tokens that are not to be taken any more.

use super::token::digest;
use super::{Settings, check_count, ms};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::link::Link;
use redis::aio::ConnectionLike;
use redis::{cmd, pipe};
use std::sync::Arc;

/// Most tokens in one call.
const TOKENS_MAX: usize = 1_000;

/// Revoked tokens, each a key `token_blacklist:{SHA-256 of the token}` that lives as long as the token would have, and
/// [`Settings::revoked_leeway`] more. For tokens that are good by themselves, such as a JWT, until they run out.
///
/// A token is hashed as it is given: leave `Bearer ` out, always. Better still, give the token's id (`jti`): of some tokens,
/// the same one can be spelt in more than one way.
///
/// While Redis does not answer, every call ends with an error. **An error is not "not revoked"**: refuse.
#[derive(Clone)]
pub struct RevokedTokens<C> {
    link: Link<C>,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl<C: ConnectionLike + Clone + Send + Sync> RevokedTokens<C> {
    /// Revoked tokens over this connection.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a prefix that cannot be.
    pub fn new(connection: C, settings: &Settings) -> Result<Self> {
        Self::with_clock(connection, settings, Arc::new(SystemClock))
    }

    /// As [`RevokedTokens::new`], with the clock that tells what is left of a token's life.
    ///
    /// # Errors
    /// As [`RevokedTokens::new`].
    pub fn with_clock(connection: C, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let link = Link::new(connection, &settings.prefix, settings.timeout)?;
        Ok(Self { link, settings: settings.clone(), clock })
    }

    /// Revokes a token that would run out at `expires_at_ms`, epoch ms; a JWT's `exp` is in seconds. `false`: it has run out
    /// already, leeway included, and nothing is kept.
    ///
    /// # Errors
    /// Where the outcome is unknown, repeat it: the token may still be good.
    pub async fn revoke(&self, token: &str, expires_at_ms: i64) -> Result<bool> {
        let left = expires_at_ms.saturating_add(ms(self.settings.revoked_leeway)).saturating_sub(self.clock.now_ms());
        if left <= 0 {
            return Ok(false);
        }
        self.link.command::<()>(cmd("SET").arg(self.key(token)).arg(1).arg("PX").arg(left)).await?;
        Ok(true)
    }

    /// Whether a token was revoked.
    ///
    /// # Errors
    /// Whatever the connection says; the token is not to be taken then.
    pub async fn is_revoked(&self, token: &str) -> Result<bool> {
        self.link.command(cmd("EXISTS").arg(self.key(token))).await
    }

    /// Whether each of these was revoked, in one round trip; at most 1,000.
    ///
    /// # Errors
    /// As [`RevokedTokens::is_revoked`], and `BADFIELD` for more.
    pub async fn are_revoked(&self, tokens: &[&str]) -> Result<Vec<bool>> {
        check_count("tokens", tokens.len(), TOKENS_MAX)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = pipe();
        tokens.iter().for_each(|token| {
            ask.exists(self.key(token));
        });
        self.link.pipeline(&ask).await
    }

    fn key(&self, token: &str) -> String {
        self.link.key(&["token_blacklist:", &digest(token)])
    }
}
