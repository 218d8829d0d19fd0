//! How many refused log-ins a peer may have: who guesses runs out of guesses.
//!
//! A peer is the other end of the TCP connection. What a header says of it (`X-Forwarded-For`) is not believed, for anybody
//! can write one; behind a reverse proxy all are one peer, and the proxy has to tell them apart. So that one of them
//! cannot shut out those who end positions, users' tokens, which nobody guesses, are taken all the same.
//!
//! It counts in this engine alone, and not in Redis: who guesses shall cost nobody a round trip.

use super::limits::{Allowance, Taken, as_id};
use crate::config::HttpSettings;
use crate::http::answer::Problem;
use axum::http::StatusCode;
use color_eyre::Result;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use strat_client::limits::{Check, LocalLimiter};
use strat_client::{Clock, SystemClock};

/// Peers that are remembered. Beyond, the one that has been good the longest is forgotten.
const PEERS_MAX: usize = 10_000;
/// A network that one subscriber has to himself, in bits: he has as many addresses in it as he likes.
const SUBSCRIBER_BITS: u32 = 64;

/// Refused log-ins of peers.
pub(in crate::http) struct Refusals {
    limiter: LocalLimiter,
    allowance: Allowance,
}

impl Refusals {
    /// # Errors
    /// For limits that cannot be; the settings were checked.
    pub(in crate::http) fn new(settings: &HttpSettings) -> Result<Self> {
        Self::by(settings, Arc::new(SystemClock), PEERS_MAX)
    }

    fn by(settings: &HttpSettings, clock: Arc<dyn Clock>, peers_max: usize) -> Result<Self> {
        let allowance = Allowance::new(settings.refused_per_minute)?;
        Ok(Self { limiter: LocalLimiter::new(clock, peers_max), allowance })
    }

    /// Whether the peer's next guess would be answered.
    pub(super) fn may_guess(&self, peer: IpAddr) -> bool {
        let peer = peer_id(peer);
        self.limiter.look(&self.check(&peer)).is_ok_and(|decision| decision.allowed)
    }

    /// Counts a refused log-in, and says by its answer how many are left; instead of it, that there are none.
    pub(super) fn count(&self, peer: IpAddr, why: Problem) -> Problem {
        if why.status() != StatusCode::UNAUTHORIZED {
            return why;
        }
        let peer = peer_id(peer);
        let Ok(decision) = self.limiter.check(&self.check(&peer)) else { return why };
        let taken = Taken { allowance: self.allowance, decision };
        if decision.allowed { taken.tell(why) } else { taken.refusal("refused log-ins from this address") }
    }

    fn check<'a>(&self, peer: &'a str) -> Check<'a> {
        Check::new("http.refused", peer, self.allowance.limit)
    }
}

/// Whom an address belongs to.
fn peer_id(address: IpAddr) -> String {
    as_id(match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> SUBSCRIBER_BITS << SUBSCRIBER_BITS)),
        v4 => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use std::time::Duration;
    use strat_client::ManualClock;

    fn refused() -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "no")
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_that_guesses_is_told_to_wait_and_others_are_not() {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let settings = HttpSettings { refused_per_minute: 12, ..HttpSettings::default() };
        let refusals = Refusals::by(&settings, clock.clone(), 10).unwrap();
        let (guesser, other) = (peer("192.0.2.1"), peer("192.0.2.2"));
        let told = |name: &str| {
            let answer = refusals.count(guesser, refused()).into_response();
            (answer.status().as_u16(), answer.headers()[name].to_str().unwrap().to_owned())
        };
        for left in ["1", "0"] {
            assert!(refusals.may_guess(guesser));
            assert_eq!(told("ratelimit-remaining"), (401, left.to_owned()));
        }
        assert!(!refusals.may_guess(guesser) && refusals.may_guess(other));
        assert_eq!(told("retry-after"), (429, "5".to_owned()));
        let forbidden = refusals.count(guesser, Problem::new(StatusCode::FORBIDDEN, "NO_TOKEN_SET", "no"));
        assert_eq!(forbidden.status(), StatusCode::FORBIDDEN, "another refusal stays what it is");
        clock.advance(Duration::from_secs(5));
        assert!(refusals.may_guess(guesser));
    }

    #[test]
    fn who_has_many_addresses_is_one_peer_and_memory_is_bounded() {
        assert_eq!(peer_id(peer("2001:db8::1")), peer_id(peer("2001:db8::ffff:2")));
        assert_ne!(peer_id(peer("2001:db8::1")), peer_id(peer("2001:db8:0:1::1")));
        assert_eq!(peer_id(peer("::ffff:192.0.2.1")), peer_id(peer("192.0.2.1")));
        let settings = HttpSettings { refused_per_minute: 6, ..HttpSettings::default() };
        let refusals = Refusals::by(&settings, Arc::new(ManualClock::at(1_700_000_000_000)), 10).unwrap();
        let known = |number: u8| peer(&format!("192.0.2.{number}"));
        (0..30).for_each(|number| {
            refusals.count(known(number), refused());
        });
        assert_eq!((0..30).filter(|number| !refusals.may_guess(known(*number))).count(), 10);
    }
}
