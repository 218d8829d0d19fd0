//! The rows of the table, by what they need to run.

pub(crate) mod day;
pub(crate) mod engine;
pub(crate) mod growth;
pub(crate) mod memory;
pub(crate) mod seed;
pub(crate) mod storm;
pub(crate) mod ticks;
pub(crate) mod trailing;
pub(crate) mod update;

use crate::load::{Run, Work};
use crate::world::Server;

/// Time of the ticks that Lua is told, epoch ms.
const TS: &str = "1760000000000";

/// One run of ticks that must fire nothing.
fn quiet(server: &Server, work: &Work) -> Run {
    let run = crate::load::run(server, work);
    assert_eq!(run.tally.sum, 0, "a quiet tick fires nothing");
    run
}
