//! A user moves a stop: hash, book, journal and event.

use super::TS;
use super::ticks::Peers;
use crate::data::{ids, key, symbol, text, units};
use crate::load::{self, Run, Work, paired};
use crate::report::{Report, Row};
use crate::scale::Scale;
use crate::wire::{encode, words};

/// Every so many-th strategy is updated; prime to the powers of ten, so that each comes once before any comes again.
const STRIDE: usize = 3_001;

/// Which figure.
pub(crate) struct Figure {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) goal: Option<f64>,
}

pub(crate) fn run(report: &mut Report, scale: &Scale, peers: &Peers, figure: &Figure) {
    let work = |pair: usize, encode: fn(&Update) -> Vec<u8>| {
        Work::new(&updates(scale, peers, pair).iter().map(encode).collect::<Vec<_>>(), 1)
    };
    let (mut ours, mut theirs) = (Versions::default(), Versions::default());
    let module = |pair| ours.check(load::run(&peers.module, &work(pair, module_update)), scale.updates);
    let lua = |pair| theirs.check(load::run(&peers.lua, &work(pair, lua_update)), scale.updates);
    let compared = paired(scale.pairs, module, lua);
    report.add(Row::ratio(figure.id, figure.what, figure.goal, compared));
}

/// Plain writes in a transaction, without a book: for orientation.
pub(crate) fn run_limit(report: &mut Report, scale: &Scale, peers: &Peers) {
    let all = |pair, encode: fn(&Update) -> Vec<u8>| updates(scale, peers, pair).iter().map(encode).collect::<Vec<_>>();
    let ours = |pair| load::run(&peers.module, &Work::new(&all(pair, module_update), 1));
    // On the server that has the same hashes: MULTI, three times QUEUED, EXEC.
    let theirs = |pair| load::run(&peers.lua, &Work::new(&all(pair, plain_update), 1).of_steps(5));
    let what = "UPDATE, against HSET + XADD + PUBLISH in MULTI";
    report.add(Row::ratio("limit_multi", what, None, paired(scale.pairs, ours, theirs)));
}

/// Sum of the versions that the last run answered.
#[derive(Default)]
struct Versions(Option<i64>);

impl Versions {
    /// Each update must have been one version more.
    fn check(&mut self, run: Run, updates: usize) -> Run {
        if let Some(last) = self.0.replace(run.tally.sum) {
            assert_eq!(run.tally.sum, last + updates as i64, "a version for each update");
        }
        run
    }
}

/// New stops, each different from the one before; the last run puts the dataset's own back.
fn updates(scale: &Scale, peers: &Peers, pair: usize) -> Vec<Update> {
    let lower = if pair == scale.pairs { 0 } else { pair as i64 + 1 };
    let number = |n: usize| n * STRIDE % scale.armed;
    (0..scale.updates).map(|n| Update { number: number(n), level: peers.data.stop(number(n)) - lower }).collect()
}

struct Update {
    number: usize,
    /// The new stop, in hundredths.
    level: i64,
}

fn module_update(update: &Update) -> Vec<u8> {
    words(&format!("STRAT.UPDATE {} stop_loss {}", key(update.number), text(update.level)))
}

fn lua_update(update: &Update) -> Vec<u8> {
    let ((user, id), level) = (ids(update.number), update.level);
    let keys = format!("{} falls:{}", key(update.number), symbol(0));
    words(&format!("FCALL update 2 {keys} {} {} {TS} events:{user} {id}", text(level), units(level)))
}

fn plain_update(update: &Update) -> Vec<u8> {
    let (key, (user, id), level) = (key(update.number), ids(update.number), text(update.level));
    let data = format!(r#"{{"stop_loss":"{level}","updated_at":"{TS}","version":"2"}}"#);
    let event = format!(r#"{{"type":"STRATEGY_UPDATED","timestamp":{TS},"strategy_id":"{id}","data":{data}}}"#);
    let mut wire = words("MULTI");
    encode(&mut wire, ["HSET", &key, "stop_loss", &level, "updated_at", TS, "version", "2"]);
    let entry = ["key", &key, "version", "2", "type", "STRATEGY_UPDATED", "ts", TS, "data", &data];
    encode(&mut wire, ["XADD", "journal:plain", "MAXLEN", "~", "1000000", "*"].into_iter().chain(entry));
    encode(&mut wire, ["PUBLISH", &format!("events:{user}"), &event]);
    encode(&mut wire, ["EXEC"]);
    wire
}
