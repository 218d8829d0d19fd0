//! Checks of what a person gives, before anything is written.

use crate::calendar::Calendars;
use crate::failure::refusal;
use crate::schedule::Times;
use crate::strategies_csv::StrategyLine;
use color_eyre::{Report, Result};
use strat_core::field::{self, Writer};
use strat_core::key::check_id;
use strat_core::{Refusal, Strategy};

/// Checks a new strategy by all rules: ids, fields, zone, times and calendar.
///
/// # Errors
/// The first bad field.
pub(super) fn check_new(new: &StrategyLine, calendars: &Calendars) -> Result<()> {
    check_id("user id", &new.user).map_err(refused)?;
    check_id("strategy id", &new.strategy).map_err(refused)?;
    for (at, (name, value)) in new.fields.iter().enumerate() {
        if new.fields[..at].iter().any(|(known, _)| known == name) {
            return Err(refusal(format!("field {name} is given twice"), "give each field once"));
        }
        field::check(name.as_bytes(), value.as_bytes()).map_err(refused)?;
        if field::lookup(name).is_some_and(|spec| spec.writer != Writer::Anyone) {
            return Err(refusal(format!("field {name} is kept by the server and cannot be given"), "leave it out"));
        }
    }
    let get = |name: &str| Some(new.text(name)).filter(|text| !text.is_empty());
    Strategy::read(|name| get(name).map(str::as_bytes)).map_err(refused)?;
    check_times(get, calendars)
}

/// Checks zone, times and calendar of a hash.
///
/// # Errors
/// The first bad field.
pub(super) fn check_times<'a>(get: impl Fn(&str) -> Option<&'a str>, calendars: &Calendars) -> Result<()> {
    Times::read(get, calendars).map(drop).map_err(|error| refusal(error.to_string(), "nothing was changed"))
}

fn refused(why: Refusal) -> Report {
    refusal(why.detail, "nothing was written; docs/fields.md lists the fields")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(user: &str, fields: &[(&str, &str)]) -> String {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let new = StrategyLine { user: user.to_owned(), strategy: "s".to_owned(), fields };
        check_new(&new, &Calendars::load(None).unwrap()).map_or_else(|error| error.to_string(), |()| "good".to_owned())
    }

    #[test]
    fn what_is_wrong_is_named_before_anything_is_written() {
        let base = [("symbol", "M&M"), ("quantity", "10")];
        assert_eq!(checked("a", &base), "good");
        for (more, says) in [
            (("quantity", "5"), "given twice"),
            (("version", "5"), "kept by the server"),
            (("stop_loss", "1e5"), "plain decimal"),
            (("timezone", "Mars/Base"), "Mars/Base"),
            (("buy_time", "9:30"), "HH:MM"),
        ] {
            let error = checked("a", &[base[0], base[1], more]);
            assert!(error.contains(says), "{error}");
        }
        assert!(checked("a b", &base).contains("user id"));
        assert!(checked("a", &base[..1]).contains("quantity is missing"));
    }
}
