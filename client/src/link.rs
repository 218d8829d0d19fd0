//! What families of keys share: a connection that is cloned for each call, a prefix for every key, and a limit on waiting.

use crate::error::Result;
use crate::shared::{check_prefix, in_time};
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, Script, ScriptInvocation};
use std::time::Duration;

/// The command's name, the script's hash and the number of its keys.
const EVALSHA_BYTES: usize = 50;

#[derive(Debug, Clone)]
pub(crate) struct Link<C> {
    connection: C,
    prefix: String,
    timeout: Option<Duration>,
}

impl<C: ConnectionLike + Clone + Send + Sync> Link<C> {
    /// # Errors
    /// [`crate::Error::Config`] for a prefix that cannot be.
    pub(crate) fn new(connection: C, prefix: &str, timeout: Option<Duration>) -> Result<Self> {
        check_prefix(prefix)?;
        Ok(Self { connection, prefix: prefix.to_owned(), timeout })
    }

    /// Without a prefix: who makes the keys puts one before them.
    pub(crate) const fn bare(connection: C, timeout: Option<Duration>) -> Self {
        Self { connection, prefix: String::new(), timeout }
    }

    /// The prefix and the parts, one after the other.
    pub(crate) fn key(&self, parts: &[&str]) -> String {
        let length = self.prefix.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut key = String::with_capacity(length);
        key.push_str(&self.prefix);
        key.extend(parts.iter().copied());
        key
    }

    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection.clone();
        in_time(self.timeout, command.query_async(&mut connection)).await
    }

    pub(crate) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        let mut connection = self.connection.clone();
        in_time(self.timeout, pipeline.query_async(&mut connection)).await
    }

    /// As [`Link::script`], for what is called with every request: the command is made in one piece.
    pub(crate) async fn evaluate<T: FromRedisValue>(
        &self,
        script: &Script,
        (keys, args): (&[&str], &[&str]),
    ) -> Result<T> {
        let texts = || keys.iter().chain(args).copied();
        let bytes = EVALSHA_BYTES + texts().map(str::len).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + keys.len() + args.len(), bytes);
        command.arg("EVALSHA").arg(script.get_hash()).arg(keys.len());
        for text in texts() {
            command.arg(text);
        }
        let mut connection = self.connection.clone();
        let reply = async {
            match command.query_async(&mut connection).await {
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    let mut script = script.prepare_invoke();
                    for key in keys {
                        script.key(*key);
                    }
                    for arg in args {
                        script.arg(*arg);
                    }
                    // Apart: it happens once, and would make every call's future larger.
                    Box::pin(script.invoke_async(&mut connection)).await
                }
                reply => reply,
            }
        };
        in_time(self.timeout, reply).await
    }

    /// By its hash; a server that does not know the script is given it.
    pub(crate) async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.connection.clone();
        in_time(self.timeout, script.invoke_async(&mut connection)).await
    }
}
