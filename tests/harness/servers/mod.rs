//! Guards: each starts one program for one test and takes it down with the test, however that ends.

pub mod engine;
pub mod paths;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod sentinel;

pub use engine::Engine;
pub use postgres::{Database, Postgres};
pub use redis::{Options, Redis};
pub use sentinel::Watched;
