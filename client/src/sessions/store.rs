//! Logins that end by themselves.

use super::session::{CREATED_AT, ENDS_AT, SEEN_AT, check_data};
use super::{Session, SessionToken, Settings, bad_field, ms, token};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::link::Link;
use crate::shared::keyed;
use redis::aio::ConnectionLike;
use redis::{Pipeline, Script, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use strat_core::key::check_id;

/// Sessions of users, each a hash `session:user:{user_id}:{SHA-256 of the token}`, and an index of each user's,
/// `session:index:{user_id}`, a sorted set by the time they began.
///
/// A session is valid while its hash lives **and** the index names it, so that whatever happens to the one or the other ends
/// it. The scripts run alone: between the look at an index and the write nobody else creates or ends a session.
///
/// While Redis does not answer, every call ends with an error. **An error is no permission**: refuse.
#[derive(Clone)]
pub struct Sessions<C> {
    link: Link<C>,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl<C: ConnectionLike + Clone + Send + Sync> Sessions<C> {
    /// Sessions over this connection.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a prefix that cannot be.
    pub fn new(connection: C, settings: &Settings) -> Result<Self> {
        Self::with_clock(connection, settings, Arc::new(SystemClock))
    }

    /// As [`Sessions::new`], with the clock that tells a session's age.
    ///
    /// # Errors
    /// As [`Sessions::new`].
    pub fn with_clock(connection: C, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let link = Link::new(connection, &settings.prefix, settings.timeout)?;
        Ok(Self { link, settings: settings.clone(), clock })
    }

    /// Begins a session; the token goes to the client. Where the user has [`Settings::sessions_max`], the oldest ends.
    ///
    /// # Errors
    /// `BADFIELD` for a user id or data that cannot be. Where the outcome is unknown, there may be a session to whose token
    /// nobody has the text; it ends by itself.
    pub async fn create(&self, user_id: &str, data: &[(&str, &str)]) -> Result<SessionToken> {
        check_data(&self.settings, data)?;
        let token = SessionToken::new(user_id)?;
        let (id, now, age_ms) = (token.id(), self.clock.now_ms(), ms(self.settings.age_max));
        let stem = self.stem(user_id);
        let mut script = CREATE.key([stem.as_str(), &id].concat());
        script.key(self.index(user_id)).arg(&stem).arg(&id);
        script.arg(now).arg(ms(self.settings.idle_ttl).min(age_ms)).arg(age_ms).arg(self.settings.sessions_max.max(1));
        script.arg(CREATED_AT).arg(now).arg(SEEN_AT).arg(now).arg(ENDS_AT).arg(now.saturating_add(age_ms));
        data.iter().for_each(|(name, value)| {
            script.arg(name).arg(value);
        });
        self.link.script::<()>(&script).await?;
        Ok(token)
    }

    /// The session of a token; `None` where the token is not good, or not any more. It is not touched.
    ///
    /// # Errors
    /// Whatever the connection says; nobody is let in by it.
    pub async fn get(&self, token: &str) -> Result<Option<Session>> {
        let Some(user) = token::user_of(token) else { return Ok(None) };
        let id = token::digest(token);
        let mut ask = Pipeline::with_capacity(2);
        let mut score = keyed("ZSCORE", &self.index(user), (1, id.len()));
        score.arg(&id);
        ask.add_command(keyed("HGETALL", &self.key(user, &id), (0, 0))).add_command(score);
        let (fields, listed): (BTreeMap<String, String>, Value) = self.link.pipeline(&ask).await?;
        let session = Session::read(user, &id, fields)?;
        Ok(session.filter(|session| listed != Value::Nil && self.clock.now_ms() < session.ends_at_ms))
    }

    /// As [`Sessions::get`], where it is known whose session it has to be: `None` for another user's.
    ///
    /// # Errors
    /// As [`Sessions::get`].
    pub async fn get_for(&self, user_id: &str, token: &str) -> Result<Option<Session>> {
        if token::user_of(token) != Some(user_id) {
            return Ok(None);
        }
        self.get(token).await
    }

    /// The session of a token, which lives [`Settings::idle_ttl`] from now on, but never beyond its greatest age. One round
    /// trip: this is what a request is let in by.
    ///
    /// # Errors
    /// As [`Sessions::get`].
    pub async fn touch(&self, token: &str) -> Result<Option<Session>> {
        let Some(user) = token::user_of(token) else { return Ok(None) };
        let id = token::digest(token);
        let (key, index) = (self.key(user, &id), self.index(user));
        let (now, idle) = (self.clock.now_ms().to_string(), ms(self.settings.idle_ttl).to_string());
        let fields = self.link.evaluate(&TOUCH, (&[&key, &index], &[&id, &now, &idle])).await?;
        Session::read(user, &id, fields)
    }

    /// Lets a session end after this time, if it would not end before; touching does not prolong it beyond that. `false`: there
    /// is no such session.
    ///
    /// # Errors
    /// As [`Sessions::get`]. Safe to repeat.
    pub async fn expire(&self, token: &str, after: Duration) -> Result<bool> {
        let Some(user) = token::user_of(token) else { return Ok(false) };
        let mut script = EXPIRE.key(self.key(user, &token::digest(token)));
        script.arg(self.clock.now_ms().saturating_add(ms(after))).arg(ms(after));
        self.link.script(&script).await
    }

    /// All sessions of a user, the oldest first.
    ///
    /// # Errors
    /// `BADFIELD` for a user id that cannot be, else as [`Sessions::get`].
    pub async fn list(&self, user_id: &str) -> Result<Vec<Session>> {
        check_id("user id", user_id)?;
        let mut script = LIST.key(self.index(user_id));
        let listed: Vec<(String, BTreeMap<String, String>)> = self.link.script(script.arg(self.stem(user_id))).await?;
        let now = self.clock.now_ms();
        let read = listed.into_iter().filter_map(|(id, fields)| Session::read(user_id, &id, fields).transpose());
        read.filter(|read| read.as_ref().map_or(true, |session| now < session.ends_at_ms)).collect()
    }

    /// Ends the session of a token. `false`: there was none.
    ///
    /// # Errors
    /// As [`Sessions::get`]. Where the outcome is unknown, repeat it: the session may still be valid.
    pub async fn delete(&self, token: &str) -> Result<bool> {
        match token::user_of(token) {
            Some(user) => self.end(user, &token::digest(token)).await,
            None => Ok(false),
        }
    }

    /// Ends a session of a user by its [`Session::id`], as a list of logins shows it. `false`: there was none.
    ///
    /// # Errors
    /// `BADFIELD` for ids that cannot be, else as [`Sessions::delete`].
    pub async fn delete_listed(&self, user_id: &str, id: &str) -> Result<bool> {
        check_id("user id", user_id)?;
        if !token::is_digest(id) {
            return Err(bad_field("a session's id must be 64 hexadecimal digits, as Session::id has it"));
        }
        self.end(user_id, id).await
    }

    async fn end(&self, user_id: &str, id: &str) -> Result<bool> {
        let mut end = Pipeline::with_capacity(2);
        let mut unlist = keyed("ZREM", &self.index(user_id), (1, id.len()));
        unlist.arg(id);
        end.add_command(unlist).ignore().add_command(keyed("UNLINK", &self.key(user_id, id), (0, 0)));
        let (ended,) = self.link.pipeline(&end).await?;
        Ok(ended)
    }

    /// Ends all sessions of a user, as after a new password. Answers how many there were.
    ///
    /// # Errors
    /// `BADFIELD` for a user id that cannot be, else as [`Sessions::delete`].
    pub async fn delete_all(&self, user_id: &str) -> Result<u64> {
        check_id("user id", user_id)?;
        let mut script = DELETE_ALL.key(self.index(user_id));
        self.link.script(script.arg(self.stem(user_id))).await
    }

    fn stem(&self, user_id: &str) -> String {
        self.link.key(&["session:user:", user_id, ":"])
    }

    fn key(&self, user_id: &str, id: &str) -> String {
        self.link.key(&["session:user:", user_id, ":", id])
    }

    fn index(&self, user_id: &str) -> String {
        self.link.key(&["session:index:", user_id])
    }
}

// The keys of a user's other sessions are made in the scripts, from a stem: which they are is only known there.

/// Takes the ended ones out of the index, ends the oldest where there are too many, writes the new one. The index lives as long
/// as the newest session can.
static CREATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/create.lua")));

/// A plain `HSET` would bring a session back to life that ended a moment before.
static TOUCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/touch.lua")));

/// Only ever sooner, and not for a session that is gone.
static EXPIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/expire.lua")));

/// Takes the ended ones out of the index on the way.
static LIST: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/list.lua")));

/// The index goes in the same step, so that a session created meanwhile is either ended or whole.
static DELETE_ALL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/delete_all.lua")));
