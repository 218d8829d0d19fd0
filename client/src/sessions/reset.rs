//! Tokens that are good for one use.

use super::token::{digest, random};
use super::{Settings, ms};
use crate::error::Result;
use crate::link::Link;
use redis::aio::ConnectionLike;
use redis::{Script, cmd};
use std::sync::LazyLock;
use strat_core::key::check_id;

/// One-time tokens, each a key `reset:{SHA-256 of the token}` with whose it is and what for; and for each user and purpose
/// `reset:latest:{purpose}:{user_id}` with the hash of the latest.
///
/// While Redis does not answer, every call ends with an error. **An error is no permission**: refuse.
#[derive(Clone)]
pub struct ResetTokens<C> {
    link: Link<C>,
    settings: Settings,
}

impl<C: ConnectionLike + Clone + Send + Sync> ResetTokens<C> {
    /// One-time tokens over this connection.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a prefix that cannot be.
    pub fn new(connection: C, settings: &Settings) -> Result<Self> {
        let link = Link::new(connection, &settings.prefix, settings.timeout)?;
        Ok(Self { link, settings: settings.clone() })
    }

    /// A token for this user and purpose, good for [`Settings::reset_ttl`]: 43 characters of base64url, a secret to be sent to
    /// the user alone. An older one for the same user and purpose is not good any more.
    ///
    /// # Errors
    /// `BADFIELD` if user or purpose is no id. Where the outcome is unknown, create another.
    pub async fn create(&self, user_id: &str, purpose: &str) -> Result<String> {
        check_id("user id", user_id)?;
        check_id("purpose", purpose)?;
        let token = random()?;
        let digest = digest(&token);
        let mut script = CREATE.key(self.key(&digest));
        script.key(self.link.key(&["reset:latest:", purpose, ":", user_id]));
        script.arg(self.link.key(&["reset:"])).arg(&digest);
        script.arg([purpose, ":", user_id].concat()).arg(ms(self.settings.reset_ttl));
        self.link.script::<()>(&script).await?;
        Ok(token)
    }

    /// Uses a token up, and answers with the user it was made for. `None`: it is not good, or not any more. A token that is
    /// shown for another purpose than its own is used up as well. One command, so that of two that come at once one gets it.
    ///
    /// # Errors
    /// Where the outcome is unknown, the token may be used up: let the user ask for another.
    pub async fn consume(&self, token: &str, purpose: &str) -> Result<Option<String>> {
        let key = self.key(&digest(token));
        let made_for: Option<String> = self.link.command(cmd("GETDEL").arg(key)).await?;
        // No id has a colon, so the first one ends the purpose.
        let parts = made_for.as_deref().and_then(|made_for| made_for.split_once(':'));
        Ok(parts.filter(|(found, _)| *found == purpose).map(|(_, user)| user.to_owned()))
    }

    fn key(&self, digest: &str) -> String {
        self.link.key(&["reset:", digest])
    }
}

/// The older one goes in the same step: there is no moment in which both are good.
static CREATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/create_reset.lua")));
