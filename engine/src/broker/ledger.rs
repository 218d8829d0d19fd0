//! The paper broker's own books: one JSON per line, appended and synced to the disk before anybody is answered.
//!
//! After a crash the broker knows its orders from here, as a real one would. Tests read it as the neutral
//! witness: an order sent twice would show as two `accept` lines of one client order id.

use super::OrderSide;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use strat_core::{Price, Quantity};

/// What a line records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerEvent {
    /// A request came in.
    Submit,
    /// It became an order.
    Accept,
    /// A request for an order that exists; it was answered with that order.
    Duplicate,
    /// It was refused.
    Reject,
    /// Some quantity was filled.
    Fill,
    /// The rest was cancelled.
    Cancel,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Epoch ms.
    pub ts: i64,
    /// What happened.
    pub event: LedgerEvent,
    /// Client order id.
    pub client_order_id: String,
    /// Whose account.
    pub user: String,
    /// Exchange symbol.
    pub symbol: String,
    /// BUY or SELL.
    pub side: OrderSide,
    /// Quantity of the order; of a fill, what this fill filled. A decimal string.
    pub quantity: String,
    /// Price of a fill, a decimal string; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// Worst price at which the order fills, a decimal string; absent: any price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Reason of a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file cannot be opened, read or written.
    #[error("the paper broker's ledger {}: {source}", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another engine has it open.
    #[error("the paper broker's ledger {} is in use by another engine; stop that one, or set another file (paper.ledger)", path.display())]
    InUse {
        /// File.
        path: PathBuf,
    },
    /// A line in the middle does not parse. The torn end of a crash is not that.
    #[error("the paper broker's ledger {}, line {line}: {reason}; move the file away to start with empty books", path.display())]
    Malformed {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The books.
#[derive(Debug)]
pub enum Ledger {
    /// A file that survives the process.
    File {
        /// Open for appending, locked against other processes.
        file: File,
        /// Where it is.
        path: PathBuf,
    },
    /// Memory only, for replays, where the same input gives the same books again.
    Memory(Vec<LedgerLine>),
}

impl Ledger {
    /// Opens or creates a ledger and reads what is in it. A last line torn by a crash was never answered to anybody
    /// and is cut off.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(path: &Path) -> Result<(Self, Vec<LedgerLine>), LedgerError> {
        let io = |source| LedgerError::Io { path: path.to_owned(), source };
        let exists = path.try_exists().map_err(io)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        if !exists {
            sync_folder(path).map_err(io)?;
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = parse(&bytes[..whole], path)?;
        if whole < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - whole, "cut a torn last line off the ledger");
            file.set_len(whole as u64).map_err(io)?;
            file.seek(SeekFrom::End(0)).map_err(io)?;
            file.sync_all().map_err(io)?;
        }
        Ok((Self::File { file, path: path.to_owned() }, lines))
    }

    /// Books in memory.
    #[must_use]
    pub const fn in_memory() -> Self {
        Self::Memory(Vec::new())
    }

    /// Writes lines, all on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Io`]; then nothing may be answered to anybody.
    pub fn append(&mut self, lines: Vec<LedgerLine>) -> Result<(), LedgerError> {
        match self {
            Self::Memory(all) => {
                all.extend(lines);
                Ok(())
            }
            Self::File { file, path } => {
                let mut text = Vec::with_capacity(lines.len() * 200);
                for line in &lines {
                    // Cannot fail: strings and integers only.
                    serde_json::to_writer(&mut text, line).unwrap_or_default();
                    text.push(b'\n');
                }
                let before = file.metadata().map(|metadata| metadata.len());
                let written = file.write_all(&text).and_then(|()| file.sync_data());
                if let (Err(_), Ok(before)) = (&written, before) {
                    // Half a line would spoil the next one. If this fails as well, opening finds the bad line.
                    let _ = file.set_len(before);
                }
                written.map_err(|source| LedgerError::Io { path: path.clone(), source })
            }
        }
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<LedgerLine>, LedgerError> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            let read = serde_json::from_slice(line).map_err(|error| error.to_string());
            read.and_then(|line| check(&line).map(|()| line)).map_err(|reason| LedgerError::Malformed {
                path: path.to_owned(),
                line: index + 1,
                reason,
            })
        })
        .collect()
}

/// A number that does not parse would be an order, or a fill, of nothing; one below 0 would take a fill back.
fn check(line: &LedgerLine) -> Result<(), String> {
    let booked = matches!(line.event, LedgerEvent::Accept | LedgerEvent::Fill);
    // What was refused may have been refused for that.
    let parse = if booked { Quantity::parse_positive } else { Quantity::parse };
    parse(line.quantity.as_bytes()).map_err(|why| format!("quantity '{}' {why}", line.quantity))?;
    let price = |name: &str, text: &str| {
        Price::parse(text.as_bytes()).map(drop).map_err(|why| format!("{name} '{text}' {why}"))
    };
    line.limit.as_deref().map_or(Ok(()), |limit| price("limit", limit))?;
    match (&line.price, line.event) {
        (Some(text), _) => price("price", text),
        (None, LedgerEvent::Fill) => Err("a fill needs a price".to_owned()),
        (None, _) => Ok(()),
    }
}

/// Makes a new file's name as durable as what will be in it.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, event: LedgerEvent) -> LedgerLine {
        LedgerLine {
            ts: 1,
            event,
            client_order_id: id.into(),
            user: "alice".into(),
            symbol: "IBM".into(),
            side: OrderSide::Buy,
            quantity: "5".into(),
            price: None,
            limit: None,
            reason: None,
        }
    }

    #[test]
    fn a_line_has_the_documented_shape() {
        let text =
            serde_json::to_string(&LedgerLine { price: Some("1.5".into()), ..line("A1", LedgerEvent::Fill) }).unwrap();
        assert_eq!(
            text,
            r#"{"ts":1,"event":"fill","client_order_id":"A1","user":"alice","symbol":"IBM","side":"BUY","quantity":"5","price":"1.5"}"#
        );
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_a_bad_one_in_the_middle_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.jsonl");
        let (mut ledger, lines) = Ledger::open(&path).unwrap();
        assert!(lines.is_empty());
        ledger.append(vec![line("A1", LedgerEvent::Submit), line("A1", LedgerEvent::Accept)]).unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::InUse { .. })));
        drop(ledger);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"ts\":2,\"ev").unwrap();
        let (mut ledger, lines) = Ledger::open(&path).unwrap();
        assert_eq!(lines, [line("A1", LedgerEvent::Submit), line("A1", LedgerEvent::Accept)]);
        ledger.append(vec![line("A2", LedgerEvent::Submit)]).unwrap();
        drop(ledger);
        assert_eq!(Ledger::open(&path).unwrap().1.len(), 3);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Ledger::open(&path).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_number_that_does_not_parse_is_an_error_that_names_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.jsonl");
        let good = line("A1", LedgerEvent::Accept);
        let priced =
            |price: Option<&str>| LedgerLine { price: price.map(str::to_owned), ..line("A1", LedgerEvent::Fill) };
        for (bad, complaint) in [
            (LedgerLine { quantity: "5x".into(), ..good.clone() }, "line 2: quantity '5x'"),
            (LedgerLine { quantity: "-5".into(), ..good.clone() }, "line 2: quantity '-5' must be above 0"),
            (priced(Some("1e5")), "line 2: price '1e5'"),
            (priced(None), "line 2: a fill needs a price"),
        ] {
            let texts = [&good, &bad].map(|line| serde_json::to_string(line).unwrap());
            std::fs::write(&path, texts.join("\n") + "\n").unwrap();
            let error = Ledger::open(&path).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
