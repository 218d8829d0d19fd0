//! Refusals: one stable upper-case code and one line that names the offending argument.

use std::fmt;

/// The first word of every error reply. Stable: clients branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Syntax: wrong number of arguments, unknown option.
    Err,
    /// A field's name or value is not acceptable.
    BadField,
    /// A price is not an exact decimal.
    BadPrice,
    /// `IFVERSION` does not match.
    BadVersion,
    /// The token is not the one that holds the lock.
    BadToken,
    /// The state no longer allows it.
    Busy,
    /// There is no strategy at the key.
    NoStrat,
    /// The caller's epoch is not the current one: reconcile first.
    Unsynced,
    /// The book is being rebuilt.
    Loading,
    /// The key holds another type.
    WrongType,
    /// The queue has no consumer group yet, or not any more.
    NoGroup,
    /// There are as many as there may be.
    Limit,
}

impl Code {
    /// All codes, for tables and parsers.
    pub const ALL: [Self; 12] = [
        Self::Err,
        Self::BadField,
        Self::BadPrice,
        Self::BadVersion,
        Self::BadToken,
        Self::Busy,
        Self::NoStrat,
        Self::Unsynced,
        Self::Loading,
        Self::WrongType,
        Self::NoGroup,
        Self::Limit,
    ];

    /// The code as it stands in replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Err => "ERR",
            Self::BadField => "BADFIELD",
            Self::BadPrice => "BADPRICE",
            Self::BadVersion => "BADVERSION",
            Self::BadToken => "BADTOKEN",
            Self::Busy => "BUSY",
            Self::NoStrat => "NOSTRAT",
            Self::Unsynced => "UNSYNCED",
            Self::Loading => "LOADING",
            Self::WrongType => "WRONGTYPE",
            Self::NoGroup => "NOGROUP",
            Self::Limit => "LIMIT",
        }
    }

    /// What it means, for documentation.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Err => "syntax: wrong number of arguments, an unknown option, a number out of bounds",
            Self::BadField => "a key, a field's name or its value is not acceptable",
            Self::BadPrice => "a price is not an exact decimal",
            Self::BadVersion => "the strategy is at another version than was asked for: read it again",
            Self::BadToken => "the token does not hold the lock (any more): do not act on it",
            Self::Busy => "the state does not allow it now",
            Self::NoStrat => "there is no strategy at the key",
            Self::Unsynced => "memory may have lost writes since this epoch: reconcile first",
            Self::Loading => "the server loads its data, or the module rebuilds its books: try again",
            Self::WrongType => "a key holds another type than it should: rename or delete it",
            Self::NoGroup => "the queue has no consumer group: `XGROUP CREATE <queue> engine 0 MKSTREAM`",
            Self::Limit => "there are as many as there may be: remove some, or raise the limit",
        }
    }

    /// The code that a reply starts with, if it is one of ours.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

/// A refused request. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: Code,
    /// What was wrong and, where it helps, what to do; one line of ASCII.
    pub detail: String,
}

impl Refusal {
    /// A refusal; `detail` is made printable ASCII on one line, whatever a user typed.
    #[must_use]
    pub fn new(code: Code, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref().chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
        Self { code, detail }
    }
}

/// A user's bytes for an error message: printable, at most 40 characters.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("'{}...'", &text[..cut]),
        None => format!("'{text}'"),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Refusal {}
