//! What is done to links, and to what the broker says over its own.

use super::faults::{Chaos, Repair, Victim};
use super::proxy::Mode;
use super::schedule::LIES;
use crate::support::now_ms;
use std::time::Duration;

/// How long a link is bad, ms.
const BAD_LINK: (i64, i64) = (50, 1_200);
/// The same before a server that sentinels watch: mostly too short for a failover, which has orders wait for seconds.
const BAD_LINK_WATCHED: (i64, i64) = (50, 600);
/// How long the broker lies in one way, ms.
const LYING: (i64, i64) = (200, 1_500);
/// Percent of the faults drawn for a feed, or for a server that sentinels watch, that meet it: an engine that loses its
/// feed all the time proves nothing about stops, and with failovers all the time nobody trades.
const RARELY: usize = 25;
/// How the names of the links before those servers begin.
const WATCHED: &str = "to-redis";

impl Chaos<'_> {
    /// A link, by its place.
    fn draw_link(&mut self) -> usize {
        let links = self.world.links();
        let count = links.len();
        let is_rare = |name: &str| name.ends_with("-feed") || name.starts_with(WATCHED);
        let rare: Vec<_> = links.iter().map(|link| is_rare(link.name())).collect();
        loop {
            let chosen = self.rng.below(count);
            if !rare[chosen] || self.rng.chance(RARELY) {
                return chosen;
            }
        }
    }

    pub(super) fn cut_link(&mut self) {
        let chosen = self.draw_link();
        let links = self.world.links();
        let name = links[chosen].name();
        links[chosen].cut();
        self.harmed_link(name);
        self.note(&format!("cut {name}"));
    }

    pub(super) fn spoil_link(&mut self) {
        let chosen = self.draw_link();
        if !self.bad_links.insert(chosen) {
            return;
        }
        let mode = match self.rng.below(5) {
            0 => Mode::Refuse,
            1 => Mode::Delay(Duration::from_millis(self.rng.between(5, 300).unsigned_abs())),
            2 => Mode::HalfOpen,
            3 => Mode::DropReplies,
            _ => Mode::Throttle(self.rng.between(1, 40) as usize * 1_000),
        };
        let links = self.world.links();
        let name = links[chosen].name();
        links[chosen].set(mode);
        self.harmed_link(name);
        let watched = name.starts_with(WATCHED);
        if watched {
            // For the sentinels that server may be dead.
            self.tally.losses_ms.push(now_ms());
        }
        let after = self.later(if watched { BAD_LINK_WATCHED } else { BAD_LINK }, Repair::Link(chosen));
        self.note(&format!("{name}: {mode:?} for {after:?}"));
    }

    pub(super) fn repair_link(&mut self, link: usize) {
        let links = self.world.links();
        let name = links[link].name();
        links[link].set(Mode::Pass);
        self.bad_links.remove(&link);
        self.world.interrupt_feed_of(name);
    }

    fn harmed_link(&mut self, name: &str) {
        self.tally.cuts += 1;
        self.world.interrupt_feed_of(name);
    }

    /// For a while the broker does little else than lie in one way.
    pub(super) fn lie(&mut self) {
        let lie = format!("{}={}", self.rng.pick(LIES), self.rng.between(40, 100));
        if self.away.contains(&Victim::Broker) || !self.world.broker.set_lies(&lie) {
            return;
        }
        let after = self.later(LYING, Repair::Honesty);
        self.note(&format!("the broker lies for {after:?}: {lie}"));
    }
}
