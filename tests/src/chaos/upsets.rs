//! What is done to Redis short of killing it.

use super::faults::{Chaos, Repair, Victim};
use crate::support::now_ms;

/// Settings that have a server refuse every write, OOM and NOREPLICAS.
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

    /// The primary answers and refuses every write, as one without memory or without its replicas does.
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
}
