//! Ticks that fire nothing, against storing the price and against the Lua function.

use super::{TS, quiet};
use crate::data::{Dataset, quiet_prices, symbol, text, units};
use crate::load::{self, Run, Work, paired, paired_anew};
use crate::report::{Report, Row};
use crate::scale::Scale;
use crate::wire::words;
use crate::world::{Kind, Server, Stored};

/// Different prices before they come again.
const RING: usize = 8_192;
/// Symbols in one call.
const SYMBOLS: usize = 50;

/// Encoded ticks of one symbol.
pub(crate) struct Ticks {
    pub(crate) slcheck: Work,
    pub(crate) set: Work,
    lua: Work,
}

impl Ticks {
    /// So many ticks, over so many symbols in turn.
    pub(crate) fn new(count: usize, symbols: usize) -> Self {
        let prices = quiet_prices(RING.min(count));
        let repeat = count.div_ceil(prices.len());
        let each = |encode: &dyn Fn(&str, i64) -> String| {
            let name = |n: usize| symbol(n * 31 % symbols);
            let commands: Vec<_> =
                prices.iter().enumerate().map(|(n, price)| words(&encode(&name(n), *price))).collect();
            Work::new(&commands, repeat)
        };
        Self {
            slcheck: each(&|symbol, price| format!("STRAT.SLCHECK {symbol} {}", text(price))),
            set: each(&|symbol, price| format!("SET price:{symbol} {} PX 10000", text(price))),
            lua: each(&|symbol, price| {
                let keys = format!("price:{symbol} falls:{symbol} rises:{symbol}");
                format!("FCALL tick 3 {keys} {} {} {TS}", text(price), units(price))
            }),
        }
    }
}

/// Servers with the same strategies: one with the module, one with the Lua functions. And one that has nothing.
pub(crate) struct Peers {
    pub(crate) data: Dataset,
    pub(crate) module: Server,
    pub(crate) lua: Server,
    pub(crate) plain: Server,
}

impl Peers {
    pub(crate) fn start(data: Dataset, stored: &Stored) -> Self {
        let module = Server::start(Kind::Module, Some(stored));
        assert_eq!(module.strat("strat_armed"), 2 * data.strategies as u64, "every level is armed");
        let lua = Server::start(Kind::Plain, Some(stored));
        lua.load_lua(&data);
        Self { data, module, lua, plain: Server::start(Kind::Plain, None) }
    }
}

/// Rows without an append-only file.
pub(crate) fn run(report: &mut Report, scale: &Scale, peers: &Peers, stored: &Stored) {
    let ticks = Ticks::new(scale.ticks, 1);
    let module = || Server::start(Kind::Module, Some(stored));
    let ours = |server: &Server| quiet(server, &ticks.slcheck);
    let anew = |other: &dyn Fn() -> Server, theirs: &dyn Fn(&Server) -> Run| {
        paired_anew(scale.starts, scale.tick_pairs, || (module(), other()), ours, theirs)
    };
    let with_set = anew(&|| Server::start(Kind::Plain, None), &|plain| load::run(plain, &ticks.set));
    report.add(Row::ratio("silent_set", "quiet SLCHECK, against SET … PX", Some(1.1), with_set));
    let one = Stored::new(&Dataset::full(1, 1));
    let few = || {
        let few = Server::start(Kind::Module, Some(&one));
        assert_eq!(few.strat("strat_armed"), 2);
        few
    };
    report.add(Row::ratio("silent_armed", "quiet SLCHECK, all armed against 1 armed", Some(0.95), anew(&few, &ours)));
    let noise = anew(&module, &ours);
    report.add(Row::ratio("noise", "quiet SLCHECK, against itself: this machine's noise", None, noise));
    against_lua(report, scale, peers, &ticks);
    limits(report, scale, peers, &ticks);
}

fn against_lua(report: &mut Report, scale: &Scale, peers: &Peers, ticks: &Ticks) {
    let module = &peers.module;
    let before = module.strat("strat_ticks");
    let with_lua = paired(scale.tick_pairs, |_| quiet(module, &ticks.slcheck), |_| quiet(&peers.lua, &ticks.lua));
    let counted = module.strat("strat_ticks") - before;
    assert_eq!(counted, (scale.tick_pairs as u64 + 1) * scale.ticks as u64, "every tick was looked at");
    assert!(module.conn().run("PTTL price:RELIANCE").int() > 0, "the price is stored, for its time");
    report.add(Row::ratio("silent_lua", "quiet SLCHECK, against the Lua function", Some(3.0), with_lua));
}

/// Plain commands, for orientation: what no module can beat by much.
fn limits(report: &mut Report, scale: &Scale, peers: &Peers, ticks: &Ticks) {
    let plain = |line: &str| Work::new(&vec![words(line); scale.ticks.min(RING)], scale.ticks.div_ceil(RING));
    for (id, line) in [("limit_ping", "PING"), ("limit_set", "SET price:RELIANCE 2550.05")] {
        let work = plain(line);
        let compared =
            paired(scale.tick_pairs, |_| quiet(&peers.module, &ticks.slcheck), |_| load::run(&peers.plain, &work));
        let what = format!("quiet SLCHECK, against {}", line.split(' ').next().unwrap_or_default());
        report.add(Row::ratio(id, &what, None, compared));
    }
}

/// With the append-only file on: a quiet tick leaves it alone.
pub(crate) fn run_durable(report: &mut Report, scale: &Scale, peers: &Peers) {
    let ticks = Ticks::new(scale.ticks, 1);
    let size = |server: &Server| server.info("persistence", "aof_current_size").parse::<u64>().unwrap();
    let before = size(&peers.module);
    let ours = |_| quiet(&peers.module, &ticks.slcheck);
    let compared = paired(scale.tick_pairs, ours, |_| load::run(&peers.plain, &ticks.set));
    assert_eq!(size(&peers.module), before, "quiet ticks write nothing to the append-only file");
    report.add(Row::ratio("silent_set_aof", "quiet SLCHECK, AOF on, against SET … PX", Some(1.8), compared));
    let compared = paired(scale.tick_pairs, ours, |_| quiet(&peers.lua, &ticks.lua));
    report.add(Row::ratio("silent_lua_aof", "quiet SLCHECK, AOF on, against the Lua function", None, compared));
}

/// Many symbols in one call, against one MSET of their prices.
pub(crate) fn run_batches(report: &mut Report, scale: &Scale) {
    let data = Dataset::full(scale.armed, SYMBOLS.min(scale.armed));
    let stored = Stored::new(&data);
    let start = || (Server::start(Kind::Module, Some(&stored)), Server::start(Kind::Plain, None));
    let prices = quiet_prices(RING);
    let batch = |command: &str, prefix: &str| {
        let of = |chunk: &[i64]| {
            let pairs = chunk.iter().enumerate().map(|(n, price)| format!(" {prefix}{} {}", symbol(n), text(*price)));
            words(&format!("{command}{}", pairs.collect::<String>()))
        };
        let commands: Vec<_> = prices.chunks_exact(SYMBOLS).map(of).collect();
        let repeat = (scale.ticks * 2 / RING).max(1);
        Work::new(&commands, repeat).of_units(SYMBOLS as u64)
    };
    let (ours, theirs) = (batch("STRAT.SLCHECK", ""), batch("MSET", "price:"));
    let run = |server: &Server| quiet(server, &ours);
    let compared = paired_anew(scale.starts, scale.tick_pairs, start, run, |plain| load::run(plain, &theirs));
    report.add(Row::ratio("batch_mset", "50 symbols in a call, against MSET", Some(0.8), compared));
}
