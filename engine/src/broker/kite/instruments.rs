//! The list of instruments: which number the ticker has for a symbol, and in which lots it trades.
//!
//! Kite makes it once a day (<https://kite.trade/docs/connect/v3/market-quotes/>), a CSV of about a hundred thousand lines. It
//! is kept in a file until the next one is there. **An older one is not used**: exchanges give the numbers of contracts that
//! have ended to others, and a price would be taken for another instrument's.

use super::config::symbol_of;
use super::time::{LISTED_AT, next};
use crate::failure::one_line;
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strat_core::{Price, Quantity};

/// Largest list, unpacked: several times today's.
pub(crate) const LIST_BYTES_MAX: usize = 64 << 20;
/// Most instruments.
const INSTRUMENTS_MAX: usize = 1_000_000;
/// How a packed file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What trades under a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instrument {
    /// Its number in the ticker.
    pub(crate) token: u32,
    /// Smallest step of its price; 0 for what has no orders, as an index.
    pub(crate) tick_size: Price,
    /// Its quantities are multiples of this.
    pub(crate) lot_size: Quantity,
}

/// The list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Instruments {
    by_symbol: HashMap<String, Instrument>,
}

/// A line of the list; its other columns are not needed.
#[derive(Deserialize)]
struct Line<'a> {
    instrument_token: u32,
    tradingsymbol: &'a str,
    tick_size: &'a str,
    lot_size: &'a str,
    exchange: &'a str,
}

impl Instruments {
    /// Reads the list. Symbols without an exchange before them are of `exchange`.
    ///
    /// # Errors
    /// Where it is not the list, or one of its lines is not of its form; completes "the list of instruments …".
    pub(crate) fn read(list: &[u8], exchange: &str) -> Result<Self, String> {
        let list = unpacked(list)?;
        let mut instruments = Self::default();
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&*list);
        let header = reader.headers().map_err(|error| one_line(&format!("is no CSV: {error}")))?.clone();
        let mut record = csv::StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) if instruments.by_symbol.len() >= INSTRUMENTS_MAX => return Err("is too long".to_owned()),
                Ok(true) => {}
                Err(error) => return Err(one_line(&format!("breaks off: {error}"))),
            }
            let line: Result<Line<'_>, _> = record.deserialize(Some(&header));
            let line = line.map_err(|error| one_line(&format!("cannot be read: {error}")))?;
            instruments.add(&line, exchange)?;
        }
        if instruments.by_symbol.is_empty() { Err("is empty".to_owned()) } else { Ok(instruments) }
    }

    fn add(&mut self, line: &Line<'_>, exchange: &str) -> Result<(), String> {
        let wrong = |what: &str, text: &str| one_line(&format!("has {what} '{text}' for {}", line.tradingsymbol));
        let instrument = Instrument {
            token: line.instrument_token,
            tick_size: line.tick_size.parse().map_err(|_| wrong("tick_size", line.tick_size))?,
            lot_size: line.lot_size.parse().map_err(|_| wrong("lot_size", line.lot_size))?,
        };
        let symbol = symbol_of(line.exchange, line.tradingsymbol, exchange);
        // Names that cannot be symbols here are of nothing that could be asked for.
        if !strat_core::key::is_symbol(&symbol) {
            return Ok(());
        }
        self.by_symbol.insert(symbol, instrument);
        Ok(())
    }

    /// What trades under a symbol.
    #[must_use]
    pub(crate) fn of(&self, symbol: &str) -> Option<&Instrument> {
        self.by_symbol.get(symbol)
    }
}

fn unpacked(list: &[u8]) -> Result<Vec<u8>, String> {
    if !list.starts_with(&GZIP) {
        return Ok(list.to_vec());
    }
    let mut bytes = Vec::new();
    let most = LIST_BYTES_MAX as u64 + 1;
    GzDecoder::new(list).take(most).read_to_end(&mut bytes).map_err(|error| format!("cannot be unpacked: {error}"))?;
    if bytes.len() > LIST_BYTES_MAX { Err("is too long".to_owned()) } else { Ok(bytes) }
}

/// The list of the day from its file; `None` where there is none, or only an older one.
pub(crate) fn kept(path: &Path, now_ms: i64) -> Option<Vec<u8>> {
    let file = fs::metadata(path).ok()?;
    let written = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let written_ms = i64::try_from(written.as_millis()).ok()?;
    let current = written_ms <= now_ms && next(LISTED_AT, written_ms) > now_ms;
    (current && file.len() <= LIST_BYTES_MAX as u64).then(|| fs::read(path).ok())?
}

/// Keeps the list of the day. The broker and the feed may both do so at the same time.
pub(crate) fn keep(path: &Path, list: &[u8], now_ms: i64) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}-{}.new", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::write(&beside, list)?;
    let now: SystemTime = UNIX_EPOCH + Duration::from_millis(now_ms.unsigned_abs());
    fs::File::options().write(true).open(&beside)?.set_modified(now)?;
    fs::rename(&beside, path)
}
