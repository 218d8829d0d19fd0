//! What is done to Redis short of killing it.

use super::faults::{Chaos, Repair, Victim};
use super::world::CLOCKS;
use crate::support::now_ms;

/// So many bytes are left on the disk: the next write may still fit, or only a part of it.
const ROOM: (i64, i64) = (1, 600);
/// So far a clock is set forward or back, ms: always beyond the life of a lock. Forward is what others wait for later.
const AHEAD: (i64, i64) = (2_000, 30_000);
const BEHIND: (i64, i64) = (2_000, 180_000);
/// How long a clock is wrong, ms.
const WRONG: (i64, i64) = (200, 4_000);

/// Settings that have a server refuse writes: OOM those that make something bigger, NOREPLICAS every one.
const REFUSALS: &[(&str, &str)] = &[("maxmemory", "1"), ("min-replicas-to-write", "5")];

impl Chaos<'_> {
    /// Everything is gone at once.
    pub(super) fn flush(&mut self) {
        if self.away.contains(&Victim::Redis(self.world.store.primary())) {
            return;
        }
        let Ok(mut conn) = self.world.primary() else { return };
        if conn.try_call(&["FLUSHALL"]).is_ok_and(|reply| !reply.is_error()) {
            self.tally.losses_ms.push(now_ms());
            self.tally.flushes += 1;
            self.note("FLUSHALL");
        }
    }

    /// The primary answers and refuses writes, as one without memory or without its replicas does.
    pub(super) fn refuse_writes(&mut self) {
        let at = self.world.store.primary();
        if !self.away.insert(Victim::Redis(at)) {
            return;
        }
        let (setting, value) = *self.rng.pick(REFUSALS);
        let _ = self.world.store.conn(at).try_call(&["CONFIG", "SET", setting, value]);
        self.tally.refusals += 1;
        let after = self.later((300, 2_000), Repair::Writes(at));
        self.note(&format!("Redis refuses writes for {after:?} ({setting} {value})"));
    }

    /// Back to a server that takes writes.
    pub(super) fn take_writes(&mut self, at: usize) {
        for (setting, _) in REFUSALS {
            let _ = self.world.store.conn(at).try_call(&["CONFIG", "SET", setting, "0"]);
        }
        self.away.remove(&Victim::Redis(at));
    }

    /// An orderly hand-over by the sentinels, if there are any and they can.
    pub(super) fn fail_over(&mut self) {
        if self.world.store.fail_over() {
            self.tally.failovers += 1;
            self.tally.losses_ms.push(now_ms());
            self.note("the sentinels hand over");
        }
    }

    /// The primary's disk fills up. It ends itself with the write that does not fit, in the middle of the traffic.
    pub(super) fn fill_disk(&mut self) {
        let at = self.world.store.primary();
        if !self.world.fills_disks || !self.away.insert(Victim::Redis(at)) {
            return;
        }
        let room = self.rng.between(ROOM.0, ROOM.1);
        self.world.store.server(at).fill_disk(room.unsigned_abs());
        self.note_loss(Victim::Redis(at));
        let after = self.later(self.away(Victim::Redis(at)), Repair::Disk(at));
        self.note(&format!("the disk of Redis has room for {room} bytes for {after:?}"));
    }

    /// Back to a server with room; one that has ended is started.
    pub(super) fn free_disk(&mut self, at: usize) {
        if self.world.store.server(at).has_ended() {
            self.tally.full_disks += 1;
            self.world.store.start_again(at);
        } else {
            self.world.store.server(at).free_disk();
        }
        self.away.remove(&Victim::Redis(at));
    }

    /// The clock of an engine or of a server of Redis jumps.
    ///
    /// Whether an order at the broker is one of the past is judged by its time, so the clocks of an engine and of Redis may
    /// not be ahead of the broker's together (docs/guarantees.md): what begins an order takes the earlier of the two.
    pub(super) fn set_clock(&mut self) {
        let name = *self.rng.pick(CLOCKS);
        let is_redis = |name: &str| name.starts_with("redis");
        let other_ahead = self.wrong_clocks.iter().any(|(other, ms)| *ms > 0 && is_redis(other) != is_redis(name));
        let ahead = self.rng.chance(50) && !other_ahead;
        let (low, high) = if ahead { AHEAD } else { BEHIND };
        let offset_ms = self.rng.between(low, high) * if ahead { 1 } else { -1 };
        let Some(clocks) = &self.world.clocks else { return };
        if self.wrong_clocks.contains_key(name) {
            return;
        }
        clocks.set(name, offset_ms);
        self.wrong_clocks.insert(name, offset_ms);
        self.tally.clocks += 1;
        let after = self.later(WRONG, Repair::Clock(name));
        self.note(&format!("the clock of {name} is {offset_ms} ms wrong for {after:?}"));
    }

    /// Back to the right time.
    pub(super) fn set_clock_right(&mut self, name: &'static str) {
        let offset_ms = self.wrong_clocks.remove(name).unwrap_or_default();
        if let Some(clocks) = &mut self.world.clocks {
            clocks.set_right(name, offset_ms);
        }
        self.note(&format!("the clock of {name} is right again"));
    }
}
