//! One limit: at most so many calls in any span of a period.

use std::collections::VecDeque;

/// Parts that a period is counted in. A call counts for up to one part longer than the period: never more passes than the
/// limit says, and a whole limit is free again after it.
const PARTS: i64 = 50;

/// Counts the calls of the last period.
///
/// Brokers count in windows. A bucket that fills steadily, as the client's limits are, keeps to them only at the price of half
/// the limit, and gives a day's limit back in the course of a day instead of at its end. This counts exactly what brokers count.
#[derive(Debug, Clone)]
pub(super) struct Window {
    limit: u32,
    /// Of those, for exits alone.
    reserved: u32,
    part_ms: i64,
    /// Part of time and calls in it, oldest first; at most [`PARTS`] + 2 of them.
    parts: VecDeque<(i64, u32)>,
    used: u32,
}

impl Window {
    /// `period_ms` at least [`PARTS`].
    pub(super) fn new(limit: u32, reserved: u32, period_ms: i64) -> Self {
        let part_ms = (period_ms / PARTS).max(1);
        Self { limit, reserved: reserved.min(limit.saturating_sub(1)), part_ms, parts: VecDeque::new(), used: 0 }
    }

    /// What entries may use.
    pub(super) const fn for_entries(&self) -> u32 {
        self.limit - self.reserved
    }

    pub(super) const fn for_exits(&self) -> u32 {
        self.limit
    }

    /// Forgets what is older than the period.
    pub(super) fn pass(&mut self, now_ms: i64) {
        while let Some(&(part, calls)) = self.parts.front()
            && self.ends_ms(part) <= now_ms
        {
            self.used -= calls;
            self.parts.pop_front();
        }
    }

    /// Counts a call, whether there is room or not.
    pub(super) fn count(&mut self, now_ms: i64) {
        let part = now_ms.div_euclid(self.part_ms);
        match self.parts.back_mut() {
            // Not before the last one: time only goes on.
            Some((last, calls)) if *last >= part => *calls += 1,
            _ => self.parts.push_back((part, 1)),
        }
        self.used += 1;
    }

    /// Calls in the period.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// How long until at most `room` calls count, ms; 0 where that is so.
    pub(super) fn until_ms(&self, room: u32, now_ms: i64) -> i64 {
        let mut left = self.used;
        for &(part, calls) in &self.parts {
            if left <= room {
                break;
            }
            left -= calls;
            if left <= room {
                return self.ends_ms(part).saturating_sub(now_ms).max(1);
            }
        }
        0
    }

    /// When the calls of a part do not count any more.
    const fn ends_ms(&self, part: i64) -> i64 {
        (part + 1 + PARTS).saturating_mul(self.part_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_whole_limit_passes_at_once_and_again_a_period_later() {
        let mut window = Window::new(3, 1, 1_000);
        for _ in 0..3 {
            window.count(10);
        }
        assert_eq!((window.used(), window.until_ms(2, 10)), (3, 1_010));
        window.pass(1_019);
        assert_eq!(window.used(), 3, "the period has passed, the part of time has not");
        window.pass(1_020);
        assert_eq!((window.used(), window.until_ms(2, 1_020)), (0, 0));
    }

    #[test]
    fn a_reserve_leaves_entries_something() {
        assert_eq!(Window::new(1, 1, 1_000).for_entries(), 1);
        assert_eq!((Window::new(10, 3, 1_000).for_entries(), Window::new(10, 3, 1_000).for_exits()), (7, 10));
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_in_any_span(
            limit in 1u32..20, period in 50i64..5_000, pauses in proptest::collection::vec(0i64..300, 1..200),
        ) {
            // Whole parts, as all real periods have them.
            let period = period / PARTS * PARTS;
            let (mut window, mut now, mut passed) = (Window::new(limit, 0, period), 1_000_000, Vec::new());
            for pause in pauses {
                now += pause;
                window.pass(now);
                if window.used() < limit {
                    window.count(now);
                    passed.push(now);
                } else {
                    let wait = window.until_ms(limit - 1, now);
                    prop_assert!(wait > 0 && wait <= period + period / PARTS, "{wait}");
                    let mut later = window.clone();
                    later.pass(now + wait);
                    prop_assert!(later.used() < limit, "what is told comes true");
                    let mut early = window.clone();
                    early.pass(now + wait - 1);
                    prop_assert!(early.used() >= limit, "and not sooner");
                }
            }
            for from in &passed {
                let within = passed.iter().filter(|at| (*from..*from + period).contains(at)).count();
                prop_assert!(within <= limit as usize, "{within} of {limit}");
            }
            prop_assert!(window.parts.len() <= PARTS as usize + 2);
        }
    }
}
