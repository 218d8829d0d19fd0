//! Strategies from a CSV file: for the replay and for `strategy import`.
//!
//! Columns `user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone`; then any other field of a
//! strategy, `stop_loss`, `take_profit` and `trail` first of all. An empty value means none.

use crate::calendar::Calendars;
use crate::schedule::{ScheduleError, Times};
use crate::table::{BadValue, Table, TableError};
use std::collections::HashMap;
use std::path::Path;
use strat_core::StrategyKey;
use strat_core::field::{self, Writer};
use strat_core::key::check_id;

/// Columns that must be there, though `side`, times and zone may be empty.
pub const REQUIRED: [&str; 8] =
    ["user_id", "strategy_id", "symbol", "side", "quantity", "buy_time", "sell_time", "timezone"];

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyLine {
    /// User id.
    pub user: String,
    /// Strategy id.
    pub strategy: String,
    /// Fields with a value, in the order of the columns.
    pub fields: Vec<(String, String)>,
}

impl StrategyLine {
    /// The key of its hash.
    #[must_use]
    pub fn key(&self) -> String {
        StrategyKey { prefix: "", user: &self.user, strategy: &self.strategy }.hash()
    }

    /// A field's text, empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// What a file holds.
#[derive(Debug)]
pub struct StrategiesFile {
    /// Its good lines, in order.
    pub lines: Vec<StrategyLine>,
    /// Bad lines passed over.
    pub skipped: u64,
}

/// Reads a file whole. With `skip_bad` bad lines are logged, counted and passed over.
///
/// # Errors
/// The first bad line, with file, line, column and reason; a file that cannot be read.
pub fn read(path: &Path, skip_bad: bool, calendars: &Calendars) -> Result<StrategiesFile, TableError> {
    let mut table = Table::open(path, &REQUIRED)?;
    if let Some(name) = table.names().iter().find(|name| kept_by_server(name)) {
        let reason = "is kept by the server and cannot be given; leave the column out";
        return Err(table.complain(BadValue::new(name, reason)));
    }
    let mut file = StrategiesFile { lines: Vec::new(), skipped: 0 };
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    loop {
        let outcome = match table.advance() {
            Ok(false) => return Ok(file),
            Ok(true) => line(&table, calendars).map_err(|bad| table.complain(bad)),
            Err(error) => Err(error),
        };
        let outcome = outcome.and_then(|line| {
            let twice = seen.insert((line.user.clone(), line.strategy.clone()), file.lines.len()).is_some();
            let reason = format!("strategy {} of {} stands in the file already", line.strategy, line.user);
            if twice { Err(table.complain(BadValue::new("strategy_id", reason))) } else { Ok(line) }
        });
        match outcome {
            Ok(line) => file.lines.push(line),
            Err(error @ TableError::Line { .. }) if skip_bad => {
                file.skipped += 1;
                tracing::warn!(%error, skipped = file.skipped, "bad strategy skipped");
            }
            Err(error) => return Err(error),
        }
    }
}

/// `user_id` and the like come from the key, the rest from the state machine.
fn kept_by_server(name: &str) -> bool {
    name != "user_id" && field::lookup(name).is_some_and(|spec| spec.writer != Writer::Anyone)
}

fn line(table: &Table, calendars: &Calendars) -> Result<StrategyLine, BadValue> {
    let mut line = StrategyLine { user: String::new(), strategy: String::new(), fields: Vec::new() };
    for (column, name) in table.names().iter().enumerate() {
        let value = table.value(column);
        let bad = |refusal: strat_core::Refusal| BadValue::new(name, refusal.detail);
        match name.as_str() {
            "user_id" => {
                check_id("user_id", value).map_err(bad)?;
                value.clone_into(&mut line.user);
            }
            "strategy_id" => {
                check_id("strategy_id", value).map_err(bad)?;
                value.clone_into(&mut line.strategy);
            }
            _ if value.is_empty() && !matches!(name.as_str(), "symbol" | "quantity") => {}
            _ => {
                field::check(name.as_bytes(), value.as_bytes()).map_err(bad)?;
                line.fields.push((name.clone(), value.to_owned()));
            }
        }
    }
    let times = Times::read(|name| Some(line.text(name)), calendars);
    times.map_err(|error| {
        let column = match &error {
            ScheduleError::Zone { .. } => "timezone",
            ScheduleError::Time { field, .. } => field,
            _ => "calendar",
        };
        BadValue::new(column, error.to_string())
    })?;
    Ok(line)
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,stop_loss,take_profit\n";
    const GOOD: &str = "alice,s1,IBM,LONG,10,09:30,15:00,America/New_York,150.00,\n";

    fn read_text(text: &str, skip_bad: bool) -> Result<StrategiesFile, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.csv");
        std::fs::write(&path, text).unwrap();
        let name = |error: TableError| error.to_string().rsplit("/s.csv, ").next().unwrap_or_default().to_owned();
        read(&path, skip_bad, &Calendars::load(None).unwrap()).map_err(name)
    }

    #[test]
    fn texts_stay_as_given_and_empty_means_none() {
        let file = read_text(&format!("{HEADER}{GOOD}"), false).unwrap();
        let line = &file.lines[0];
        assert_eq!((line.key().as_str(), line.text("stop_loss")), ("user:alice:strategy:s1", "150.00"));
        assert!(!line.fields.iter().any(|(name, _)| name == "take_profit"));
    }

    #[test]
    fn a_bad_line_names_its_column_and_may_be_skipped() {
        for (bad, complaint) in [
            ("alice,s2,IBM,LONG,0,09:30,15:00,UTC,,", "line 3, column quantity: quantity '0' must be above 0"),
            ("alice,s2,IBM,UP,1,09:30,15:00,UTC,,", "line 3, column side: side 'UP' must be one of LONG, SHORT"),
            (
                "alice,s2,IBM,LONG,1,9:30,15:00,UTC,,",
                "line 3, column buy_time: buy_time '9:30' must be a local time HH:MM or HH:MM:SS",
            ),
            (
                "alice,s2,IBM,LONG,1,09:30,15:00,Mars/Base,,",
                "line 3, column timezone: timezone 'Mars/Base' is not known; use an IANA name such as America/New_York",
            ),
            (
                "alice,s2,IBM,LONG,1,09:30,15:00,UTC,1e5,",
                "line 3, column stop_loss: stop_loss '1e5' is not a plain decimal number such as 2500.00",
            ),
            (
                "al ice,s2,IBM,LONG,1,09:30,15:00,UTC,,",
                "line 3, column user_id: user_id 'al ice' must be 1 to 128 of A-Z a-z 0-9 _ . @ -",
            ),
            (
                "alice,s2,,LONG,1,09:30,15:00,UTC,,",
                "line 3, column symbol: symbol '' must be 1 to 64 printable ASCII bytes without space, colon or braces",
            ),
            (
                "alice,s1,IBM,LONG,1,09:30,15:00,UTC,,",
                "line 3, column strategy_id: strategy s1 of alice stands in the file already",
            ),
            ("alice,s2,IBM,LONG,1", "line 3, column buy_time: the line has 5 columns, the header 10"),
        ] {
            let text = format!("{HEADER}{GOOD}{bad}\nbob,s9,IBM,SHORT,1,15:00,09:30,UTC,,\n");
            assert_eq!(read_text(&text, false).unwrap_err(), complaint);
            let file = read_text(&text, true).unwrap();
            assert_eq!((file.lines.len(), file.skipped), (2, 1), "{bad}");
        }
    }

    #[test]
    fn a_trailing_distance_is_a_price_or_a_percentage_below_a_hundred() {
        let read = |trail: &str| {
            let header = HEADER.replace('\n', ",trail\n");
            read_text(&format!("{header}{}{trail}\n", GOOD.replace('\n', ",")), false)
        };
        for good in ["", "5.00", "1.5%", "0.00000001", "99.99999999%"] {
            assert_eq!(read(good).unwrap().lines[0].text("trail"), good);
        }
        for bad in ["0", "-5", "0%", "100%", "5 %", "%", "nan", "1e1", "0.000000001"] {
            let complaint = read(bad).unwrap_err();
            assert!(complaint.starts_with(&format!("line 2, column trail: trail '{bad}' ")), "{complaint}");
        }
    }

    #[test]
    fn fields_that_the_server_keeps_are_no_columns() {
        let text = "user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,version\n";
        assert!(read_text(text, true).unwrap_err().contains("column version: is kept by the server"));
    }
}
