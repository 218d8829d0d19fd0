//! Calendars as operators may write them.

use super::*;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use std::fmt::Write as _;

fn word() -> impl Strategy<Value = String> {
    let words = [
        "UTC",
        "Asia/Kolkata",
        "Mars/Base",
        "../../etc/passwd",
        "/etc/localtime",
        "\0",
        "09:15",
        "15:30",
        "24:00",
        "25:00",
        "00:00",
        "23:59:59",
        "2026-01-01",
        "2026-02-30",
        "9999-12-31",
        "-9999-01-01",
        "2026-01-01T00:00",
        "2026",
        "mon",
        "sun",
        "",
    ];
    prop_oneof![6 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,12}"]
}

/// A file with all that is needed, some of it wrong.
fn nearly() -> impl Strategy<Value = String> {
    let or = |right: &'static str| prop_oneof![8 => Just(right.to_owned()), 1 => word()];
    let head = (or("UTC"), or("mon"), or("09:15"), or("15:30"), any::<bool>());
    let days = (or("2026"), or("2026-01-26"), or("2026-02-02"), or("13:00"), or("2026-03-01"));
    (head, days).prop_map(|((zone, day, open, close, every), (year, holiday, early, at, special))| {
        format!(
            "zone = {zone:?}\nweekdays = [{day:?}, \"tue\"]\nopen = {open:?}\nclose = {close:?}\nevery_year = {every}\n\
            [years.{year:?}]\nholidays = [{holiday:?}]\nearly_closes = {{ {early:?} = {at:?} }}\n\
            special_sessions = {{ {special:?} = [{open:?}, {at:?}] }}\n"
        )
    })
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match file::parse("XTST", text) {
        Err(error) => prop_assert!(error.to_string().starts_with("calendar XTST: "), "{error}"),
        Ok(calendar) => {
            for date in [Date::MIN, Date::constant(2026, 1, 26), Date::constant(2026, 12, 31), Date::MAX] {
                let day = calendar.session(date);
                if let Ok(Some(session)) = &day {
                    prop_assert!(session.close.is_none_or(|close| close > session.open), "{session:?}");
                }
                if let (Ok(next), Ok(Some(session))) = (calendar.next_session(date), day) {
                    prop_assert_eq!(next, session);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_text_makes_it_panic_and_complaints_name_the_calendar(
        nearly in nearly(),
        cut in any::<prop::sample::Index>(),
        lines in vec(("[a-z_]{1,8}|zone|weekdays|open|close|years", word()), 0..6),
        text in "\\PC{0,80}",
    ) {
        check(&nearly)?;
        check(nearly.get(..cut.index(nearly.len())).unwrap_or_default())?;
        check(&lines.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect::<String>())?;
        check(&text)?;
    }

    #[test]
    fn a_calendar_that_is_written_is_read_back(
        weekdays in prop::sample::subsequence(vec![0usize, 1, 2, 3, 4, 5, 6], 1..=7),
        (open, close) in (0..12i8, prop::option::of(12..24i8)),
        holidays in btree_set(0..365i32, 0..20),
        early in btree_map(0..365i32, 12..24i8, 0..10),
    ) {
        let first = Date::constant(2026, 1, 1);
        let day = |number: i32| first.checked_add(jiff::Span::new().days(number)).unwrap();
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let days: Vec<_> = weekdays.iter().map(|day| names[*day]).collect();
        let early: BTreeMap<_, _> = early.into_iter().filter(|(day, _)| !holidays.contains(day)).collect();
        let shown = close.map_or("24:00".to_owned(), |close| format!("{close:02}:30"));
        let mut text = format!("zone = \"UTC\"\nweekdays = {days:?}\nopen = \"{open:02}:15\"\nclose = \"{shown}\"\n[years.2026]\n");
        let list: Vec<_> = holidays.iter().map(|number| day(*number).to_string()).collect();
        let _ = writeln!(text, "holidays = {list:?}\n[years.2026.early_closes]");
        for (number, hour) in &early {
            let _ = writeln!(text, "{} = \"{hour:02}:00\"", day(*number));
        }
        let calendar = file::parse("XTST", &text).map_err(|why| TestCaseError::fail(why.to_string()))?;
        for number in 0..365 {
            let date = day(number);
            let trades = weekdays.contains(&usize::from(date.weekday().to_monday_zero_offset().unsigned_abs()));
            let regular = close.map(|close| Time::constant(close, 30, 0, 0));
            let wanted = match early.get(&number) {
                Some(hour) => Some(Some(Time::constant(*hour, 0, 0, 0))),
                None if trades && !holidays.contains(&number) => Some(regular),
                None => None,
            };
            prop_assert_eq!(calendar.session(date).unwrap().map(|session| session.close), wanted, "{}", date);
        }
    }
}
