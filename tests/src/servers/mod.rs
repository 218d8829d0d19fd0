//! The guards that the benchmarks use too, and one for a program of this package.

pub(crate) mod simbroker;

pub(crate) use simbroker::SimBroker;
pub(crate) use strat_harness::servers::*;
