//! The machine that the engine runs on: time zones, calendars, clock.

use super::Finding;

use crate::config::Settings;
use crate::failure::sentence;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn zones() -> Finding {
    match jiff::tz::TimeZone::get("America/New_York") {
        Ok(_) => Finding::ok("the time zone database is there"),
        Err(error) => Finding::fail(
            format!("no time zone database: {error}"),
            "apt-get install tzdata, or set TZDIR to where it is",
        ),
    }
}

pub(super) fn calendars(settings: &Settings) -> Finding {
    match settings.calendars() {
        Ok(_) => Finding::ok("the session calendars can be read"),
        Err(error) => Finding::fail(
            format!("the session calendars: {}", sentence(&error)),
            "correct the file, or set schedule.calendars_dir, schedule.square_off (STRAT_SCHEDULE_CALENDARS_DIR, …_SQUARE_OFF)",
        ),
    }
}

/// The engine's clock decides what is due, the server's what is recorded.
pub(super) fn clock(server_ms: Option<i64>) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let fix = "let NTP set the clock: timedatectl set-ntp true";
    // 2025: this program did not exist before.
    if now < 1_735_689_600_000 {
        return Finding::fail("the clock stands before 2025", fix);
    }
    match server_ms.map(|server| (server - now).abs()) {
        Some(apart) if apart > 2_000 => {
            Finding::warn(format!("the clocks of this machine and of Redis are {apart} ms apart"), fix)
        }
        Some(_) => Finding::ok("the clocks of this machine and of Redis agree"),
        None => Finding::ok("the clock is set"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert_eq!(clock(None).mark, Mark::Ok);
        assert_eq!(clock(Some(now)).mark, Mark::Ok);
        for apart in [-60_000, 60_000] {
            assert_eq!(clock(Some(now + apart)).mark, Mark::Warn);
        }
    }
}
