//! What one account has used of its limits, for which entries room is kept, and which wait for some.

use super::LimitSettings;
use super::window::Window;
use std::collections::{HashMap, VecDeque};

/// Calls for which room is kept for an entry: most are looked up before they are sent.
pub(super) const CALLS_PER_ENTRY: u32 = 2;
/// How long it is kept, ms: so long an entry may take from the lock to the broker.
const KEPT_MS: i64 = 3_000;
/// An entry in line that has not asked for so long has gone, ms. Those that wait ask twice a second.
const GONE_MS: i64 = 2_500;
/// How long an entry may stand in line, ms. Then it goes on without room, and the rules for what is late decide.
const IN_LINE_MAX_MS: i64 = 30_000;
/// Entries in line; more than the engine takes up at a time.
const LINE_MAX: usize = 10_000;

/// An account at the broker.
#[derive(Debug)]
pub(super) struct Account {
    windows: Vec<Window>,
    /// The broker has asked for a pause until then.
    closed_until_ms: i64,
    /// Room of entries that were let through and have not been sent, by client order id.
    kept: HashMap<String, Kept>,
    line: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Kept {
    calls: u32,
    until_ms: i64,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    since_ms: i64,
    asked_ms: i64,
}

/// What an entry is told that asks before it is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Go: room is kept.
    Now,
    /// Go without: it has stood in line for too long.
    Late,
    /// Ask again. `first`: it has not been told so before.
    Later { first: bool },
}

impl Account {
    pub(super) fn new(settings: &LimitSettings) -> Self {
        let windows = settings.windows();
        Self { windows, closed_until_ms: i64::MIN, kept: HashMap::new(), line: VecDeque::new() }
    }

    /// Nothing counts and nobody waits: it may be forgotten.
    pub(super) fn is_idle(&mut self, now_ms: i64) -> bool {
        self.pass(now_ms);
        let unused = self.windows.iter().all(|window| window.used() == 0);
        unused && self.line.is_empty() && self.kept.is_empty() && self.closed_until_ms <= now_ms
    }

    /// Counts a call.
    pub(super) fn count(&mut self, now_ms: i64) {
        self.windows.iter_mut().for_each(|window| window.count(now_ms));
    }

    /// The broker asks to be left alone for a while: entries do so.
    pub(super) fn close(&mut self, until_ms: i64) {
        self.closed_until_ms = self.closed_until_ms.max(until_ms);
    }

    /// An exit, or what serves one: counts it if there is room, else says for how long there is none, ms.
    pub(super) fn exit(&mut self, now_ms: i64) -> Result<(), i64> {
        self.pass(now_ms);
        let wait = |window: &Window| window.until_ms(window.for_exits() - 1, now_ms);
        match self.windows.iter().map(wait).max() {
            None | Some(0) => {
                self.count(now_ms);
                Ok(())
            }
            Some(ms) => Err(ms),
        }
    }

    /// Looks up an entry that room is kept for: counts it. `false` where there is none.
    pub(super) fn look_up_kept(&mut self, id: &str, now_ms: i64) -> bool {
        self.pass(now_ms);
        let Some(kept) = self.kept.get_mut(id) else { return false };
        // The last of it is for the order itself.
        kept.calls = (kept.calls - 1).max(1);
        self.count(now_ms);
        true
    }

    /// An entry that is sent now: counts it if there is room beside the reserve, else says for how long there is none, ms.
    pub(super) fn entry(&mut self, id: &str, now_ms: i64) -> Result<(), i64> {
        self.pass(now_ms);
        let kept = self.kept.remove(id);
        match self.entries_wait_ms(1, now_ms) {
            0 => {
                self.count(now_ms);
                Ok(())
            }
            ms => {
                // It asks again; an exit has taken its room.
                self.kept.extend(kept.map(|kept| (id.to_owned(), kept)));
                Err(ms)
            }
        }
    }

    /// An entry that is about to be claimed: those that came first go first.
    pub(super) fn turn(&mut self, id: &str, now_ms: i64) -> Turn {
        self.pass(now_ms);
        let calls = self.windows.iter().map(Window::for_entries).fold(CALLS_PER_ENTRY, u32::min);
        let kept = Kept { calls, until_ms: now_ms.saturating_add(KEPT_MS) };
        if self.kept.contains_key(id) {
            // It had to wait for something else.
            self.kept.insert(id.to_owned(), kept);
            return Turn::Now;
        }
        let known = self.line.iter().position(|waiting| waiting.id == id);
        let place = known.unwrap_or(self.line.len());
        let before = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        if self.entries_wait_ms(before.saturating_mul(calls), now_ms) == 0 {
            self.line.remove(place);
            self.kept.insert(id.to_owned(), kept);
            return Turn::Now;
        }
        let Some(waiting) = self.line.get_mut(place) else {
            if place < LINE_MAX {
                self.line.push_back(Waiting { id: id.to_owned(), since_ms: now_ms, asked_ms: now_ms });
            }
            return Turn::Later { first: true };
        };
        waiting.asked_ms = now_ms;
        if now_ms - waiting.since_ms <= IN_LINE_MAX_MS {
            return Turn::Later { first: false };
        }
        self.line.remove(place);
        Turn::Late
    }

    /// How long until entries may make so many calls more beside those that room is kept for, ms. What never fits takes at least
    /// a moment: those before it will have been sent.
    fn entries_wait_ms(&self, calls: u32, now_ms: i64) -> i64 {
        let kept = self.kept.values().map(|kept| kept.calls).fold(0, u32::saturating_add);
        let wait = |window: &Window| match window.for_entries().checked_sub(calls.saturating_add(kept)) {
            Some(room) => window.until_ms(room, now_ms),
            None => window.until_ms(0, now_ms).max(1),
        };
        let closed = self.closed_until_ms.saturating_sub(now_ms).max(0);
        self.windows.iter().map(wait).max().unwrap_or(0).max(closed)
    }

    fn pass(&mut self, now_ms: i64) {
        self.windows.iter_mut().for_each(|window| window.pass(now_ms));
        self.kept.retain(|_, kept| kept.until_ms > now_ms);
        self.line.retain(|waiting| now_ms - waiting.asked_ms <= GONE_MS);
    }
}
