//! What must hold after every step of a walk.

use super::*;
use std::collections::BTreeSet;

impl World {
    pub(super) fn check(&self, before: &Strategy) {
        let state = self.state();
        assert!(state.version >= before.version && state.cycle >= before.cycle);
        self.check_orders(&state);
        self.check_guard(&state);
        // Whatever is in flight has somebody who goes on with it.
        let served: BTreeSet<Action> =
            self.queue.iter().copied().chain(self.lock.map(|(action, _, _)| action)).collect();
        if let Some(action) = state.pending {
            assert!(served.contains(&action), "{action} is pending and nobody does it: {self:?}");
        }
        if state.working.is_some() {
            assert!(!served.is_empty(), "an order works and nobody watches it: {self:?}");
        }
        for units in 90..=110 {
            let price = Price::from_units(units * crate::decimal::SCALE);
            let arming = state.arming();
            let armed =
                arming.fall.is_some_and(|level| price <= level) || arming.rise.is_some_and(|level| price >= level);
            assert_eq!(state.crossed_by(price, None).is_some(), armed);
        }
    }

    fn check_orders(&self, state: &Strategy) {
        let of_leg = |cycle: u64, leg: Leg| self.orders.iter().filter(move |((c, l, _), _)| (*c, *l) == (cycle, leg));
        let sum = |cycle, leg| of_leg(cycle, leg).map(|(_, order)| order.filled).sum::<i64>();
        for cycle in 0..=state.cycle {
            let bought = sum(cycle, Leg::Entry) + self.adopted.get(&cycle).copied().unwrap_or(0);
            assert!(sum(cycle, Leg::Exit) <= bought, "more went out than came in: {self:?}");
            for leg in [Leg::Entry, Leg::Exit] {
                let alive = of_leg(cycle, leg).filter(|(_, order)| order.alive).count();
                assert!(alive <= 1, "two orders of one leg at once: {self:?}");
            }
        }
        let entry_lives = of_leg(state.cycle, Leg::Entry).any(|(_, order)| order.alive);
        assert!(!entry_lives || !state.is_idle(), "an entry works and the hash has forgotten it: {self:?}");
        let alive = self.orders.values().filter(|order| order.alive).count();
        assert!(alive <= 1 + usize::from(self.rude), "two orders at once: {self:?}");
        if alive == 0 && self.orders.values().all(|order| order.concluded) && !self.adopted.contains_key(&state.cycle) {
            let held = sum(state.cycle, Leg::Entry) - sum(state.cycle, Leg::Exit);
            assert_eq!(whole(state.open_quantity()), held, "the hash and the broker differ: {self:?}");
        }
    }

    fn check_guard(&self, state: &Strategy) {
        if state.open_quantity() == Quantity::ZERO {
            assert_eq!(state.arming().triggers(), 0);
            return;
        }
        assert!(!state.exit_in_flight() || state.arming().triggers() == 0, "an exit is in flight and a level armed");
        let levels = state.stop_loss.is_some() || state.take_profit.is_some();
        let going = state.exit_in_flight() || state.retry().is_some();
        match state.status {
            Status::Running => assert!(going || !levels || state.arming().triggers() > 0, "unguarded: {self:?}"),
            Status::Stopped => assert!(going || state.on_stop == OnStop::Leave, "stopped and forgotten: {self:?}"),
            Status::Completed | Status::Failed => panic!("ended with a position: {self:?}"),
        }
        if let Some((at, _)) = state.retry().filter(|_| !state.exit_in_flight()) {
            assert_eq!(state.arming().exit_due, Some(at));
        }
    }
}
