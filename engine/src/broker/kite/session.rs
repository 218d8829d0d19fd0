//! The access token of the day: where it is kept, until when it is good, and what is wrong with it.
//!
//! A person logs in with a browser and gets a request token; `strat-engine kite login` exchanges it
//! (<https://kite.trade/docs/connect/v3/user/>) and writes the access token into a file that only its owner may read. A
//! running engine takes a new one from there by itself. All access tokens end at six in the morning in India.

use super::time::{TOKENS_END, next, shown};
use crate::broker::Complaint;
use crate::clock::Clock;
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

/// Read and write for the owner, nothing for others.
const MODE: u32 = 0o600;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Between two looks at the file of whoever waits for a login.
pub(super) const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// A token's end is announced so long before.
const ANNOUNCED_MS: i64 = 60 * 60 * 1_000;

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    api_key: String,
    access_token: String,
    login_ms: i64,
}

/// Why there is no token that could be used; each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// Nobody has logged in yet.
    #[error("there is no access token in {}: log in with `strat-engine kite login`", .0.display())]
    Missing(PathBuf),
    /// It is not what this engine wrote.
    #[error("{} holds no access token ({why}): log in with `strat-engine kite login`", .path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Others could trade with it.
    #[error("{} may be read by others than its owner: chmod 600 it, and log in anew if others had access", .0.display())]
    Open(PathBuf),
    /// It is of another app.
    #[error("the access token in {} is of another kite.api_key: log in with `strat-engine kite login`", .0.display())]
    OtherKey(PathBuf),
    /// Its day is over.
    #[error("the access token has ended at {0}: log in with `strat-engine kite login`")]
    Expired(String),
    /// Kite does not know it any more, before its day is over.
    #[error("Kite refuses the access token, as after a login elsewhere: log in with `strat-engine kite login`")]
    Refused,
}

/// Whether orders can be sent, for health and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// With a token that is good for a while.
    Good,
    /// Not for long any more.
    EndsSoon(String),
    /// Not now.
    Without(NoToken),
}

impl Standing {
    /// What a person should see to.
    #[must_use]
    pub fn complaint(&self) -> Option<Complaint> {
        match self {
            Self::Good => None,
            Self::EndsSoon(at) => {
                let text =
                    format!("Kite's access token ends at {at}: log in with `strat-engine kite login` after that");
                Some(Complaint { text, urgent: false })
            }
            Self::Without(why) => Some(Complaint { text: why.to_string(), urgent: true }),
        }
    }
}

/// The access token, read from its file whenever that changes.
pub(crate) struct Session {
    path: PathBuf,
    api_key: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the file was when it was read: time of its last change, and length.
    read: Option<(SystemTime, u64)>,
    token: Option<Result<Token, NoToken>>,
    /// What Kite has refused last.
    refused: Option<SecretString>,
}

#[derive(Clone)]
struct Token {
    text: SecretString,
    ends_ms: i64,
}

impl Session {
    pub(crate) fn new(path: &Path, api_key: &str, clock: Arc<dyn Clock>) -> Self {
        Self { path: path.to_owned(), api_key: api_key.to_owned(), clock, state: Mutex::default() }
    }

    /// The token to send.
    pub(crate) fn token(&self) -> Result<SecretString, NoToken> {
        self.current().map(|token| token.text)
    }

    /// Waits for a login, which somebody else asks for.
    pub(crate) async fn logged_in(&self) {
        while self.token().is_err() {
            sleep(LOOKED_AT_EVERY).await;
        }
    }

    /// Kite has taken this one, or refused it. It is shown all the same the next time: no exit shall wait because of one
    /// odd answer, and a request without a login does no harm.
    pub(crate) fn judged(&self, token: &SecretString, taken: bool) {
        self.lock().refused = (!taken).then(|| token.clone());
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.current() {
            Err(why) => Standing::Without(why),
            Ok(token) if self.is_refused(&token) => Standing::Without(NoToken::Refused),
            Ok(token) if token.ends_ms.saturating_sub(ANNOUNCED_MS) <= self.clock.now_ms() => {
                Standing::EndsSoon(shown(token.ends_ms))
            }
            Ok(_) => Standing::Good,
        }
    }

    fn current(&self) -> Result<Token, NoToken> {
        let mut state = self.lock();
        let found = fs::metadata(&self.path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        if found.is_none() || state.read != found {
            state.token = None;
        }
        let token = state.token.get_or_insert_with(|| self.load()).clone()?;
        state.read = found;
        if token.ends_ms <= self.clock.now_ms() {
            return Err(NoToken::Expired(shown(token.ends_ms)));
        }
        Ok(token)
    }

    fn is_refused(&self, token: &Token) -> bool {
        self.lock().refused.as_ref().is_some_and(|refused| refused.expose_secret() == token.text.expose_secret())
    }

    fn load(&self) -> Result<Token, NoToken> {
        let path = || self.path.clone();
        let unreadable = |why: String| NoToken::Unreadable { path: path(), why };
        let file = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NoToken::Missing(path())),
            found => found.map_err(|error| unreadable(error.to_string()))?,
        };
        if file.permissions().mode() & 0o077 != 0 {
            return Err(NoToken::Open(path()));
        }
        if file.len() > FILE_BYTES_MAX {
            return Err(unreadable("it is too long".to_owned()));
        }
        let text = fs::read(&self.path).map_err(|error| unreadable(error.to_string()))?;
        // Not the parser's words: they may repeat the token.
        let kept: Kept = serde_json::from_slice(&text).map_err(|_| unreadable("not as it was written".to_owned()))?;
        if kept.api_key != self.api_key {
            return Err(NoToken::OtherKey(path()));
        }
        Ok(Token { text: kept.access_token.into(), ends_ms: next(TOKENS_END, kept.login_ms) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a token into the file; answers until when it is good, for people.
///
/// A reader sees the old file or the new one, and at no moment may others read it.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn keep(path: &Path, api_key: &str, access_token: &str, login_ms: i64) -> io::Result<String> {
    let kept = Kept { api_key: api_key.to_owned(), access_token: access_token.to_owned(), login_ms };
    write_private(path, &serde_json::to_vec(&kept)?)?;
    Ok(shown(next(TOKENS_END, login_ms)))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let mut beside = name.to_owned();
    beside.push(".new");
    let beside = folder.join(beside);
    // One that a login left behind when it was killed.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// What proves to Kite that whoever exchanges a request token knows the app's secret: a SHA-256 in hexadecimal.
pub(super) fn checksum(api_key: &str, request_token: &str, secret: &SecretString) -> String {
    let text = [api_key, request_token, secret.expose_secret()].concat();
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}
