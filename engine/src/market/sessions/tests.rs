use super::*;
use crate::calendar::Calendars;
use strat_core::Price;

fn calendars() -> Calendars {
    Calendars::load(None).unwrap()
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn tick(symbol: &str, stamp: Stamp, at_ms: i64) -> Tick {
    let (price, price_text) = (Price::from_units(1), String::new());
    Tick { ts_ms: at_ms, stamp, symbol: symbol.into(), price, price_text, size: None, id: None }
}

/// Whether a tick of a symbol is open, by its stamp and by the clock, where holders have these calendars.
fn is_open(names: &[&str], stamp: &str, now: &str) -> bool {
    let held = [("X".to_owned(), names.iter().map(|name| (*name).to_owned()).collect())];
    let openings = Openings::of(&calendars(), None, held, now.parse().unwrap());
    openings.is_open(&tick("X", Stamp::Market, ms(stamp)), ms(now), 10_000)
}

#[test]
fn a_trade_is_of_a_session_by_its_stamp_and_by_the_clock() {
    // Monday, 09:15 to 15:30 in India are 03:45 to 10:00 by UTC.
    for (stamp, now, open) in [
        ("2026-11-23T03:44:59.999Z", "2026-11-23T03:45:00.100Z", false),
        ("2026-11-23T03:45:00Z", "2026-11-23T03:45:00Z", true),
        // Clocks that differ by less than the grace.
        ("2026-11-23T03:45:00Z", "2026-11-23T03:44:51Z", true),
        ("2026-11-23T09:59:59.999Z", "2026-11-23T10:00:02Z", true),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z", false),
        ("2026-11-23T06:00:00Z", "2026-11-23T06:00:00Z", true),
        // Friday's last price, told again before Monday's session and in it.
        ("2026-11-20T09:59:59Z", "2026-11-23T03:30:00Z", false),
        ("2026-11-20T09:59:59Z", "2026-11-23T04:00:00Z", false),
        // A Sunday.
        ("2026-11-22T06:00:00Z", "2026-11-22T06:00:00Z", false),
    ] {
        assert_eq!(is_open(&["XNSE"], stamp, now), open, "{stamp} {now}");
    }
}

#[test]
fn without_a_stamp_the_arrival_counts() {
    let held = || [("X".to_owned(), vec!["XNSE".to_owned()])];
    for (now, open) in
        [("2026-11-23T03:44:59Z", false), ("2026-11-23T03:45:00Z", true), ("2026-11-23T10:00:00Z", false)]
    {
        let openings = Openings::of(&calendars(), None, held(), now.parse().unwrap());
        assert_eq!(openings.is_open(&tick("X", Stamp::Arrival, 0), ms(now), 10_000), open, "{now}");
    }
}

#[test]
fn nobody_s_stop_is_kept_from_a_price_that_he_may_expect() {
    let at = "2026-11-23T15:00:00Z";
    for (names, open) in [
        (&["XNSE"][..], false),
        (&["XNYS"], true),
        (&["XNSE", "XNYS"], true),
        (&["XNSE", ""], true),
        (&["24x7"], true),
        (&["XNSE", "MARS"], true),
        (&[], true),
    ] {
        assert_eq!(is_open(names, at, at), open, "{names:?}");
    }
    // XNSE does not say yet what is in 2027, but it does of the day before.
    assert!(is_open(&["XNSE"], "2027-01-01T15:00:00Z", "2027-01-01T15:00:00Z"));
    assert!(!is_open(&["XNSE"], "2026-12-31T15:00:00Z", "2026-12-31T15:00:00Z"));
}

#[test]
fn a_symbol_that_nobody_holds_is_open_unless_the_feed_has_a_calendar() {
    let now = "2026-11-23T15:00:00Z";
    let held = || [("X".to_owned(), vec!["24x7".to_owned()])];
    let other = tick("Y", Stamp::Market, ms(now));
    let by = |feed| Openings::of(&calendars(), feed, held(), now.parse().unwrap());
    let open = |openings: &Openings| openings.is_open(&other, ms(now), 10_000);
    assert!(open(&Openings::default()) && open(&by(None)) && open(&by(Some("24x7"))) && open(&by(Some("XNYS"))));
    assert!(!open(&by(Some("XNSE"))));
    // It speaks for all symbols, whatever their holders say.
    assert!(!by(Some("XNSE")).is_open(&tick("X", Stamp::Market, ms(now)), ms(now), 10_000));
}

#[test]
fn sessions_end_where_their_day_ends() {
    let calendars = calendars();
    let always = calendars.get("24x7").unwrap();
    assert!(always.never_closes() && !calendars.get("XNYS").unwrap().never_closes());
    let day = "2026-11-27".parse().unwrap();
    // The day after Thanksgiving closes at 13:00 in New York.
    let bounds = |calendar: &str| opening(&calendars.get(calendar).unwrap(), day);
    assert_eq!(bounds("XNYS"), Some((ms("2026-11-27T14:30:00Z"), ms("2026-11-27T18:00:00Z"))));
    assert_eq!(bounds("24x7"), Some((ms("2026-11-27T00:00:00Z"), ms("2026-11-28T00:00:00Z"))));
}
