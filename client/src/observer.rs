//! Somebody who is told of each request: for metrics.

use redis::{Cmd, RedisError, Value};
use std::time::Duration;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered.
    Answered,
    /// The server answered with an error.
    Refused,
    /// It was not sent, or no answer came: for a write that was sent, the outcome is unknown.
    Failed,
}

impl Outcome {
    /// In lower case, as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn of<T>(reply: &Result<T, RedisError>) -> Self {
        match reply {
            Ok(_) => Self::Answered,
            Err(error) if error.code().is_some() => Self::Refused,
            Err(_) => Self::Failed,
        }
    }
}

/// Is told of each request of a [`crate::Connection`] when it has ended, wherever it waited.
pub trait Observer: Send + Sync {
    /// `command` is the first word of the request, of several in one piece that of the first; `took` counts from when the
    /// request was made. Must not block.
    fn ended(&self, command: &str, took: Duration, outcome: Outcome);
}

/// The first word of a command.
pub(crate) fn name_of(command: &Cmd) -> &str {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(word)) => str::from_utf8(word).unwrap_or_default(),
        _ => "",
    }
}

/// A refusal of one of several commands stands among the replies.
pub(crate) fn of_replies(replies: &Result<Vec<Value>, RedisError>) -> Outcome {
    match replies {
        Ok(all) if all.iter().any(|reply| matches!(reply, Value::ServerError(_))) => Outcome::Refused,
        other => Outcome::of(other),
    }
}
