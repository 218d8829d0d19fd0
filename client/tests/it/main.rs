//! Each family of keys on a real `redis-server`, with and without it being up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod alerts;
mod cache;
mod candles;
mod examples;
mod limits;
mod link;
mod market;
mod positions;
mod resilience;
mod sealed;
mod sessions;
mod upkeep;
