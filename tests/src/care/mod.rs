//! What the engine does by itself so that nobody has to look after it: it keeps to the broker's limits, reads rows once, and
//! keeps Redis in order.

mod limits;
mod monitoring;
mod rows;
mod upkeep;
mod world;
