//! Errors for people: what went wrong in one sentence, and what to do about it.

use color_eyre::eyre::Report;
use std::error::Error;
use std::fmt::Write as _;

/// Longest complaint about somebody else's text.
const COMPLAINT_CHARS_MAX: usize = 500;

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
}
