//! The shipped session calendars against the Python package exchange_calendars, day by day from 2015 on: `tests/calendars/check.py`.

use crate::servers::paths;
use crate::servers::process::temp_dir;
use crate::support::skip;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the comparison; `None` where the package is missing.
fn check(folder: &Path) -> Option<Output> {
    let python = paths::python()?;
    let there = Command::new(&python).args(["-c", "import exchange_calendars"]).output().unwrap();
    if !there.status.success() {
        return None;
    }
    Some(Command::new(python).arg(paths::root().join("tests/calendars/check.py")).arg(folder).output().unwrap())
}

#[test]
fn every_day_is_as_the_exchange_had_it() {
    let shipped = paths::root().join("engine/calendars");
    let Some(compared) = check(&shipped) else {
        return skip("the calendars' comparison", "Python with exchange_calendars (.run/venv or STRAT_PYTHON)");
    };
    let said = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success(), "{said}{}", String::from_utf8_lossy(&compared.stderr));
    assert_eq!(said.lines().count(), 4, "three calendars and the verdict: {said}");

    // One holiday less, one short day longer, one special session forgotten: each is found.
    let copy = temp_dir();
    for entry in std::fs::read_dir(&shipped).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let wrong = text
            .replace("\"2020-02-21\", ", "")
            .replace("\"2024-07-03\" = \"13:00\", ", "")
            .replace("\"2020-02-01\" = [\"09:15\", \"15:30\"], ", "");
        std::fs::write(copy.path().join(path.file_name().unwrap()), wrong).unwrap();
    }
    let compared = check(copy.path()).unwrap();
    let said = String::from_utf8_lossy(&compared.stdout);
    assert_eq!(compared.status.code(), Some(1), "{said}");
    for wrong in ["XNSE 2020-02-21: ours is", "XNYS 2024-07-03: ours is", "XNSE 2020-02-01: an exception is listed"] {
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
}
