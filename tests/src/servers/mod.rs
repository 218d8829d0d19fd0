//! Guards: each starts one program for one test and takes it down with the test, however that ends.

pub(crate) mod engine;
pub(crate) mod paths;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod sentinel;
pub(crate) mod simbroker;

pub(crate) use engine::Engine;
pub(crate) use postgres::Postgres;
pub(crate) use redis::{Options, Redis};
pub(crate) use sentinel::Watched;
pub(crate) use simbroker::SimBroker;
