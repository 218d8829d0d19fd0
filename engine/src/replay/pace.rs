//! How fast a replay runs.

use std::str::FromStr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Speed of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times as fast as it was.
    Times(u32),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text.parse().ok().filter(|times| *times > 0);
        times.map(Self::Times).ok_or_else(|| format!("'{text}' is neither max nor a whole number above 0"))
    }
}

/// Keeps the pace.
pub(crate) struct Pace {
    speed: Speed,
    first_ms: i64,
    started: Instant,
}

impl Pace {
    pub(crate) fn new(speed: Speed, first_ms: i64) -> Self {
        Self { speed, first_ms, started: Instant::now() }
    }

    /// Waits until it is time for a tick of `ts_ms`. Cancel safe.
    pub(crate) async fn wait_for(&self, ts_ms: i64) {
        if let Speed::Times(times) = self.speed {
            let passed = Duration::from_millis(ts_ms.saturating_sub(self.first_ms).max(0).unsigned_abs());
            sleep_until(self.started + passed / times).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_max_or_a_factor() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("60".parse(), Ok(Speed::Times(60)));
        assert!(["0", "-1", "fast", "1.5"].iter().all(|text| text.parse::<Speed>().is_err()));
    }
}
