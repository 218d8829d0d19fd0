//! The cache's commands.
//!
//! A computation holds a lock with a token of its own, and its value is stored only while the lock is still that. An
//! invalidation removes the lock together with the value: what was computed before it finds its lock gone.
//!
//! A tag has a generation, a random text at a key of its own; a value names the generations that its tags had before it
//! was computed, and counts only while they are the same. So invalidating a tag removes one key, however many values
//! carry it, and a generation that Redis evicts makes values miss; a set of keys that is evicted would leave them standing.

use super::names::Names;
use super::settings::{CacheSettings, millis};
use crate::error::{Error, Result};
use crate::shared::in_time;
use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Script, Value, cmd, pipe};
use std::sync::LazyLock;
use std::time::Duration;

/// Looks once more, and takes the lock where there is no value; in one step, or two processes would both find nothing.
/// KEYS: value, lock, generations. ARGV: token, the lock's life, the generations' life, a value that is of no use.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local value = redis.call('GET', KEYS[1])
        if value == ARGV[4] then value = false end
        local mine = not value and redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
        local reply = {mine and 1 or 0, value}
        for i = 3, #KEYS do
            local generation = redis.call('GET', KEYS[i])
            if mine and not generation then
                generation = ARGV[1]
                redis.call('SET', KEYS[i], generation, 'PX', ARGV[3])
            end
            reply[i] = generation
        end
        return reply",
    )
});

/// Stores what was computed if the lock is still ours and no tag was invalidated meanwhile, and gives the lock back. The
/// generations outlive the value. KEYS: value, lock, generations. ARGV: token, value, its life, generations.
static STORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[2])
        for i = 3, #KEYS do
            if redis.call('GET', KEYS[i]) ~= ARGV[i + 1] then return 0 end
        end
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        for i = 3, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[3], 'GT') end
        return 1",
    )
});

/// Gives the lock back if it is still ours. KEYS: lock. ARGV: token.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
});

pub(super) struct Remote<C> {
    connection: C,
    names: Names,
    timeout: Option<Duration>,
    lock_ttl: Duration,
}

/// What stands at a value's key and at those of its tags.
pub(super) struct Found {
    pub(super) text: Option<Vec<u8>>,
    pub(super) generations: Vec<Value>,
}

pub(super) enum Claim {
    /// The lock is ours.
    Mine,
    /// A value came meanwhile.
    Found(Found),
    /// Another has the lock.
    Taken,
}

impl<C: ConnectionLike + Clone + Send + Sync> Remote<C> {
    pub(super) fn new(connection: C, names: Names, settings: &CacheSettings) -> Self {
        Self { connection, names, timeout: settings.timeout, lock_ttl: settings.lock_ttl }
    }

    /// Where invalidations are told.
    pub(super) fn channel(&self) -> &str {
        self.names.channel()
    }

    pub(super) async fn read(&self, key: &str, tags: &[String]) -> Result<Found> {
        let mut connection = self.connection.clone();
        if tags.is_empty() {
            let mut get = cmd("GET");
            get.arg(self.names.value(key));
            let text = in_time(self.timeout, get.query_async(&mut connection)).await?;
            return Ok(Found { text, generations: Vec::new() });
        }
        let mut get = cmd("MGET");
        get.arg(self.names.value(key));
        tags.iter().for_each(|tag| {
            get.arg(self.names.tag(tag));
        });
        let reply: Vec<Value> = in_time(self.timeout, get.query_async(&mut connection)).await?;
        found(reply)
    }

    /// With the generations of the tags, if the lock is ours. `useless`: a value that was looked at and is not to be taken;
    /// empty if there was none.
    pub(super) async fn claim(
        &self,
        key: &str,
        tags: &[String],
        token: &str,
        ttl: Duration,
        useless: &[u8],
    ) -> Result<(Claim, Vec<String>)> {
        let mut call = CLAIM.key(self.names.value(key));
        call.key(self.names.lock(key)).arg(token).arg(millis(self.lock_ttl));
        call.arg(millis(ttl.saturating_add(self.lock_ttl))).arg(useless);
        tags.iter().for_each(|tag| {
            call.key(self.names.tag(tag));
        });
        let mut reply: Vec<Value> = in_time(self.timeout, call.invoke_async(&mut self.connection.clone())).await?;
        if reply.is_empty() {
            return Err(Error::BadReply("the claim of a cached value was answered with nothing".to_owned()));
        }
        let mine = reply.remove(0) == Value::Int(1);
        let found = found(reply)?;
        match (mine, &found.text) {
            (true, _) => Ok((Claim::Mine, texts(found.generations)?)),
            (false, Some(_)) => Ok((Claim::Found(found), Vec::new())),
            (false, None) => Ok((Claim::Taken, Vec::new())),
        }
    }

    /// Whether it was stored. The tags come with the generations that they had when the lock was taken.
    pub(super) async fn store<'a>(
        &self,
        key: &str,
        token: &str,
        tags: impl Iterator<Item = (&'a String, &'a String)> + Send,
        text: &str,
        ttl: Duration,
    ) -> Result<bool> {
        let mut call = STORE.key(self.names.value(key));
        call.key(self.names.lock(key)).arg(token).arg(text).arg(millis(ttl));
        for (tag, generation) in tags {
            call.key(self.names.tag(tag)).arg(generation);
        }
        in_time(self.timeout, call.invoke_async(&mut self.connection.clone())).await
    }

    pub(super) async fn release(&self, key: &str, token: &str) -> Result<()> {
        let mut call = RELEASE.key(self.names.lock(key));
        call.arg(token);
        in_time(self.timeout, call.invoke_async(&mut self.connection.clone())).await
    }

    /// Whether a value with this tag may be there, or may be being computed.
    pub(super) async fn is_tagged(&self, tag: &str) -> Result<bool> {
        let mut exists = cmd("EXISTS");
        exists.arg(self.names.tag(tag));
        in_time(self.timeout, exists.query_async(&mut self.connection.clone())).await
    }

    /// Removes and tells, in one transaction: whoever hears of it finds nothing old.
    pub(super) async fn invalidate(&self, keys: &[&str], tags: &[&str], message: &str) -> Result<()> {
        let mut unlink = cmd("UNLINK");
        for key in keys {
            unlink.arg(self.names.value(key)).arg(self.names.lock(key));
        }
        tags.iter().for_each(|tag| {
            unlink.arg(self.names.tag(tag));
        });
        let mut both = pipe();
        both.atomic().add_command(unlink).ignore().cmd("PUBLISH").arg(self.names.channel()).arg(message).ignore();
        in_time(self.timeout, both.query_async(&mut self.connection.clone())).await
    }
}

fn found(reply: Vec<Value>) -> Result<Found> {
    let mut reply = reply.into_iter();
    let Some(text) = reply.next() else {
        return Err(Error::BadReply("the look at a cached value was answered with nothing".to_owned()));
    };
    Ok(Found { text: Option::from_redis_value(text).map_err(redis::RedisError::from)?, generations: reply.collect() })
}

fn texts(values: Vec<Value>) -> Result<Vec<String>> {
    let texts = values.into_iter().map(String::from_redis_value).collect::<std::result::Result<_, _>>();
    Ok(texts.map_err(redis::RedisError::from)?)
}
