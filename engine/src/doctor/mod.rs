//! `doctor`: what is missing, and how to get it.

mod broker;
mod machine;
mod postgres;
mod redis;
mod rights;

use crate::config::{BrokerKind, Settings};
use std::path::Path;
use std::time::Duration;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It works, but something may be lost.
    Warn,
    /// It does not work.
    Fail,
}

impl Mark {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the doctor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it ended.
    pub mark: Mark,
    /// What was looked at, and what was found.
    pub what: String,
    /// How to get it right; empty where it is.
    pub fix: String,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, what: what.into(), fix: String::new() }
    }

    fn warn(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { mark: Mark::Warn, what: what.into(), fix: fix.into() }
    }

    fn fail(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { mark: Mark::Fail, what: what.into(), fix: fix.into() }
    }

    /// As it is printed.
    #[must_use]
    pub fn line(&self) -> String {
        let line = format!("{:4}  {}", self.mark.as_str(), self.what);
        if self.fix.is_empty() { line } else { format!("{line}\n      fix: {}", self.fix) }
    }
}

/// Looks at everything that the engine needs.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let server_ms = redis::examine(settings, &mut findings).await;
    postgres::examine(settings, &mut findings).await;
    findings.push(road(settings).await);
    match settings.accounts() {
        Ok(accounts) => {
            for (user, account) in accounts {
                let found = road(&account).await;
                findings.push(Finding { what: format!("{user}: {}", found.what), ..found });
            }
        }
        Err(error) => findings.push(Finding::fail(format!("the accounts of users: {error:#}"), "see docs/brokers.md")),
    }
    findings.push(machine::zones());
    findings.push(machine::calendars(settings));
    findings.push(machine::clock(server_ms));
    findings
}

/// The road to the broker of one account.
async fn road(settings: &Settings) -> Finding {
    match settings.broker.kind {
        BrokerKind::Paper => ledger(&settings.paper_ledger),
        BrokerKind::Bridge => broker::bridge(settings).await,
        BrokerKind::Alpaca => broker::alpaca(settings).await,
        BrokerKind::Kite => broker::kite(settings).await,
        BrokerKind::Binance => broker::binance(settings).await,
    }
}

fn ledger(path: &Path) -> Finding {
    let name = path.display();
    let opened = std::fs::OpenOptions::new().append(true).open(path);
    let writable = match &opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Nothing is left behind: the file is only tried where it would be.
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            tempfile_in(folder)
        }
        _ => opened.map(drop),
    };
    match writable {
        Ok(()) => Finding::ok(format!("the paper broker's ledger {name} can be written")),
        Err(error) => Finding::fail(
            format!("the paper broker's ledger {name} cannot be written: {error}"),
            "set paper.ledger (STRAT_PAPER_LEDGER) to a file in a folder of yours",
        ),
    }
}

fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".strat-doctor-{}", std::process::id()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)
}
