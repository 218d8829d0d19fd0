//! How the cost of a quiet tick grows with strategies and symbols.

use super::quiet;
use super::ticks::Ticks;
use crate::data::Dataset;
use crate::load::{self, paired};
use crate::report::{Report, Row};
use crate::scale::Scale;
use crate::world::{Kind, Server, Stored};

/// Every cell against one strategy of one symbol, and against SET over the same symbols.
pub(crate) fn run(report: &mut Report, scale: &Scale) {
    let one = Server::start(Kind::Module, Some(&Stored::new(&Dataset::full(1, 1))));
    let plain = Server::start(Kind::Plain, None);
    let base = Ticks::new(scale.ticks, 1);
    for symbols in scale.growth.1 {
        let ticks = Ticks::new(scale.ticks, *symbols);
        for strategies in scale.growth.0.iter().filter(|strategies| *strategies >= symbols) {
            let data = Dataset::full(*strategies, *symbols);
            let server = Server::start(Kind::Module, Some(&Stored::new(&data)));
            assert_eq!(server.strat("strat_symbols"), *symbols as u64);
            let name = |what: &str| format!("{strategies} strategies, {symbols} symbols: {what}");
            let ours = |_| quiet(&server, &ticks.slcheck);
            let compared = paired(scale.tick_pairs, ours, |_| quiet(&one, &base.slcheck));
            let id = format!("growth_{strategies}_{symbols}");
            report.add(Row::ratio(&id, &name("against 1 strategy, 1 symbol"), None, compared));
            let compared = paired(scale.tick_pairs, ours, |_| load::run(&plain, &ticks.set));
            report.add(Row::ratio(&format!("{id}_set"), &name("against SET … PX"), None, compared));
        }
    }
}
