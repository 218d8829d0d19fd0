//! A broker under test: the real road to it, and the fake at its other end.

use std::sync::Arc;
use std::time::{Duration, Instant};
use strat_core::{ExecType, Leg, Quantity};
use strat_engine::broker::{Broker, OrderRef, OrderRequest, OrderSide, OrderState};
use strat_fakes::Fake;

/// Longest wait for anything that is to happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The longest that the broker under test may wait for an answer; lies are told by this measure.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);
/// Silence after which the broker under test must take its socket for dead.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);
pub(crate) const USER: &str = "alice";
pub(crate) const SYMBOL: &str = "IBM";

/// What a broker's tests are run on.
#[async_trait::async_trait]
pub(crate) trait Stage: Sized + Send + Sync {
    /// Starts the fake, and the broker with its stream of updates, which is up and caught up when this returns.
    async fn start() -> Self;

    /// The fake.
    fn fake(&self) -> &Fake;

    /// The broker, with [`TIMEOUT`] and [`SILENCE`].
    fn broker(&self) -> &Arc<dyn Broker>;

    /// The id or tag under which the fake knows an order.
    fn tag(client_order_id: &str) -> String {
        client_order_id.to_owned()
    }

    /// A symbol that the fake trades.
    fn symbol() -> &'static str {
        SYMBOL
    }
}

/// A market order of an entry.
pub(crate) fn request<S: Stage>(id: &str, quantity: &str) -> OrderRequest {
    OrderRequest {
        client_order_id: id.to_owned(),
        user: USER.to_owned(),
        symbol: S::symbol().to_owned(),
        side: OrderSide::Buy,
        quantity: quantity.parse().unwrap(),
        leg: Leg::Entry,
        protection: None,
        last_price: None,
    }
}

/// Its name.
pub(crate) fn name<S: Stage>(id: &str) -> OrderRef<'_> {
    OrderRef { client_order_id: id, user: USER, symbol: S::symbol() }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "after {LIMIT:?} still not: {what}");
        // The pause between two looks, not a guess at how long something takes.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the reports say this of an order; none of them may say more than that was filled.
pub(crate) async fn report(broker: &dyn Broker, id: &str, status: ExecType, cum_qty: &str) -> OrderState {
    let wanted: Quantity = cum_qty.parse().unwrap();
    let mut heard = Vec::new();
    loop {
        let Ok(state) = tokio::time::timeout(LIMIT, broker.reports().next()).await else {
            panic!("{id} is never reported as {status} {cum_qty}; reported was {heard:?}");
        };
        if state.client_order_id == id {
            assert!(state.cum_qty <= wanted, "more than {wanted}: {state:?}");
            if (state.status, state.cum_qty) == (status, wanted) {
                return state;
            }
        }
        heard.push(state);
    }
}
