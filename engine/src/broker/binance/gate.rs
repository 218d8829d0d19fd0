//! When Binance may be asked: its waits and bans are kept to, and its count of what was used is watched ("IP Limits").
//!
//! - **A ban is over when it is over.** Whoever goes on sending is banned for longer, up to days. So nothing is sent meanwhile,
//!   exits included: they wait, and that is an alarm.
//! - The weight that an address uses in a minute comes with every answer. Near the limit, entries and lists wait for the next
//!   minute, so that exits and look-ups have the rest.

use super::super::wire::http::Answer;
use hyper::StatusCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Where an answer names no wait: after 429 and a firewall's 403; after 418, the shortest ban that there is.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);
pub(super) const BAN_DEFAULT: Duration = Duration::from_secs(120);
/// The longest ban that there is: three days. A longer wait is a mistake.
const WAIT_MAX: Duration = Duration::from_secs(3 * 86_400);
/// Weight a minute that an address has where nobody has said.
const WEIGHT_DEFAULT: u64 = 6_000;
/// Percent of it from which on only what exits need is sent.
const WEIGHT_PERCENT: u64 = 80;
/// How long a count that was told counts.
const MINUTE: Duration = Duration::from_secs(60);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An exit, or a look-up, cancellation or measurement that one may wait for.
    Vital,
    /// An entry or a list: it can wait for the next minute.
    Patient,
}

/// Why nothing may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// Asked to wait.
    Asked(Duration),
    /// Banned.
    Banned(Duration),
    /// The minute's weight is nearly used up.
    Heavy(Duration),
}

impl Shut {
    /// How long to wait.
    pub(super) const fn wait(self) -> Duration {
        match self {
            Self::Asked(wait) | Self::Banned(wait) | Self::Heavy(wait) => wait,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Until when, and whether by a ban.
    shut: Option<(Instant, bool)>,
    /// The last count of used weight, and when it came.
    used: Option<(u64, Instant)>,
    weight_max: Option<u64>,
}

impl Gate {
    /// Whether a request may go.
    pub(super) fn pass(&self, purpose: Purpose, now: Instant) -> Result<(), Shut> {
        let state = self.lock();
        if let Some((until, banned)) = state.shut.filter(|(until, _)| *until > now) {
            let wait = until - now;
            return Err(if banned { Shut::Banned(wait) } else { Shut::Asked(wait) });
        }
        match state.used {
            Some((used, told)) if purpose == Purpose::Patient && used >= state.near() => {
                // Binance's minutes are those of its clock: after so long, a new one has begun.
                let wait = MINUTE.saturating_sub(now - told);
                if wait.is_zero() { Ok(()) } else { Err(Shut::Heavy(wait)) }
            }
            _ => Ok(()),
        }
    }

    /// Takes what an answer says of limits; answers how long to wait where it is a refusal for that reason.
    pub(super) fn heed(&self, answer: &Answer, now: Instant) -> Option<Duration> {
        if let Some(used) = answer.header("x-mbx-used-weight-1m").and_then(|value| value.parse().ok()) {
            self.used(used, now);
        }
        let told = answer.header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS => Some(self.shut(told.unwrap_or(WAIT_DEFAULT), false, now)),
            StatusCode::IM_A_TEAPOT => Some(self.shut(told.unwrap_or(BAN_DEFAULT), true, now)),
            // The firewall's: it counts too, but says nothing of the request.
            StatusCode::FORBIDDEN => {
                self.shut(told.unwrap_or(WAIT_DEFAULT), false, now);
                None
            }
            _ => None,
        }
    }

    /// Nothing is sent for so long. A shorter wait does not end a longer one.
    pub(super) fn shut(&self, wait: Duration, banned: bool, now: Instant) -> Duration {
        let wait = wait.min(WAIT_MAX);
        let until = now + wait;
        let mut state = self.lock();
        let before = state.shut.filter(|(before, _)| *before > until);
        state.shut = before.or(Some((until, banned)));
        drop(state);
        let seconds = wait.as_secs();
        if banned {
            tracing::error!(
                seconds,
                "BINANCE HAS BANNED THIS ADDRESS: nothing is sent until it is over, EXITS WAIT TOO"
            );
        } else {
            tracing::warn!(seconds, "Binance asks to wait; nothing is sent to it meanwhile");
        }
        wait
    }

    /// Weight that an address may use a minute.
    pub(super) fn allow(&self, weight_per_minute: u64) {
        self.lock().weight_max = Some(weight_per_minute.max(1));
    }

    fn used(&self, used: u64, now: Instant) {
        let mut state = self.lock();
        let was_near = state.used.is_some_and(|(before, _)| before >= state.near());
        state.used = Some((used, now));
        let near = used >= state.near();
        drop(state);
        if near && !was_near {
            tracing::warn!(
                used,
                "Binance's weight of this minute is nearly used up: entries and lists wait for the next"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn near(&self) -> u64 {
        self.weight_max.unwrap_or(WEIGHT_DEFAULT).saturating_mul(WEIGHT_PERCENT) / 100
    }
}
