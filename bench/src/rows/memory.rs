//! What the books cost: memory beside the hashes, and time when a server loads them.

use crate::data::Dataset;
use crate::report::{Goal, Report, Row};
use crate::scale::Scale;
use crate::stats::Spread;
use crate::world::{Kind, Server, Stored};

pub(crate) fn run(report: &mut Report, scale: &Scale, data: &Dataset, stored: &Stored) {
    let (mut slower, mut bytes, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..scale.loads {
        let order = if turn % 2 == 0 { [Kind::Module, Kind::Plain] } else { [Kind::Plain, Kind::Module] };
        // One after the other, never both: memory.
        let loaded = order.map(|kind| {
            let server = Server::start(kind, Some(stored));
            let used: f64 = server.info("memory", "used_memory").parse().unwrap();
            let index = if kind == Kind::Module { server.strat("strat_index_bytes") } else { 0 };
            assert_eq!(server.conn().run("DBSIZE").int(), data.strategies as i64 + 2, "all is loaded");
            (kind, server.start_seconds, used, index as f64)
        });
        let of = |wanted: Kind| loaded.iter().find(|(kind, ..)| *kind == wanted).unwrap();
        let (module, plain) = (of(Kind::Module), of(Kind::Plain));
        slower.push(module.1 / plain.1);
        bytes.push((module.2 - plain.2) / data.strategies as f64);
        counted.push(module.3 / data.strategies as f64);
    }
    let what = "start with an RDB file, with the module against without";
    report.add(Row::figure("rdb_load", what, "x", Some(Goal::AtMost(1.5)), Spread::of(&slower)));
    let own = format!("INFO strat counts {:.0}", Spread::of(&counted).median);
    let what = "memory beside the hash, a strategy (used_memory)";
    let row = Row::figure("memory", what, "bytes", Some(Goal::AtMost(256.0)), Spread::of(&bytes));
    report.add(row.note(own));
}
