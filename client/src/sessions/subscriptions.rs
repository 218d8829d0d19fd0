//! What the WebSocket connections of a user listen to.

use super::{Settings, bad_field, check_count, check_name, ms};
use crate::error::Result;
use crate::link::Link;
use crate::shared::keyed;
use redis::aio::ConnectionLike;
use redis::{Pipeline, Script, cmd, pipe};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use strat_core::key::check_id;

/// Longest name of a channel, in bytes.
const CHANNEL_BYTES_MAX: usize = 128;

/// Most digits of a time to live.
const DIGITS_MAX: usize = 20;

/// Subscriptions of users: a set of channels for each connection, `subscriptions:{user_id}:{connection_id}`, and the set of a
/// user's connections, `subscriptions:{user_id}`.
///
/// Each connection's set has a life of its own, so that what a process that died has left goes, whatever the user's other
/// connections do. All keys live for [`Settings::subscriptions_ttl`] after the last heartbeat. An empty set is no key in Redis:
/// a connection without channels is one that is not there.
///
/// While Redis does not answer, every call ends with an error; a server of WebSockets goes on with what it holds in memory,
/// and subscribes anew once [`Subscriptions::heartbeat`] answers `false`.
#[derive(Clone)]
pub struct Subscriptions<C> {
    link: Link<C>,
    settings: Settings,
}

impl<C: ConnectionLike + Clone + Send + Sync> Subscriptions<C> {
    /// Subscriptions over this connection.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a prefix that cannot be.
    pub fn new(connection: C, settings: &Settings) -> Result<Self> {
        let link = Link::new(connection, &settings.prefix, settings.timeout)?;
        Ok(Self { link, settings: settings.clone() })
    }

    /// Adds channels to a connection, which counts as a heartbeat. A channel is 1 to 128 printable ASCII bytes without blanks.
    ///
    /// # Errors
    /// `BADFIELD`, and nothing is added, for ids and channels that cannot be, and where it would be more channels or
    /// connections than the settings allow. Safe to repeat.
    pub async fn subscribe(&self, user_id: &str, connection_id: &str, channels: &[&str]) -> Result<()> {
        let (own, all) = self.keys(user_id, connection_id)?;
        let most = self.settings.channels_max;
        check_count("channels", channels.len(), most)?;
        channels.iter().try_for_each(|channel| check_name("channel", channel, CHANNEL_BYTES_MAX))?;
        if channels.is_empty() {
            return Ok(());
        }
        let mut script = SUBSCRIBE.key(own);
        script.key(&all).arg([&all, ":"].concat()).arg(connection_id);
        script.arg(ms(self.settings.subscriptions_ttl)).arg(self.settings.connections_max).arg(most).arg(channels);
        match self.link.script::<String>(&script).await?.as_str() {
            "connections" => {
                Err(bad_field(format!("the user has {} connections already", self.settings.connections_max)))
            }
            "channels" => Err(bad_field(format!("it would be more than {most} channels; unsubscribe from some first"))),
            _ => Ok(()),
        }
    }

    /// Removes channels of a connection. Answers how many were there.
    ///
    /// # Errors
    /// `BADFIELD` for ids that cannot be. Safe to repeat.
    pub async fn unsubscribe(&self, user_id: &str, connection_id: &str, channels: &[&str]) -> Result<u64> {
        let own = self.own(user_id, connection_id)?;
        check_count("channels", channels.len(), self.settings.channels_max)?;
        if channels.is_empty() {
            return Ok(0);
        }
        self.link.command(cmd("SREM").arg(own).arg(channels)).await
    }

    /// Keeps a connection's subscriptions alive. `false`: there are none (any more); subscribe again to what it listens to.
    ///
    /// # Errors
    /// `BADFIELD` for ids that cannot be. Safe to repeat.
    pub async fn heartbeat(&self, user_id: &str, connection_id: &str) -> Result<bool> {
        let (own, all) = self.keys(user_id, connection_id)?;
        let ttl = ms(self.settings.subscriptions_ttl);
        let mut both = Pipeline::with_capacity(2);
        for key in [own, all] {
            let mut prolong = keyed("PEXPIRE", &key, (1, DIGITS_MAX));
            prolong.arg(ttl);
            both.add_command(prolong);
        }
        let (own, all): (bool, bool) = self.link.pipeline(&both).await?;
        Ok(own && all)
    }

    /// Removes all that a connection listens to, at its end. `false`: there was nothing.
    ///
    /// # Errors
    /// `BADFIELD` for ids that cannot be. Safe to repeat; what is not removed goes by itself.
    pub async fn disconnect(&self, user_id: &str, connection_id: &str) -> Result<bool> {
        let (own, all) = self.keys(user_id, connection_id)?;
        let (removed,) = self.link.pipeline(pipe().unlink(own).srem(all, connection_id).ignore()).await?;
        Ok(removed)
    }

    /// What a connection listens to.
    ///
    /// # Errors
    /// `BADFIELD` for ids that cannot be.
    pub async fn of_connection(&self, user_id: &str, connection_id: &str) -> Result<BTreeSet<String>> {
        let own = self.own(user_id, connection_id)?;
        self.link.command(cmd("SMEMBERS").arg(own)).await
    }

    /// What each connection of a user listens to.
    ///
    /// # Errors
    /// `BADFIELD` for a user id that cannot be.
    pub async fn of_user(&self, user_id: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
        check_id("user id", user_id)?;
        let all = self.all(user_id);
        let mut script = LIST.key(&all);
        let found: Vec<(String, BTreeSet<String>)> = self.link.script(script.arg([&all, ":"].concat())).await?;
        Ok(found.into_iter().collect())
    }

    /// The keys of a connection and of its user.
    fn keys(&self, user_id: &str, connection_id: &str) -> Result<(String, String)> {
        Ok((self.own(user_id, connection_id)?, self.all(user_id)))
    }

    fn own(&self, user_id: &str, connection_id: &str) -> Result<String> {
        check_id("user id", user_id)?;
        check_id("connection id", connection_id)?;
        Ok(self.link.key(&["subscriptions:", user_id, ":", connection_id]))
    }

    fn all(&self, user_id: &str) -> String {
        self.link.key(&["subscriptions:", user_id])
    }
}

/// Counts and adds in one step: two at once could not pass the bounds together. Connections whose set ran out are taken out of
/// the user's first.
static SUBSCRIBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/subscribe.lua")));

/// In one step, so that the answer is of one moment. Connections whose set ran out are taken out on the way.
static LIST: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/list_subscriptions.lua")));
