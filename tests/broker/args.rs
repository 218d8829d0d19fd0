//! The command line.

use crate::lies::Lies;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

/// What the broker does with a client order id that it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Class {
    /// Answers with the first order, for ever.
    #[value(name = "A")]
    A,
    /// Refuses it while that order is open; afterwards it is a new order.
    #[value(name = "B")]
    B,
    /// Takes it as a new order.
    #[value(name = "C")]
    C,
}

/// `lo..hi` in milliseconds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("'{text}' is not a number of milliseconds"));
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let span = Self { low: number(low)?, high: number(high)? };
        if span.low <= span.high { Ok(span) } else { Err(format!("{low} is above {high}")) }
    }
}

/// A simulated broker: keeps its books in a ledger that survives a kill, and lies as told.
#[derive(Debug, Clone, Parser)]
#[command(name = "simbroker")]
pub(crate) struct Args {
    /// Port on 127.0.0.1; 0 takes a free one and prints it
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// File of the ledger, one JSON per line; it goes on where that ends
    #[arg(long)]
    pub(crate) ledger: PathBuf,
    /// What a repeated client order id does
    #[arg(long, default_value = "A")]
    pub(crate) class: Class,
    /// Seed of every draw
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Time until an order fills, and between its parts
    #[arg(long, default_value = "5..50")]
    pub(crate) fill_ms: Span,
    /// Percent of each lie: name=percent,…
    #[arg(long, default_value = "")]
    pub(crate) lies: Lies,
    /// How long look-ups may deny an order that was just placed
    #[arg(long, default_value_t = 300)]
    pub(crate) not_found_ms: u64,
    /// How late a request is carried out, and a fill comes in; for requests to class B never later than not-found-ms
    #[arg(long, default_value = "100..1000")]
    pub(crate) late_ms: Span,
    /// How long a slow answer takes
    #[arg(long, default_value = "200..800")]
    pub(crate) slow_ms: Span,
    /// How long a connection is kept without the answer that never comes
    #[arg(long, default_value_t = 10_000)]
    pub(crate) hang_ms: u64,
}
