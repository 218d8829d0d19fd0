//! Square-off, repetition, special sessions.

use super::*;

/// Times with a square-off at 15:20 on the Indian exchange and 15:50 in New York.
fn squared_off(fields: &[(&str, &str)]) -> Result<Times, ScheduleError> {
    let at = |name: &str, text| (name.to_owned(), TimeOfDay::parse(text).unwrap());
    let calendars =
        Calendars::load(None).unwrap().with_square_offs(&[at("XNSE", "15:20"), at("XNYS", "15:50")]).unwrap();
    Times::read(|name| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value), &calendars)
}

const LATE: Missed = Missed::Late { grace_ms: 300_000 };

#[test]
fn intraday_positions_are_squared_off_before_the_close() {
    let exit_on = |fields: &[(&str, &str)], date: &str| {
        let plan = squared_off(fields).unwrap().on_day(date.parse().unwrap()).unwrap();
        plan.sell_at.map(|at| Timestamp::from_millisecond(at).unwrap().to_string())
    };
    let nse = [("calendar", "XNSE"), ("buy_time", "09:30")];
    let sells = |time| [nse[0], nse[1], ("sell_time", time)];
    // 15:20 in India is 09:50 UTC.
    assert_eq!(exit_on(&nse, "2026-05-06").as_deref(), Some("2026-05-06T09:50:00Z"));
    assert_eq!(exit_on(&sells("15:25"), "2026-05-06").as_deref(), Some("2026-05-06T09:50:00Z"));
    assert_eq!(exit_on(&sells("15:00"), "2026-05-06").as_deref(), Some("2026-05-06T09:30:00Z"), "its own is earlier");
    // Ten minutes before the close of New York's short day, and of the hour of muhurat trading.
    let ny = [("calendar", "XNYS"), ("buy_time", "10:00")];
    assert_eq!(exit_on(&ny, "2026-11-27").as_deref(), Some("2026-11-27T17:50:00Z"));
    let evening = [("calendar", "XNSE"), ("buy_time", "18:05")];
    assert!(matches!(squared_off(&evening), Err(ScheduleError::AfterSquareOff { .. })));
    // A position that is held already gets the time, late ones at once; one for the night keeps its own.
    let held = squared_off(&[("calendar", "XNSE")]).unwrap();
    assert!(held.ends_by_time() && !held.has_exit() && !held.is_empty());
    assert_eq!(held.plan_exit(ms("2026-05-06T10:00:00Z")).unwrap().sell_at, Some(ms("2026-05-06T09:50:00Z")));
    let night = squared_off(&[("calendar", "XNSE"), ("buy_time", "15:25"), ("sell_time", "09:20")]).unwrap();
    let plan = night.plan(ms("2026-05-06T06:00:00Z"), LATE).unwrap().plan;
    assert_eq!(plan, Plan { buy_at: Some(ms("2026-05-06T09:55:00Z")), sell_at: Some(ms("2026-05-07T03:50:00Z")) });
    assert!(times(&[("calendar", "XNSE")]).is_empty(), "nothing is squared off unless it is asked for");
}

#[test]
fn square_offs_fit_their_calendar() {
    let calendars = || Calendars::load(None).unwrap();
    let at = |name: &str, text| [(name.to_owned(), TimeOfDay::parse(text).unwrap())];
    assert!(calendars().with_square_offs(&at("XXXX", "15:20")).unwrap_err().to_string().contains("no calendar 'XXXX'"));
    for outside in ["09:15", "15:30", "03:00"] {
        let error = calendars().with_square_offs(&at("XNSE", outside)).unwrap_err().to_string();
        assert!(error.contains("not within its hours"), "{error}");
    }
}

#[test]
fn what_repeats_waits_for_the_session_after_its_entrys_day() {
    let nse = times(&[("calendar", "XNSE"), ("buy_time", "09:30"), ("sell_time", "15:00"), ("repeat", "daily")]);
    let again = |entered: &str, now: &str| {
        let plan = nse.plan_again(ms(entered), ms(now), LATE).unwrap().plan;
        Timestamp::from_millisecond(plan.buy_at.unwrap()).unwrap().to_string()
    };
    // Stopped out within the grace of its own entry: not again today.
    assert_eq!(again("2026-05-06T04:00:00Z", "2026-05-06T04:01:00Z"), "2026-05-07T04:00:00Z");
    // Over the weekend, and over Republic Day.
    assert_eq!(again("2026-05-08T04:00:00Z", "2026-05-08T09:30:00Z"), "2026-05-11T04:00:00Z");
    assert_eq!(again("2026-01-23T04:00:00Z", "2026-01-23T09:30:00Z"), "2026-01-27T04:00:00Z");
    // The evening hour of muhurat trading is no session for the morning.
    let muhurat = nse.plan(ms("2024-10-31T12:00:00Z"), LATE).unwrap().plan;
    assert_eq!(muhurat.buy_at, Some(ms("2024-11-04T04:00:00Z")));
    // Nobody looked for days: the next one that can still be kept.
    assert_eq!(again("2026-05-06T04:00:00Z", "2026-05-07T08:00:00Z"), "2026-05-08T04:00:00Z");
    assert!(nse.plan_again(ms("2026-12-31T04:00:00Z"), ms("2026-12-31T10:00:00Z"), LATE).is_err(), "2027 is not known");
    let night = times(&[("buy_time", "22:00"), ("sell_time", "02:00"), ("repeat", "daily")]);
    let plan = night.plan_again(ms("2026-05-06T22:00:00Z"), ms("2026-05-07T02:00:01Z"), LATE).unwrap().plan;
    assert_eq!(plan.buy_at, Some(ms("2026-05-07T22:00:00Z")), "it exits in the morning and enters again at night");
    let wrong = |fields: &[(&str, &str)]| squared_off(fields).unwrap_err().to_string();
    assert!(wrong(&[("buy_time", "09:30"), ("repeat", "weekly")]).contains("must be daily"));
    assert!(wrong(&[("repeat", "daily")]).contains("needs an entry time"));
}

#[test]
fn a_repeated_time_follows_the_clocks_over_both_changes() {
    let ny = times(&[("calendar", "XNYS"), ("buy_time", "09:35"), ("sell_time", "15:45"), ("repeat", "daily")]);
    let next = |entered: &str| ny.plan_again(ms(entered), ms(entered), LATE).unwrap().plan;
    // Clocks go forward on 8 March 2026: from Friday to Monday an hour earlier by UTC.
    let monday = Plan { buy_at: Some(ms("2026-03-09T13:35:00Z")), sell_at: Some(ms("2026-03-09T19:45:00Z")) };
    assert_eq!(next("2026-03-06T14:35:00Z"), monday);
    // And back on 1 November: an hour later.
    let monday = Plan { buy_at: Some(ms("2026-11-02T14:35:00Z")), sell_at: Some(ms("2026-11-02T20:45:00Z")) };
    assert_eq!(next("2026-10-30T13:35:00Z"), monday);
}
