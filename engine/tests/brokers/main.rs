//! The roads to brokers, each over real sockets to a local server that speaks the broker's wire and lies on demand.
//!
//! [`suite`] is the same list of tests for every broker; what a broker has beside it is in its own file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

#[macro_use]
mod suite;
mod alpaca;
mod binance;
mod paper;
mod stage;
