use super::*;

fn calendar(name: &str) -> Arc<Calendar> {
    Calendars::load(None).unwrap().get(name).unwrap()
}

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn shipped_calendars_know_their_holidays_and_short_days() {
    let nyse = calendar("XNYS");
    assert_eq!(nyse.session(date("2025-01-09")).unwrap(), None, "day of mourning for President Carter");
    assert_eq!(nyse.session(date("2026-11-21")).unwrap(), None, "a Saturday");
    let short = nyse.session(date("2026-11-27")).unwrap().unwrap();
    assert_eq!(short.close, Some(Time::constant(13, 0, 0, 0)));
    assert_eq!(nyse.next_session(date("2026-12-25")).unwrap().date, date("2026-12-28"));
    let nse = calendar("XNSE");
    assert!(nse.session(date("2025-02-01")).unwrap().is_some(), "budget Saturday");
    assert_eq!(calendar("").session(date("1999-01-02")).unwrap().unwrap().close, None);
}

#[test]
fn a_number_of_sessions_per_year_agrees_with_the_exchange() {
    for (name, year, sessions) in
        [("XNYS", 2013, 252), ("XNYS", 2024, 252), ("XNYS", 2025, 250), ("XNYS", 2026, 251), ("XNYS", 2027, 251)]
    {
        let calendar = calendar(name);
        let days = Date::constant(year, 1, 1).series(jiff::ToSpan::days(1)).take_while(|day| day.year() == year);
        assert_eq!(days.filter(|day| calendar.session(*day).unwrap().is_some()).count(), sessions, "{name} {year}");
    }
}

#[test]
fn an_operators_file_wins_and_a_bad_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let head = "zone = \"UTC\"\nweekdays = [\"mon\"]\nopen = \"09:00\"\nclose = \"10:00\"\n";
    write("XNYS.toml", &format!("{head}[years.2031]\n"));
    let calendars = Calendars::load(Some(directory.path())).unwrap();
    let nyse = calendars.get("XNYS").unwrap();
    assert!(nyse.session(date("2031-01-06")).unwrap().is_some());
    assert!(matches!(nyse.session(date("2026-01-06")), Err(CalendarError::YearMissing { .. })));
    for (text, wanted) in [
        ("zone = 1", "invalid type"),
        (head, "every_year"),
        (&format!("{head}[years.2031]\nholidays = [\"2030-01-01\"]"), "stands under year 2031"),
        (&format!("{head}every_year = true\nhollidays = 1"), "hollidays"),
    ] {
        write("XNYS.toml", text);
        let error = Calendars::load(Some(directory.path())).unwrap_err().to_string();
        assert!(error.starts_with("calendar XNYS:") && error.contains(wanted), "{error}");
    }
}
