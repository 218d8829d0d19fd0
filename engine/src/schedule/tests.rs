use super::*;

mod sessions;

fn times(fields: &[(&str, &str)]) -> Times {
    let calendars = Calendars::load(None).unwrap();
    let get = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    Times::read(get, &calendars).unwrap()
}

fn day(fields: &[(&str, &str)], date: &str) -> (String, String) {
    let plan = times(fields).on_day(date.parse().unwrap()).unwrap();
    (utc(plan.buy_at), utc(plan.sell_at))
}

fn utc(at_ms: Option<i64>) -> String {
    at_ms.map_or_else(String::new, |at| Timestamp::from_millisecond(at).unwrap().to_string())
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

const NEW_YORK: (&str, &str) = ("timezone", "America/New_York");

#[test]
fn local_times_follow_the_zone_in_summer_and_winter() {
    let fields = [("buy_time", "09:30"), ("sell_time", "15:59:30"), NEW_YORK];
    assert_eq!(day(&fields, "2013-10-08"), ("2013-10-08T13:30:00Z".into(), "2013-10-08T19:59:30Z".into()));
    assert_eq!(day(&fields, "2013-12-09"), ("2013-12-09T14:30:00Z".into(), "2013-12-09T20:59:30Z".into()));
}

#[test]
fn a_time_that_clocks_skip_is_the_first_instant_after_the_gap() {
    // 2026-03-08, 02:00 to 03:00 does not exist in New York.
    let fields = [("buy_time", "02:30"), ("sell_time", "03:00"), NEW_YORK];
    assert_eq!(day(&fields, "2026-03-08"), ("2026-03-08T07:00:00Z".into(), "2026-03-08T07:00:00Z".into()));
    // Lord Howe moves by half an hour.
    let fields = [("buy_time", "02:15"), ("timezone", "Australia/Lord_Howe")];
    assert_eq!(day(&fields, "2026-10-04").0, "2026-10-03T15:30:00Z");
}

#[test]
fn a_time_that_comes_twice_is_the_first_of_the_two() {
    // 2026-11-01, 01:00 to 02:00 comes twice in New York, first with UTC-4.
    let fields = [("buy_time", "01:30"), ("sell_time", "02:30"), NEW_YORK];
    assert_eq!(day(&fields, "2026-11-01"), ("2026-11-01T05:30:00Z".into(), "2026-11-01T07:30:00Z".into()));
}

#[test]
fn closed_days_are_passed_over() {
    let fields = [("buy_time", "09:30"), ("sell_time", "15:00"), NEW_YORK, ("calendar", "XNYS")];
    // Friday 3 July 2026 is Independence Day observed; the next session is Monday.
    assert_eq!(day(&fields, "2026-07-03").0, "2026-07-06T13:30:00Z");
    let india = [("buy_time", "09:20"), ("calendar", "XNSE")];
    assert_eq!(day(&india, "2026-01-26").0, "2026-01-27T03:50:00Z");
}

#[test]
fn a_year_that_is_not_covered_is_an_error() {
    let fields = [("buy_time", "09:30"), NEW_YORK, ("calendar", "XNYS")];
    let error = times(&fields).on_day("2031-01-02".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("XNYS does not cover 2031") && error.contains("XNYS.toml"), "{error}");
}

#[test]
fn an_exit_keeps_its_distance_from_an_early_close() {
    // 2026-11-27 closes at 13:00.
    let fields = [("buy_time", "09:30"), ("sell_time", "15:50"), NEW_YORK, ("calendar", "XNYS")];
    assert_eq!(day(&fields, "2026-11-27").1, "2026-11-27T17:50:00Z");
    let afternoon = [("buy_time", "14:00"), ("sell_time", "15:50"), NEW_YORK, ("calendar", "XNYS")];
    assert_eq!(day(&afternoon, "2026-11-27").0, "2026-11-30T19:00:00Z");
}

#[test]
fn a_short_enters_by_selling() {
    let fields = [("side", "SHORT"), ("buy_time", "15:00"), ("sell_time", "10:00")];
    let now = ms("2026-05-05T12:00:00Z");
    let planned = times(&fields).plan(now, Missed::Late { grace_ms: 300_000 }).unwrap();
    assert_eq!(utc(planned.plan.sell_at), "2026-05-06T10:00:00Z");
    assert_eq!(planned.skipped, Some(ms("2026-05-05T10:00:00Z")));
}

#[test]
fn a_missed_entry_is_made_up_for_within_the_grace_only() {
    let fields = [("buy_time", "09:30"), ("sell_time", "15:00")];
    let now = ms("2026-05-05T09:34:00Z");
    let late = times(&fields).plan(now, Missed::Late { grace_ms: 300_000 }).unwrap();
    assert_eq!((utc(late.plan.buy_at).as_str(), late.skipped), ("2026-05-05T09:30:00Z", None));
    for missed in [Missed::Late { grace_ms: 120_000 }, Missed::Skip] {
        let planned = times(&fields).plan(now, missed).unwrap();
        assert_eq!(utc(planned.plan.buy_at), "2026-05-06T09:30:00Z");
        assert_eq!(planned.skipped, Some(ms("2026-05-05T09:30:00Z")));
    }
}

#[test]
fn an_exit_of_a_held_position_is_never_skipped() {
    let fields = [("buy_time", "09:30"), ("sell_time", "15:00")];
    let plan = times(&fields).plan_exit(ms("2026-05-05T20:00:00Z")).unwrap();
    assert_eq!((plan.buy_at, utc(plan.sell_at)), (None, "2026-05-05T15:00:00Z".into()));
}

#[test]
fn an_exit_time_before_the_entry_time_is_overnight_when_live() {
    let fields = [("buy_time", "22:00"), ("sell_time", "04:00")];
    let planned = times(&fields).plan(ms("2026-05-05T12:00:00Z"), Missed::Skip).unwrap();
    assert_eq!(utc(planned.plan.buy_at), "2026-05-05T22:00:00Z");
    assert_eq!(utc(planned.plan.sell_at), "2026-05-06T04:00:00Z");
    let night = times(&fields).plan(ms("2026-05-06T01:00:00Z"), Missed::Late { grace_ms: 4 * 3_600_000 }).unwrap();
    assert_eq!(utc(night.plan.buy_at), "2026-05-05T22:00:00Z");
}

#[test]
fn a_position_entered_for_the_night_exits_tomorrow() {
    let fields = [("buy_time", "22:00"), ("sell_time", "04:00")];
    let exit = |now: &str| utc(times(&fields).plan_exit(ms(now)).unwrap().sell_at);
    assert_eq!(exit("2026-05-05T22:00:01Z"), "2026-05-06T04:00:00Z");
    assert_eq!(exit("2026-05-06T01:00:00Z"), "2026-05-06T04:00:00Z");
    // A time that has passed since is made up for at once.
    assert_eq!(exit("2026-05-06T05:00:00Z"), "2026-05-06T04:00:00Z");
}

#[test]
fn wrong_fields_are_named() {
    let calendars = Calendars::load(None).unwrap();
    let read = |name: &'static str, value: &'static str| {
        Times::read(|field| (field == name).then_some(value), &calendars).unwrap_err().to_string()
    };
    assert!(read("timezone", "Mars/Base").contains("'Mars/Base' is not known"));
    assert!(read("buy_time", "9:30").contains("buy_time '9:30'"));
    assert!(read("calendar", "XMAS").contains("24x7, XNSE, XNYS"));
}
