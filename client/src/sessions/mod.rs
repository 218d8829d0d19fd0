//! Sessions, preferences, subscriptions, revoked tokens and one-time tokens.
//!
//! - [`Sessions`]: logins that end by themselves, when unused or at a greatest age
//! - [`Preferences`]: a user's small settings
//! - [`Subscriptions`]: what each WebSocket connection of a user listens to
//! - [`RevokedTokens`]: tokens that are not to be taken any more although they are signed and in time
//! - [`ResetTokens`]: tokens that are good for one use, such as setting a new password
//!
//! **Secrets are not stored.** A session's token and a one-time token are 256 random bits, and Redis has only their SHA-256:
//! whoever reads Redis, a backup or a replication stream cannot log in with what he finds. There is no salt and no slow hash,
//! because there is nothing to guess. Looking a hash up also leaves nothing to time.
//!
//! **Without Redis nobody is let in.** Every call then answers with an error, [`crate::Error::Unavailable`] where the request
//! was not sent, and none of them ever means "valid". Refuse the request, with HTTP's 503 and not 401, so that clients keep
//! their tokens.
//!
//! Run the server with `maxmemory-policy noeviction`: a forgotten revocation would let a token in again.

mod preferences;
mod reset;
mod revoked;
mod session;
mod settings;
mod store;
mod subscriptions;
mod token;

pub use preferences::Preferences;
pub use reset::ResetTokens;
pub use revoked::RevokedTokens;
pub use session::Session;
pub use settings::Settings;
pub use store::Sessions;
pub use subscriptions::Subscriptions;
pub use token::SessionToken;

use crate::error::{Error, Result};
use std::time::Duration;
use strat_core::{Code, Refusal};

/// Redis counts in whole milliseconds, and a key cannot live for none.
fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn bad_field(detail: impl AsRef<str>) -> Error {
    Refusal::new(Code::BadField, detail).into()
}

/// Checks a text of a user's: a name or a value that Redis is to keep.
fn check_text(what: &str, text: &str, bytes_max: usize) -> Result<()> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err(bad_field(format!("{what} has {} bytes; at most {bytes_max} are kept", text.len())))
}

/// Checks the name of a field or a channel.
fn check_name(what: &str, name: &str, bytes_max: usize) -> Result<()> {
    if (1..=bytes_max).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    let shown = strat_core::refusal::shown(name.as_bytes());
    Err(bad_field(format!("{what} {shown} must be 1 to {bytes_max} printable ASCII bytes without blanks")))
}

/// Checks how many things are given at once.
fn check_count(what: &str, count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(bad_field(format!("{count} {what} are given; at most {most} are kept")))
}
