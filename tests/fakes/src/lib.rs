//! Local servers that speak the wires of brokers as their documentation describes them, and lie on demand.
//!
//! What they share is here: a book of orders and positions ([`book`]), what goes wrong ([`lies`]), sockets
//! ([`hub`]), and the server with its guard ([`Fake`]). What a broker says in which words is its [`Venue`].
//!
//! Not for production: whatever is missing panics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]
#![allow(clippy::result_large_err, reason = "a refusal is an HTTP answer, and is sent as it is")]

pub mod alpaca;
pub mod binance;
pub mod book;
pub mod hub;
pub mod kite;
pub mod lies;
mod server;
mod world;

pub use book::{Book, NewOrder, Order, Status};
pub use hub::{Heard, Hub, Line};
pub use lies::{Fills, Lie, Outcome, Refusal, Updates};
pub use server::{Fake, THREAD};
pub use tokio_tungstenite::tungstenite::Message;
pub use world::World;

use axum::Router;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;

/// What distinguishes a broker: its routes and its words.
pub trait Venue: Send + Sync + 'static {
    /// The REST routes; placements go through [`World::place`], which carries out the lies.
    fn routes(&self, world: Arc<World>) -> Router;

    /// News of an order, to those that listen to the topic `orders`.
    fn news(&self, order: &Order) -> Message;

    /// A trade on the market at this price, to those that listen to the topic of the symbol; `None` where that is not
    /// told.
    fn tick(&self, world: &World, symbol: &str, price: strat_core::Price) -> Option<Message>;

    /// What to answer to what a client says on a socket; topics are subscribed to in `line`.
    fn talk(&self, world: &World, line: &mut Line, heard: Heard) -> Vec<Message>;

    /// Whether a WebSocket handshake at this path and query is let in; else it gets this HTTP status.
    ///
    /// # Errors
    /// The status.
    fn admits(&self, _world: &World, _uri: &str) -> Result<(), u16> {
        Ok(())
    }

    /// The answer to a caller that calls too often.
    fn limited(&self, retry_after: Duration) -> Response;

    /// The answer to a caller whose token or key is not, or no longer, taken.
    fn expired(&self) -> Response;

    /// Every documented refusal of a placement that this fake can be told to answer, and what a client is to make of it.
    fn refusals(&self) -> Vec<Refusal>;

    /// The answer with this code to a placement.
    fn refuse(&self, code: &str) -> Response;
}

/// Epoch ms.
#[must_use]
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}
