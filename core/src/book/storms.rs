//! Storms: a tick that crosses more stops than one call may fire. The rest stays fired in principle, whatever the price
//! does meanwhile, and is fired in slices.
//!
//! A fixed level that a storm crossed is found again by the price. A trailing stop moves on with the next best price, so
//! what a storm crosses of those is taken out of its group at once, by whole blocks; and what came since each moment
//! until then is kept with the storm, so that a restart finds the same stops.

use super::trails::extremes::Extreme;
use super::trails::groups::Groups;
use super::trails::{NONE, Trails};
use super::{Book, Slot};
use crate::decimal::Price;
use crate::strategy::{Side, Trailing};

/// Storms of one symbol kept apart; more are merged, which may fire more than was crossed, never less.
const STORMS_MAX: usize = 16;

/// What a storm caught on one side.
#[derive(Debug, Default)]
struct Caught {
    /// The best since each moment when the storm came.
    extremes: Vec<Extreme>,
    /// What it crossed, by the best price then.
    groups: Groups,
}

impl Caught {
    /// The best price of a strategy when the storm came; `None` where it began to follow later.
    fn best(&self, trailing: &Trailing) -> Option<i64> {
        let at = self.extremes.partition_point(|extreme| extreme.upto < trailing.from);
        let known = self.extremes.get(at).filter(|extreme| extreme.from <= trailing.from)?;
        Some(trailing.best(known.best))
    }
}

/// A storm that is not drained yet.
#[derive(Debug)]
pub(super) struct Storm {
    low: Price,
    high: Price,
    /// When, for the journal.
    ts_ms: i64,
    /// The book's sequence number then: what was armed later is not touched. Not in the key; after a load everything
    /// that was loaded counts as armed before.
    seq: u64,
    long: Caught,
    short: Caught,
    /// Whether trailing stops were taken out of their groups; not while only its key is known.
    has_caught: bool,
}

impl Storm {
    fn at(price: Price, ts_ms: i64, seq: u64) -> Self {
        let (long, short) = (Caught::default(), Caught::default());
        Self { low: price, high: price, ts_ms, seq, long, short, has_caught: false }
    }

    fn into_caught(self) -> [Caught; 2] {
        [self.long, self.short]
    }

    const fn side(&self, side: Side) -> &Caught {
        match side {
            Side::Long => &self.long,
            Side::Short => &self.short,
        }
    }

    const fn side_mut(&mut self, side: Side) -> &mut Caught {
        match side {
            Side::Long => &mut self.long,
            Side::Short => &mut self.short,
        }
    }

    /// The worst gain of a side.
    const fn worst(&self, side: Side) -> i64 {
        match side {
            Side::Long => side.gain(self.low.units()),
            Side::Short => side.gain(self.high.units()),
        }
    }

    /// Whether the storm holds a trailing stop.
    pub(super) fn holds(&self, trailing: &Trailing, slot: Slot) -> bool {
        let caught = self.side(trailing.side);
        !caught.groups.is_empty()
            && caught.best(trailing).is_some_and(|best| caught.groups.contains(best, trailing.offset, slot))
    }

    /// Lets a trailing stop go. Answers whether it was there.
    pub(super) fn remove(&mut self, trailing: &Trailing, slot: Slot) -> bool {
        let caught = self.side_mut(trailing.side);
        caught.best(trailing).is_some_and(|best| caught.groups.remove(best, trailing.offset, slot))
    }

    /// Trailing stops caught.
    pub(super) fn caught(&self) -> usize {
        self.long.groups.len() + self.short.groups.len()
    }

    /// Takes what the storm crosses out of the groups; the extremes are as they are when it comes.
    fn catch(&mut self, trails: &mut Trails) {
        self.has_caught = true;
        for side in Side::ALL {
            let (trail, worst) = (trails.side_mut(*side), self.worst(*side));
            let caught = self.side_mut(*side);
            caught.extremes = trail.extremes.all().collect();
            caught.groups.absorb(trail.groups.take_crossed(worst));
        }
    }

    /// Whether nobody began to follow, and no new best came, since the storm.
    fn is_of(&self, trails: Option<&Trails>) -> bool {
        Side::ALL.iter().all(|side| {
            let then = self.side(*side).extremes.iter().copied();
            match trails {
                Some(trails) => then.eq(trails.side(*side).extremes.all()),
                None => self.side(*side).extremes.is_empty(),
            }
        })
    }

    /// As it stands in the key: `low high ts`, and what came since each moment on both sides.
    fn text(&self) -> String {
        let extreme = |side: Side, extreme: &Extreme| {
            let best = (extreme.best != NONE).then(|| Price::from_units(side.gain(extreme.best)).to_string());
            format!("{}/{}/{}", extreme.from, extreme.upto, best.unwrap_or_default())
        };
        let side = |side: Side| self.side(side).extremes.iter().map(|each| extreme(side, each)).collect::<Vec<_>>();
        let text = format!("{} {} {}", self.low, self.high, self.ts_ms);
        if self.long.extremes.is_empty() && self.short.extremes.is_empty() {
            return text;
        }
        format!("{text} {} {}", side(Side::Long).join(","), side(Side::Short).join(","))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (low, high) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let ts_ms = words.next()?.parse().ok()?;
        let mut side = |side: Side| -> Option<Caught> {
            let texts = words.next().unwrap_or_default().split(',').filter(|text| !text.is_empty());
            Some(Caught {
                extremes: texts.map(|text| parse_extreme(side, text)).collect::<Option<_>>()?,
                groups: Groups::default(),
            })
        };
        let (long, short) = (side(Side::Long)?, side(Side::Short)?);
        words.next().is_none().then_some(Self { low, high, ts_ms, seq: u64::MAX, long, short, has_caught: false })
    }
}

fn parse_extreme(side: Side, text: &str) -> Option<Extreme> {
    let mut parts = text.split('/');
    let (from, upto) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let best = match parts.next()? {
        "" => NONE,
        price => side.gain(price.parse::<Price>().ok()?.units()),
    };
    parts.next().is_none().then_some(Extreme { from, upto, best })
}

/// What of a storm is fired next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StormSlice {
    /// The price that crossed it.
    pub price: Price,
    /// When.
    pub ts_ms: i64,
    /// Keys of the strategies; none: the storm is over.
    pub keys: Vec<Box<str>>,
}

impl Book {
    /// A tick crossed more than its call may fire: the rest waits. It joins the last storm where nothing changed since,
    /// else it is one of its own.
    pub fn add_storm(&mut self, symbol: &str, price: Price, ts_ms: i64) {
        self.catch_storms(symbol);
        let seq = self.seq;
        let trails = self.following.trails.get(symbol);
        let storms = self.storms.entry(symbol.into()).or_default();
        let same = storms.last().is_some_and(|last| last.seq == seq && last.is_of(trails));
        let last = if same || storms.len() >= STORMS_MAX { storms.pop() } else { None };
        let mut storm = last.unwrap_or_else(|| Storm::at(price, ts_ms, seq));
        storm.low = storm.low.min(price);
        storm.high = storm.high.max(price);
        storm.ts_ms = storm.ts_ms.max(ts_ms);
        storm.seq = seq;
        if !same {
            // What the last of too many had caught is judged again, with what came since.
            let caught = [std::mem::take(&mut storm.long), std::mem::take(&mut storm.short)];
            self.let_go(symbol, caught);
        }
        if let Some(trails) = self.following.trails.get_mut(symbol) {
            storm.catch(trails);
        }
        self.storms.entry(symbol.into()).or_default().push(storm);
    }

    /// What the durable key of a symbol's storms must say; `None` where there are none.
    #[must_use]
    pub fn storms_text(&self, symbol: &str) -> Option<String> {
        let storms = self.storms.get(symbol)?;
        Some(storms.iter().map(Storm::text).collect::<Vec<_>>().join(";"))
    }

    /// Takes over what the durable key says; `None` where it is gone. A storm that is known keeps its place in the order
    /// of arming. Answers whether there is any.
    pub fn follow_storms(&mut self, symbol: &str, text: Option<&str>) -> bool {
        if self.storms_text(symbol).as_deref() == text {
            return text.is_some();
        }
        let parsed = text.and_then(|text| text.split(';').map(Storm::parse).collect::<Option<Vec<_>>>());
        let mut found = parsed.unwrap_or_default();
        let known = self.storms.remove(symbol).unwrap_or_default();
        let now = if self.deferred { u64::MAX } else { self.seq };
        for storm in &mut found {
            let text = storm.text();
            storm.seq = known.iter().find(|old| old.text() == text).map_or(now, |old| old.seq);
        }
        self.let_go(symbol, known.into_iter().flat_map(Storm::into_caught));
        let any = !found.is_empty();
        if any {
            self.storms.insert(symbol.into(), found);
        }
        any
    }

    /// Everything is loaded: what is armed from here on is later than the storms that came with the data.
    pub(super) fn date_storms(&mut self) {
        let seq = self.seq;
        self.storms.values_mut().flatten().for_each(|storm| storm.seq = storm.seq.min(seq));
    }

    /// Symbols with storms.
    pub fn stormy(&self) -> impl Iterator<Item = &str> {
        self.storms.keys().map(AsRef::as_ref)
    }

    /// The symbol whose storm goes on next: one that holds stops, before any that holds alerts only.
    pub fn next_stormy(&mut self) -> Option<String> {
        let first = self.storms.keys().next()?.to_string();
        if self.alerts.armed() == 0 {
            return Some(first);
        }
        let names: Vec<String> = self.storms.keys().map(ToString::to_string).collect();
        let with_stops =
            names.into_iter().find(|name| self.storm_stops(name, 1).is_some_and(|slice| !slice.keys.is_empty()));
        Some(with_stops.unwrap_or(first))
    }

    /// What of the oldest storm of a symbol is fired next, at most `limit`: stops as long as there are any, then alerts. `None`
    /// where there is no storm.
    pub fn storm_slice(&mut self, symbol: &str, limit: usize) -> Option<StormSlice> {
        let stops = self.storm_stops(symbol, limit)?;
        if !stops.keys.is_empty() {
            return Some(stops);
        }
        let storm = self.storms.get(symbol)?.first()?;
        for price in [storm.low, storm.high] {
            let keys = self.alerts_armed_by(storm.seq, symbol, price, limit);
            if !keys.is_empty() {
                return Some(StormSlice { price, ts_ms: storm.ts_ms, keys });
            }
        }
        Some(stops)
    }

    fn storm_stops(&mut self, symbol: &str, limit: usize) -> Option<StormSlice> {
        self.catch_storms(symbol);
        let storm = self.storms.get(symbol)?.first()?;
        for (side, price) in [(Side::Long, storm.low), (Side::Short, storm.high)] {
            let caught = storm.side(side).groups.slots().filter_map(|slot| self.slab.get(slot));
            let fixed = self.symbols.get(symbol).into_iter().flat_map(|book| book.levels.crossed(price));
            let fixed = fixed.filter_map(|slot| self.slab.get(slot)).filter(|entry| entry.seq() <= storm.seq);
            let keys: Vec<_> = caught.chain(fixed).take(limit).map(|entry| self.key_of(entry).hash().into()).collect();
            if !keys.is_empty() {
                return Some(StormSlice { price, ts_ms: storm.ts_ms, keys });
            }
        }
        Some(StormSlice { price: storm.low, ts_ms: storm.ts_ms, keys: Vec::new() })
    }

    /// The oldest storm of a symbol is over.
    pub fn end_storm(&mut self, symbol: &str) {
        let Some(storms) = self.storms.get_mut(symbol) else { return };
        let ended = (!storms.is_empty()).then(|| storms.remove(0));
        if storms.is_empty() {
            self.storms.remove(symbol);
        }
        self.let_go(symbol, ended.into_iter().flat_map(Storm::into_caught));
    }

    /// The best price that a strategy followed when the oldest storm of its symbol came.
    #[must_use]
    pub fn best_in_storm(&self, symbol: &str, trailing: &Trailing) -> Option<Price> {
        let best = self.storms.get(symbol)?.first()?.side(trailing.side).best(trailing)?;
        (best != NONE).then(|| Price::from_units(trailing.side.gain(best)))
    }

    /// Storms of which only the keys were known catch what they crossed.
    fn catch_storms(&mut self, symbol: &str) {
        let Some(storms) = self.storms.get(symbol).filter(|storms| storms.iter().any(|storm| !storm.has_caught)) else {
            return;
        };
        let sides: Vec<Side> = Side::ALL
            .iter()
            .copied()
            .filter(|side| storms.iter().any(|storm| !storm.side(*side).extremes.is_empty()))
            .collect();
        for side in sides {
            for (slot, follower) in self.followers_of(symbol, side) {
                self.catch(symbol, side, slot, &follower.trailing);
            }
        }
        let storms = self.storms.get_mut(symbol).into_iter().flatten();
        storms.for_each(|storm| storm.has_caught = true);
    }

    /// The first storm that crossed a trailing stop catches it.
    fn catch(&mut self, symbol: &str, side: Side, slot: Slot, trailing: &Trailing) {
        let (Some(trails), Some(storms)) = (self.following.trails.get_mut(symbol), self.storms.get_mut(symbol)) else {
            return;
        };
        let crossing = storms.iter_mut().filter(|storm| !storm.has_caught).find_map(|storm| {
            let best = storm.side(side).best(trailing)?;
            let crossed = best > NONE && storm.worst(side) <= trailing.offset.behind(best);
            crossed.then_some((storm, best))
        });
        if let Some((storm, best)) = crossing
            && trails.side_mut(side).remove(trailing, slot)
        {
            storm.side_mut(side).groups.insert(best, trailing.offset, slot);
        }
    }

    /// What storms caught goes back to where it belongs by the prices that came since.
    fn let_go(&mut self, symbol: &str, caught: impl IntoIterator<Item = Caught>) {
        let Some(trails) = self.following.trails.get_mut(symbol) else { return };
        for caught in caught {
            for slot in caught.groups.slots() {
                if let Some(follower) = self.following.followers.get(&slot) {
                    trails.side_mut(follower.trailing.side).insert(&follower.trailing, slot);
                }
            }
        }
    }
}
