//! The engine: keeps time, reads market data, trades at brokers, and keeps Postgres in step with Redis.
//!
//! `main.rs` only parses the command line and calls in here.
#![forbid(unsafe_code)]

pub mod broker;
pub mod calendar;
pub mod candles;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod executor;
pub mod failure;
pub mod feed;
#[cfg(test)]
mod fuzz;
pub mod gate;
pub mod guard;
pub mod halt;
pub mod http;
pub mod lease;
pub mod link;
pub mod live;
pub mod logging;
pub mod market;
pub mod metrics;
pub mod net;
pub mod page;
pub mod positions;
pub mod random;
pub mod reconcile;
pub mod replay;
pub mod report;
pub mod risk;
pub mod run;
pub mod samples;
pub mod schedule;
pub mod store;
pub mod strategies;
pub mod strategies_csv;
pub mod sync;
pub mod table;
pub mod token;
pub mod top;
pub mod upkeep;
