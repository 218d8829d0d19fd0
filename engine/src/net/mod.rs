//! What speaks to machines of others: addresses that may be used, WebSocket sessions, pauses between attempts.
//!
//! HTTP requests to brokers are `broker/wire`.

mod address;
mod pauses;
mod socket;

pub use address::{AddressError, check_rest, check_socket};
pub use pauses::Pauses;
pub use socket::{Frame, Socket, SocketBounds, SocketError};
