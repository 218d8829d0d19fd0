//! CSV files with a header, plain or gzipped: ticks and strategies. Every complaint names file, line and column.

use crate::failure::one_line;
use flate2::read::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 256 * 1024;
/// Longest line; a file without line ends must not fill the memory.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Reading stopped in the middle: an unreadable disk, a damaged gzip file.
    #[error("{}, line {line}: cannot read on: {reason}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Line reached.
        line: u64,
        /// What happened.
        reason: String,
    },
    /// The header lacks a column.
    #[error("{}, line 1: no column '{column}' in the header; needed are {needed}", path.display())]
    Column {
        /// File.
        path: PathBuf,
        /// Missing column.
        column: String,
        /// All required columns.
        needed: String,
    },
    /// A line does not parse. With `--skip-bad` such lines are counted and passed over.
    #[error("{}, line {line}, column {column}: {reason}", path.display())]
    Line {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column's name.
        column: String,
        /// What is wrong with the value.
        reason: String,
    },
}

/// A complaint about one value, before file and line are known.
#[derive(Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Column's name.
    pub column: String,
    /// What is wrong with the value.
    pub reason: String,
}

impl BadValue {
    /// A complaint.
    pub fn new(column: &str, reason: impl Into<String>) -> Self {
        Self { column: column.to_owned(), reason: reason.into() }
    }
}

/// A CSV file with a header. Read by lines, so that the line numbers in complaints are those of an editor; a value
/// may stand between double quotes, but not span lines.
pub struct Table {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    columns: HashMap<String, usize>,
    names: Vec<String>,
    bytes: Vec<u8>,
    values: Vec<String>,
    line: u64,
}

impl Table {
    /// Opens a file, gzipped if its name ends in `.gz`, and reads its header.
    ///
    /// # Errors
    /// [`TableError`] where it cannot be read or lacks a column of `required`.
    pub fn open(path: &Path, required: &[&str]) -> Result<Self, TableError> {
        let file = File::open(path).map_err(|source| TableError::Open { path: path.to_owned(), source })?;
        let input: Box<dyn Read + Send> = if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file)))
        } else {
            Box::new(file)
        };
        Self::read(path, input, required)
    }

    fn read(path: &Path, input: Box<dyn Read + Send>, required: &[&str]) -> Result<Self, TableError> {
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, input));
        let (bytes, values) = (Vec::new(), Vec::new());
        let mut table =
            Self { path: path.to_owned(), reader, columns: HashMap::new(), names: Vec::new(), bytes, values, line: 0 };
        table.next_line()?;
        table.names = table.values.drain(..).map(|name| name.trim().to_owned()).collect();
        for (column, name) in table.names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if table.columns.insert(name.clone(), column).is_some() {
                return Err(table.complain(BadValue::new(name, "stands twice in the header")));
            }
        }
        for column in required {
            if !table.columns.contains_key(*column) {
                let (column, needed) = ((*column).to_owned(), required.join(", "));
                return Err(TableError::Column { path: table.path, column, needed });
            }
        }
        Ok(table)
    }

    /// Names of the columns, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where a column is.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.get(name).copied()
    }

    /// Reads the next line; false at the end. Empty lines are passed over.
    ///
    /// # Errors
    /// [`TableError::Line`] for a line with the wrong number of columns or text that is not UTF-8, which may be
    /// passed over; [`TableError::Read`] where reading cannot go on.
    pub fn advance(&mut self) -> Result<bool, TableError> {
        if !self.next_line()? {
            return Ok(false);
        }
        if self.values.len() == self.names.len() {
            return Ok(true);
        }
        let reason = format!("the line has {} columns, the header {}", self.values.len(), self.names.len());
        let column = self.names.get(self.values.len()).or(self.names.last()).cloned().unwrap_or_default();
        Err(self.complain(BadValue { column, reason }))
    }

    /// Reads a line that is not empty into `values`.
    fn next_line(&mut self) -> Result<bool, TableError> {
        loop {
            self.bytes.clear();
            let path = &self.path;
            let line = self.line + 1;
            let unreadable = |reason: String| TableError::Read { path: path.clone(), line, reason };
            let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
            let count = limited.read_until(b'\n', &mut self.bytes).map_err(|error| unreadable(error.to_string()))?;
            if count as u64 == LINE_BYTES_MAX {
                return Err(unreadable(format!("the line is longer than {LINE_BYTES_MAX} bytes")));
            }
            self.line = line;
            if count == 0 {
                return Ok(false);
            }
            let text = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.is_empty() {
                continue;
            }
            let column = || self.names.first().cloned().unwrap_or_default();
            let Ok(text) = std::str::from_utf8(text) else {
                return Err(self.complain(BadValue { column: column(), reason: "the line is not UTF-8".to_owned() }));
            };
            // A file's mark that it is UTF-8.
            let text = if self.line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
            split(text, &mut self.values);
            return Ok(true);
        }
    }

    /// A value of the current line; empty where there is none.
    #[must_use]
    pub fn value(&self, column: usize) -> &str {
        self.values.get(column).map_or("", |value| value.trim())
    }

    /// Completes a complaint with file and line.
    #[must_use]
    pub fn complain(&self, bad: BadValue) -> TableError {
        let (column, reason) = (one_line(&bad.column), one_line(&bad.reason));
        TableError::Line { path: self.path.clone(), line: self.line, column, reason }
    }
}

/// Splits at commas that are not between double quotes; reuses the strings that are there.
fn split(line: &str, values: &mut Vec<String>) {
    let mut count = 0;
    let mut put = |part: &str, unquote: bool| {
        if count == values.len() {
            values.push(String::new());
        }
        values[count].clear();
        match part.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|_| unquote) {
            Some(inner) => values[count].push_str(&inner.replace("\"\"", "\"")),
            None => values[count].push_str(part),
        }
        count += 1;
    };
    if line.contains('"') {
        let (mut start, mut quoted) = (0, false);
        for (at, byte) in line.bytes().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    put(&line[start..at], true);
                    start = at + 1;
                }
                _ => {}
            }
        }
        put(&line[start..], true);
    } else {
        line.split(',').for_each(|part| put(part, false));
    }
    values.truncate(count);
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &'static str) -> Result<Table, TableError> {
        Table::read(Path::new("t.csv"), Box::new(text.as_bytes()), &["a", "b"])
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let mut table = table("x,b, a\n1,2,3\n").unwrap();
        assert!(table.advance().unwrap());
        let [a, b] = ["a", "b"].map(|name| table.column(name).unwrap());
        assert_eq!((table.value(a), table.value(b)), ("3", "2"));
        assert!(!table.advance().unwrap());
    }

    #[test]
    fn quotes_and_windows_line_ends_are_understood() {
        let mut table = table("\u{feff}a,b\r\n\"x,1\",\"say \"\"hi\"\"\"\r\n\r\n2,3").unwrap();
        assert!(table.advance().unwrap());
        assert_eq!((table.value(0), table.value(1)), ("x,1", "say \"hi\""));
        assert!(table.advance().unwrap());
        assert_eq!((table.value(0), table.value(1)), ("2", "3"));
        assert!(table.complain(BadValue::new("a", "")).to_string().contains("line 4"));
    }

    #[test]
    fn a_marked_file_may_quote_its_first_column() {
        let mut table = table("\u{feff}\"a\",\"b\"\n1,2\n").unwrap();
        assert!(table.advance().unwrap() && table.names() == ["a", "b"]);
    }

    #[test]
    fn complaints_name_file_line_and_column() {
        let error = table("a,c\n").err().unwrap().to_string();
        assert_eq!(error, "t.csv, line 1: no column 'b' in the header; needed are a, b");
        let mut short = table("a,b\n1,2\n\n3\n4,5\n").unwrap();
        assert!(short.advance().unwrap());
        let error = short.advance().unwrap_err().to_string();
        assert_eq!(error, "t.csv, line 4, column b: the line has 1 columns, the header 2");
        assert!(short.advance().unwrap(), "the file can be read on");
        assert_eq!(short.complain(BadValue::new("a", "is odd")).to_string(), "t.csv, line 5, column a: is odd");
    }

    #[test]
    fn a_damaged_gzip_file_is_an_error_not_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.csv.gz");
        std::fs::write(&path, b"\x1f\x8b\x08\x00garbage").unwrap();
        assert!(matches!(Table::open(&path, &["a"]), Err(TableError::Read { .. })));
    }
}
