//! Integration tests: real `redis-server` with the module, real Postgres, the real engine.
//!
//! `../harness/servers/` holds the guards that start and stop them; every other folder or file is a topic.
//! The module and the engine under test are the built ones (see [`servers::paths`]), so run
//! `cargo build --release` first; `make test` does.
//!
//! | variable | meaning |
//! |---|---|
//! | `STRAT_MODULE`, `STRAT_ENGINE` | the module and the engine under test, instead of those in `target/` |
//! | `REDIS_SERVER` | the server that most tests use, instead of the one in `PATH` |
//! | `STRAT_REQUIRE_SERVERS=1` | what is missing (other servers, redis-py) fails instead of being skipped |
//! | `STRAT_NODE_MODULES` | a folder with node-redis, instead of `.run/node/node_modules` |
//! | `STRAT_PYTHON` | a Python with redis-py, instead of `.run/venv` |
//! | `STRAT_TEST_DATA` | folder of the real day of ticks, `../shared/data` of the checkout by default |
//! | `STRAT_CHAOS_KILLS`, … | see [`chaos`] |
//! | `STRAT_RANDOM_SEED`, `STRAT_CRASH_SEED`, `STRAT_ORACLE_SEED` | repeat a run; each prints its seed |
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod dump;
mod servers;
use strat_harness::{resp, rng, support};

mod acl;
mod alerts;
mod api;
mod bad_files;
mod bridge;
mod brokers;
mod calendars;
mod care;
mod chaos;
mod cli;
mod clients;
mod commands;
mod config;
mod crash;
mod docs;
mod failover;
mod feeds;
mod fuzz;
mod health;
mod life;
mod model;
mod ops;
mod oracle;
mod outage;
mod page;
mod panics;
mod random;
mod recovery;
mod refusals;
mod risk;
mod seen;
mod smoke;
mod storms;
mod take;
mod transcript;
