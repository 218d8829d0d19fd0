//! The oracle: strategies over a day of ticks, each result by an independent straightforward calculation.

pub mod calc;
pub mod decimal;
pub mod generate;
pub mod input;
pub mod levels;
pub mod replay;
