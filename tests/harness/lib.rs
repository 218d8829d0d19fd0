//! What the integration tests and the benchmarks share: guards that start and stop servers, a plain client of the Redis
//! protocol, seeded random numbers, and the oracle's calculation.
//!
//! Not for production: whatever is missing panics, with the command that gets it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

pub mod cpu;
pub mod oracle;
pub mod resp;
pub mod rng;
pub mod servers;
pub mod support;
