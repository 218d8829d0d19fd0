//! Errors for people: what went wrong in one sentence, and what to do about it.

use color_eyre::eyre::Report;
use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Longest complaint about somebody else's text.
const COMPLAINT_CHARS_MAX: usize = 500;

/// How the program ends. Stable: scripts branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something failed.
    Failed = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// It was refused, and nothing was changed.
    Refused = 3,
    /// A server that is needed is away.
    Unavailable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows the next step.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// What it came from.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// A report with a next step.
pub fn failure(message: impl Into<String>, hint: impl Into<String>) -> Report {
    Report::new(Failure { message: message.into(), hint: hint.into(), source: None })
}

/// As [`failure`], of what was refused.
pub fn refusal(message: impl Into<String>, hint: impl Into<String>) -> Report {
    ends_with(failure(message, hint), Exit::Refused)
}

/// Says how the program is to end because of this.
pub fn ends_with(report: Report, exit: Exit) -> Report {
    let text = report.to_string();
    report.wrap_err(Ending { exit, text })
}

/// Says nothing that the error behind it does not say.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Ending {
    exit: Exit,
    text: String,
}

/// How the program ends with this error.
#[must_use]
pub fn exit(report: &Report) -> Exit {
    // Added while it was wrapped, so it is asked of the report and not of a cause.
    if let Some(ending) = report.downcast_ref::<Ending>() {
        return ending.exit;
    }
    let away = |cause: &(dyn Error + 'static)| {
        let redis = cause.downcast_ref::<strat_client::Error>().is_some_and(|error| {
            matches!(
                error,
                strat_client::Error::Unavailable { .. }
                    | strat_client::Error::Lost { .. }
                    | strat_client::Error::Timeout { .. }
            )
        });
        let postgres = cause
            .downcast_ref::<sqlx::Error>()
            .is_some_and(|error| matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut));
        redis || postgres
    };
    if report.chain().any(away) { Exit::Unavailable } else { Exit::Failed }
}

/// As [`render`], for programs: one JSON object.
#[must_use]
pub fn render_json(report: &Report) -> String {
    let hints: Vec<_> = hints(report).collect();
    serde_json::json!({"error": sentence(report), "hint": hints.join("; "), "exit_code": exit(report) as u8})
        .to_string()
}

/// Attaches a message and a next step to an error on its way up.
pub trait OrFail<T> {
    /// As `wrap_err`, with a next step.
    ///
    /// # Errors
    /// The error, wrapped.
    fn or_fail(self, message: impl Into<String>, hint: impl Into<String>) -> Result<T, Report>;
}

impl<T, E: Error + Send + Sync + 'static> OrFail<T> for Result<T, E> {
    fn or_fail(self, message: impl Into<String>, hint: impl Into<String>) -> Result<T, Report> {
        self.map_err(|cause| {
            Report::new(Failure { message: message.into(), hint: hint.into(), source: Some(Box::new(cause)) })
        })
    }
}

/// A complaint that may repeat somebody else's text: one line, not longer than a log or a terminal should hold, and
/// nothing that moves a cursor.
pub(crate) fn one_line(complaint: &str) -> String {
    complaint.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COMPLAINT_CHARS_MAX).collect()
}

/// The whole report as one sentence, causes joined by colons, and the hints below it.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = sentence(report);
    for hint in hints(report) {
        let _ = write!(text, "\n  hint: {hint}");
    }
    text
}

/// The whole report as one sentence, for logs.
#[must_use]
pub fn sentence(report: &Report) -> String {
    let mut sentence = String::new();
    for cause in report.chain() {
        let text = cause.to_string().replace('\n', " ");
        // Libraries often repeat their source in their own message.
        if !sentence.contains(&text) {
            let _ = write!(sentence, "{}{text}", if sentence.is_empty() { "" } else { ": " });
        }
    }
    sentence
}

fn hints(report: &Report) -> impl Iterator<Item = &str> {
    report
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Failure>())
        .map(|failure| failure.hint.as_str())
        .filter(|hint| !hint.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn the_sentence_carries_cause_and_hint() {
        let refused: Result<(), io::Error> = Err(io::Error::other("connection refused"));
        let report = refused.or_fail("Postgres is not reachable", "start it").unwrap_err();
        assert_eq!(render(&report), "Postgres is not reachable: connection refused\n  hint: start it");
        assert_eq!(render(&failure("bad", "do this").wrap_err("outer")), "outer: bad\n  hint: do this");
    }

    #[test]
    fn the_way_it_ends_is_told_and_changes_no_words() {
        let refused = refusal("there already", "take another name");
        assert_eq!(render(&refused), "there already\n  hint: take another name");
        assert_eq!(exit(&refused), Exit::Refused);
        assert_eq!(exit(&failure("bad", "")), Exit::Failed);
        let away = strat_client::Error::Unavailable { address: "h:1".to_owned(), reason: "refused".to_owned() };
        let away: Result<(), _> = Err(away);
        let report = away.or_fail("Redis at h:1 cannot be used", "start it").unwrap_err();
        assert_eq!(exit(&report), Exit::Unavailable);
        let text: serde_json::Value = serde_json::from_str(&render_json(&report)).unwrap();
        assert_eq!((text["exit_code"].as_u64(), text["hint"].as_str()), (Some(4), Some("start it")));
        assert!(text["error"].as_str().unwrap().starts_with("Redis at h:1 cannot be used: cannot connect"));
    }
}
