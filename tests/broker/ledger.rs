//! The ledger: everything that was asked and done, one JSON per line, on the disk before anybody is answered.

use crate::wire::Side;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// What a line records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// A request for an order came in.
    Submit,
    /// It became an order.
    Accept,
    /// It was a repeat; `order_no` is the order that it repeats.
    Duplicate,
    /// Refused at once (no `order_no`), or rejected after it was acknowledged.
    Reject,
    /// Some quantity was filled.
    Fill,
    /// The rest was cancelled; the reason says by whom.
    Cancel,
    /// A request for a cancellation came in.
    CancelRequest,
    /// A request for an order's state came in; the reason says what was answered.
    Lookup,
    /// A lie was told, or will be; the reason names it.
    Lie,
    /// The harness changed a price (`symbol`, `price`) or the lies (`reason`).
    Control,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) ts: i64,
    pub(crate) event: Event,
    pub(crate) client_order_id: String,
    pub(crate) user: String,
    pub(crate) symbol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) side: Option<Side>,
    /// Of the order; of a fill, what this fill filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quantity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) price: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The broker's own number: two orders of one id have two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order_no: Option<u64>,
}

impl Line {
    /// A line with a name, to be filled in.
    pub(crate) fn new(ts: i64, event: Event) -> Self {
        Self {
            ts,
            event,
            client_order_id: String::new(),
            user: String::new(),
            symbol: String::new(),
            side: None,
            quantity: None,
            price: None,
            reason: None,
            order_no: None,
        }
    }

    pub(crate) fn reason(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

pub(crate) struct Ledger(File);

impl Ledger {
    /// Opens or creates the file and reads what is in it. A last line without an end was never answered to anybody.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Line>), String> {
        let shown = path.display();
        let failed = |error: std::io::Error| format!("the ledger {shown}: {error}");
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| format!("the ledger {shown} is in use: {error}"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let lines = bytes[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
        let lines = lines.map(|(index, line)| {
            serde_json::from_slice(line).map_err(|error| format!("the ledger {shown}, line {}: {error}", index + 1))
        });
        let lines = lines.collect::<Result<_, _>>()?;
        Ok((Self(file), lines))
    }

    /// Writes lines, all on the disk when this returns.
    pub(crate) fn append(&mut self, lines: &[Line]) {
        self.write(lines);
        self.must(self.0.sync_data());
    }

    /// Writes lines that need only survive a kill of this process.
    pub(crate) fn note(&mut self, lines: &[Line]) {
        self.write(lines);
    }

    fn write(&mut self, lines: &[Line]) {
        let mut text = Vec::with_capacity(lines.len() * 240);
        for line in lines {
            // Cannot fail: strings and integers only.
            serde_json::to_writer(&mut text, line).unwrap_or_default();
            text.push(b'\n');
        }
        let written = self.0.write_all(&text);
        self.must(written);
    }

    /// A broker that cannot keep its books must not trade, nor answer.
    #[allow(clippy::exit, reason = "nothing may happen after this")]
    fn must(&self, done: std::io::Result<()>) {
        if let Err(error) = done {
            eprintln!("simbroker: cannot write the ledger: {error}");
            std::process::exit(1);
        }
    }
}
