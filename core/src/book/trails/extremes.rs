//! The best price since each moment at which somebody began to follow.
//!
//! Later moments have seen fewer prices, so their best is never better. Moments that have come to the same best stay
//! together for ever, because every price from now on counts for both: a stack, from which a new best takes what it
//! beats. Each moment is taken once, which makes a price cost amortized constant time, whoever follows.

use super::NONE;

/// The best price since any moment of a range, as a gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::book) struct Extreme {
    pub(in crate::book) from: i64,
    pub(in crate::book) upto: i64,
    /// [`NONE`] where no price came.
    pub(in crate::book) best: i64,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    extreme: Extreme,
    /// How many follow from one of its moments.
    users: usize,
    /// Whether the durable key has one that begins so.
    stored: bool,
    /// Whether the durable key does not say it yet.
    fresh: bool,
}

/// What of the durable key changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::book) struct Rewrite {
    pub(in crate::book) written: Vec<Extreme>,
    /// First moments of what goes.
    pub(in crate::book) gone: Vec<i64>,
}

#[derive(Debug, Default)]
pub(in crate::book) struct Extremes {
    steps: Vec<Step>,
    /// First moments that the durable key has, and that are no more.
    gone: Vec<i64>,
}

impl Extremes {
    /// Where a moment is covered, or belongs.
    fn position(&self, moment: i64) -> Result<usize, usize> {
        let at = self.steps.partition_point(|step| step.extreme.upto < moment);
        let covered = self.steps.get(at).is_some_and(|step| step.extreme.from <= moment);
        if covered { Ok(at) } else { Err(at) }
    }

    /// The best price since a moment; [`NONE`] where none came, or nobody follows from there.
    pub(in crate::book) fn since(&self, moment: i64) -> i64 {
        self.position(moment).map_or(NONE, |at| self.steps[at].extreme.best)
    }

    /// Somebody follows from a moment. What came since one that is not known is at least what came since the next: then
    /// the durable key is to say so. Answers whether that is the case.
    pub(in crate::book) fn enter(&mut self, moment: i64) -> bool {
        let at = self.position(moment).unwrap_or_else(|at| {
            let best = self.steps.get(at).map_or(NONE, |next| next.extreme.best);
            let extreme = Extreme { from: moment, upto: moment, best };
            self.steps.insert(at, Step { extreme, users: 0, stored: false, fresh: best != NONE });
            at
        });
        let step = &mut self.steps[at];
        step.users += 1;
        step.fresh && step.users == 1
    }

    /// Nobody follows from there any more. The moment stays until [`Extremes::release`]: a key that is renamed leaves and
    /// enters again.
    pub(in crate::book) fn leave(&mut self, moment: i64) {
        if let Ok(at) = self.position(moment) {
            self.steps[at].users = self.steps[at].users.saturating_sub(1);
        }
    }

    /// The moment of somebody who begins now: one that no price has come after.
    pub(in crate::book) fn next_moment(&self, now_ms: i64) -> i64 {
        match self.steps.last() {
            Some(last) if last.extreme.best == NONE => last.extreme.upto,
            Some(last) => now_ms.max(last.extreme.upto.saturating_add(1)),
            None => now_ms,
        }
    }

    /// Whether a price is a new best for anybody: it is enough to look at the latest.
    pub(in crate::book) fn is_raised_by(&self, gain: i64) -> bool {
        self.steps.last().is_some_and(|last| last.extreme.best < gain)
    }

    /// A new best: what it beats comes together.
    pub(in crate::book) fn raise(&mut self, gain: i64) {
        let beaten = self.steps.iter().rposition(|step| step.extreme.best > gain).map_or(0, |last| last + 1);
        let Some((first, later)) = self.steps.get_mut(beaten..).and_then(<[Step]>::split_first_mut) else { return };
        first.extreme.best = gain;
        first.fresh = true;
        for step in later {
            first.extreme.upto = step.extreme.upto;
            first.users += step.users;
            self.gone.extend(step.stored.then_some(step.extreme.from));
        }
        self.steps.truncate(beaten + 1);
    }

    /// Forgets the moments that nobody follows from.
    pub(in crate::book) fn release(&mut self) {
        self.release_where(|_| true);
    }

    /// As [`Extremes::release`], where the first moment is one of these.
    pub(in crate::book) fn release_where(&mut self, which: impl Fn(i64) -> bool) {
        let idle = |step: &Step| step.users == 0 && which(step.extreme.from);
        self.gone.extend(self.steps.iter().filter(|step| idle(step) && step.stored).map(|step| step.extreme.from));
        self.steps.retain(|step| !idle(step));
    }

    /// What the durable key does not say yet; it is taken for said from now on.
    pub(in crate::book) fn take_rewrite(&mut self) -> Rewrite {
        let mut rewrite = Rewrite { written: Vec::new(), gone: std::mem::take(&mut self.gone) };
        for step in self.steps.iter_mut().filter(|step| step.fresh) {
            (step.stored, step.fresh) = (true, false);
            rewrite.written.push(step.extreme);
        }
        // A moment may have gone and come again. What is written is in order.
        let written = |moment: &i64| rewrite.written.binary_search_by_key(moment, |extreme| extreme.from).is_ok();
        rewrite.gone.retain(|moment| !written(moment));
        rewrite
    }

    /// Nothing of this is in the durable key as it is, except what stands there already.
    pub(in crate::book) fn write_anew(&mut self, there: &Self) {
        self.gone = there.steps.iter().map(|step| step.extreme.from).collect();
        self.steps.iter_mut().for_each(|step| (step.stored, step.fresh) = (false, true));
    }

    pub(in crate::book) const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(in crate::book) fn has_idle(&self) -> bool {
        self.steps.iter().any(|step| step.users == 0)
    }

    pub(in crate::book) fn users(&self) -> usize {
        self.steps.iter().map(|step| step.users).sum()
    }

    /// All of them, the oldest first.
    pub(in crate::book) fn all(&self) -> impl Iterator<Item = Extreme> + '_ {
        self.steps.iter().map(|step| step.extreme)
    }

    /// Those since which a price came.
    pub(in crate::book) fn priced(&self) -> impl Iterator<Item = Extreme> + '_ {
        self.all().filter(|extreme| extreme.best != NONE)
    }

    /// What the durable key has of them.
    pub(in crate::book) fn stored(&self) -> impl Iterator<Item = Extreme> + '_ {
        self.steps.iter().filter(|step| step.stored).map(|step| step.extreme)
    }

    /// Takes over what the durable key says; nobody follows yet.
    pub(in crate::book) fn of_stored(mut stored: Vec<Extreme>) -> Self {
        stored.sort_unstable_by_key(|extreme| extreme.from);
        let mut extremes = Self::default();
        for extreme in stored {
            // Somebody may have written what cannot be.
            let follows = extremes.steps.last().is_none_or(|last| last.extreme.upto < extreme.from);
            if follows && extreme.from <= extreme.upto {
                extremes.steps.push(Step { extreme, users: 0, stored: true, fresh: false });
            }
        }
        let mut best = NONE;
        for step in extremes.steps.iter_mut().rev() {
            best = best.max(step.extreme.best);
            step.extreme.best = best;
        }
        extremes
    }

    /// The first best price that is known of a moment, or of the next later one: no better one came since then.
    fn at_least(&self, moment: i64) -> i64 {
        let at = self.steps.partition_point(|step| step.extreme.upto < moment);
        self.steps.get(at).map_or(NONE, |step| step.extreme.best)
    }

    /// What both know together: of each moment since which one of them knows a price, the better one.
    pub(in crate::book) fn merged(&self, other: &Self) -> Vec<Extreme> {
        let priced = self.priced().chain(other.priced());
        let mut starts: Vec<i64> = priced.flat_map(|extreme| [extreme.from, extreme.upto.saturating_add(1)]).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut merged: Vec<Extreme> = Vec::new();
        for (at, from) in starts.iter().enumerate() {
            let upto = starts.get(at + 1).map_or(i64::MAX, |next| next - 1);
            if self.position(*from).or(other.position(*from)).is_err() {
                continue;
            }
            let best = self.at_least(*from).max(other.at_least(*from));
            if best == NONE {
                continue;
            }
            match merged.last_mut().filter(|last| last.best == best && last.upto.saturating_add(1) == *from) {
                Some(last) => last.upto = upto,
                None => merged.push(Extreme { from: *from, upto, best }),
            }
        }
        merged
    }

    pub(in crate::book) const fn heap_bytes(&self) -> usize {
        self.steps.capacity() * size_of::<Step>() + self.gone.capacity() * size_of::<i64>()
    }

    /// Whether the moments are in order and a later one has no better price.
    pub(in crate::book) fn is_sound(&self) -> bool {
        let ordered =
            |pair: &[Step]| pair[0].extreme.upto < pair[1].extreme.from && pair[0].extreme.best >= pair[1].extreme.best;
        self.steps.windows(2).all(ordered) && self.steps.iter().all(|step| step.extreme.from <= step.extreme.upto)
    }
}
