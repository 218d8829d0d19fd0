//! What can go wrong, sorted by what the caller may conclude from it.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use std::io;
use strat_core::{Code, Refusal};

/// Result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
///
/// Three questions matter to a caller, and each has a method: may the same request be sent again later
/// ([`Error::is_retryable`]), may it have been carried out all the same ([`Error::outcome_unknown`]), and which
/// refusal of the module was it ([`Error::code`]).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The module refused the request. Nothing was written.
    #[error("{} {detail}", code.as_str())]
    Refused {
        /// Stable code to branch on.
        code: Code,
        /// One line that names the offending argument.
        detail: String,
    },
    /// Redis itself refused the request: `NOPERM`, `READONLY`, `OOM`, `MISCONF`, `NOREPLICAS`, `MOVED`, ... Nothing was written.
    #[error("the server answered {code}: {detail}")]
    Server {
        /// First word of the error reply.
        code: String,
        /// The rest of it.
        detail: String,
    },
    /// No connection could be made, so the request was never sent.
    #[error("cannot connect to Redis at {address}: {reason}")]
    Unavailable {
        /// Where we tried.
        address: String,
        /// What the attempt ended with, and what to look at.
        reason: String,
    },
    /// The connection broke after the request was handed to it: it may or may not have been carried out.
    #[error("connection to Redis lost, the outcome of the request is unknown: {source}")]
    Lost {
        /// What broke.
        source: RedisError,
    },
    /// No reply came in time. **This is not a refusal**: the request may have been, or may yet be, carried out.
    #[error("no reply from Redis in time, the outcome of the request is unknown: {source}")]
    Timeout {
        /// The timeout that struck.
        source: RedisError,
    },
    /// The reply has a shape that this version of the client does not understand. The request was carried out.
    #[error("unexpected reply: {0}; client and module may be of different versions")]
    BadReply(String),
    /// A setting is not usable.
    #[error("bad configuration: {0}")]
    Config(String),
    /// The server runs without the strat module.
    #[error(
        "the Redis server has no strat module: start it with --loadmodule /path/to/libstrat.so, \
         or add that line (without the dashes) to its redis.conf"
    )]
    ModuleMissing,
    /// The server's module speaks another version of the commands.
    #[error(
        "the strat module is version {found}, this client needs {wanted}: install the libstrat.so that belongs to this release"
    )]
    ModuleVersion {
        /// What the server has.
        found: String,
        /// What this client works with.
        wanted: String,
    },
}

impl Error {
    /// The module's refusal code, if it was one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the request was certainly not carried out and may succeed unchanged after a pause.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Refused { code, .. } => *code == Code::Loading,
            Self::Server { code, .. } => matches!(
                code.as_str(),
                "BUSY" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "OOM" | "MISCONF" | "NOREPLICAS"
            ),
            _ => false,
        }
    }

    /// Whether the request may have been carried out although no usable answer came.
    ///
    /// Reads may simply be repeated. Of the writes, `REPORT` with cumulative quantities, `DUE`, `EXTEND`, `UNLOCK` and
    /// `DEL` are safe to repeat; before repeating another write, read the strategy and compare its version.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Timeout { .. } | Self::BadReply(_))
    }

    /// A refusal by the rules, found before anything was sent.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self::Refused { code: refusal.code, detail: refusal.detail }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal)
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if let Some(NotSent { address, reason }) = not_sent(&error) {
            return Self::Unavailable { address: address.clone(), reason: reason.clone() };
        }
        match error.kind() {
            _ if error.is_timeout() => Self::Timeout { source: error },
            ErrorKind::Io => Self::Lost { source: error },
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::BadReply(error.to_string()),
            ErrorKind::InvalidClientConfig | ErrorKind::AuthenticationFailed | ErrorKind::RESP3NotSupported => {
                Self::Config(error.to_string())
            }
            ErrorKind::ClusterConnectionNotFound => {
                Self::Unavailable { address: "the cluster".to_owned(), reason: error.to_string() }
            }
            _ => match error.code() {
                Some(code) => of_reply(code, error.detail().unwrap_or_default()),
                None => Self::BadReply(error.to_string()),
            },
        }
    }
}

/// Sorts an error reply. Redis' own replies share three words with the module's codes.
fn of_reply(code: &str, detail: &str) -> Error {
    let ours = Code::parse(code);
    // While a script runs too long Redis answers everything with `BUSY Redis is busy running a script`.
    // Taken for the module's BUSY it would make a worker drop an exit.
    let script = ours == Some(Code::Busy) && detail.starts_with("Redis is busy");
    let unknown = ours == Some(Code::Err) && detail.to_ascii_lowercase().starts_with("unknown command 'strat.");
    match ours {
        _ if unknown => Error::ModuleMissing,
        Some(code) if !script => Error::Refused { code, detail: detail.to_owned() },
        _ => Error::Server { code: code.to_owned(), detail: detail.to_owned() },
    }
}

/// Marks an error of a request that never left this process.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot connect to Redis at {address}: {reason}")]
pub(crate) struct NotSent {
    pub(crate) address: String,
    pub(crate) reason: String,
}

/// Carries the mark through a [`RedisError`], because the `redis` crate's connection trait has room for
/// nothing else. An I/O error shows the source of what it wraps, hence the second layer.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
struct Carrier {
    source: NotSent,
}

impl From<NotSent> for RedisError {
    fn from(source: NotSent) -> Self {
        io::Error::new(io::ErrorKind::NotConnected, Carrier { source }).into()
    }
}

/// Whether trying again cannot help: the settings are wrong, or the server will not have us.
pub(crate) fn is_settled(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported
    )
}

/// Why no connection could be made, and what to do about it.
pub(crate) fn why_not(error: &RedisError) -> String {
    let next = handshake(error).unwrap_or("is the server running, and is the address right?");
    format!("{error}; {next}")
}

/// What to do about a TLS handshake that failed; `None` where it was something else.
pub(crate) fn handshake(error: &RedisError) -> Option<&'static str> {
    #[cfg(feature = "tls")]
    return crate::tls::next_step(error);
    #[cfg(not(feature = "tls"))]
    {
        let _ = error;
        None
    }
}

/// Whether a server answered, to the request or to a part of it, that it is a replica.
pub(crate) fn is_read_only(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.kind() == Some(ServerErrorKind::ReadOnly)))
}

fn not_sent(error: &RedisError) -> Option<&NotSent> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(mark) = error.downcast_ref() {
            return Some(mark);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Error {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err().into()
    }

    #[test]
    fn every_code_of_the_module_is_recognized_with_its_text() {
        for code in Code::ALL {
            match reply(&format!("{} quantity '0' must be above 0", code.as_str())) {
                Error::Refused { code: found, detail } => {
                    assert_eq!((found, detail.as_str()), (code, "quantity '0' must be above 0"));
                }
                other => panic!("{code:?} became {other:?}"),
            }
        }
    }

    #[test]
    fn busy_of_a_running_script_is_not_the_modules_busy() {
        let error = reply("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
        assert_eq!(error.code(), None);
        assert!(error.is_retryable() && !error.outcome_unknown(), "{error}");
    }

    #[test]
    fn refusals_of_redis_itself_keep_their_word() {
        for (line, retryable) in [
            ("READONLY You can't write against a read only replica.", true),
            ("OOM command not allowed when used memory > 'maxmemory'.", true),
            ("NOREPLICAS Not enough good replicas to write.", true),
            ("NOPERM User alice has no permissions to run the 'strat.get' command", false),
        ] {
            let error = reply(line);
            assert!(matches!(&error, Error::Server { code, .. } if line.starts_with(code.as_str())), "{error:?}");
            assert_eq!((error.is_retryable(), error.outcome_unknown()), (retryable, false), "{line}");
        }
    }

    #[test]
    fn an_unknown_command_means_that_the_module_is_missing() {
        let error = reply("ERR unknown command 'STRAT.GET', with args beginning with: 'user:a:strategy:s' ");
        assert!(matches!(error, Error::ModuleMissing), "{error:?}");
        assert!(error.to_string().contains("--loadmodule"));
    }

    #[test]
    fn a_timeout_and_a_lost_connection_leave_the_outcome_open() {
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset] {
            let error = Error::from(RedisError::from(io::Error::from(kind)));
            assert!(error.outcome_unknown() && !error.is_retryable(), "{error:?}");
        }
    }

    #[test]
    fn a_request_that_was_never_sent_is_told_apart() {
        let marker = NotSent { address: "127.0.0.1:1".into(), reason: "refused".into() };
        let error = Error::from(RedisError::from(marker));
        assert!(error.is_retryable() && !error.outcome_unknown(), "{error:?}");
    }
}
