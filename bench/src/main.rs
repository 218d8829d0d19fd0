//! Measures strat against what a user could pick instead: side by side, in one run, on one machine. What the rows
//! mean is in docs/benchmarks.md.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on shall stop; the guards end its servers")]

mod baseline;
mod counts;
mod data;
mod hot;
mod load;
mod plot;
mod report;
mod rows;
mod scale;
mod stats;
mod wire;
mod world;

use baseline::Baseline;
use clap::{Parser, ValueEnum};
use data::Dataset;
use report::Report;
use rows::ticks::Peers;
use rows::update::Figure;
use scale::Scale;
use std::path::PathBuf;
use std::process::ExitCode;
use strat_harness::servers::paths;
use world::Stored;

/// Measures the built module and engine; see docs/benchmarks.md.
#[derive(Debug, Parser)]
struct Args {
    /// How much work
    #[arg(long, value_enum, default_value = "quick")]
    scale: Size,
    /// Only these parts, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Keep what was measured as the last accepted figures, in bench/baseline.json
    #[arg(long)]
    accept: bool,
    /// Folder of report.json, report.md and report.svg
    #[arg(long)]
    out: Option<PathBuf>,
    /// Run core's hot paths once, for callgrind to count
    #[arg(long, hide = true, value_name = "STRATEGIES")]
    hot: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    Smoke,
    Quick,
    Full,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Instructions,
    Ticks,
    Update,
    Storm,
    Batch,
    Trailing,
    Memory,
    Seed,
    Growth,
    Latency,
    Day,
    Burst,
    Replay,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(strategies) = args.hot {
        hot::run(strategies);
        return ExitCode::SUCCESS;
    }
    let scale = match args.scale {
        Size::Smoke => Scale::SMOKE,
        Size::Quick => Scale::QUICK,
        Size::Full => Scale::FULL,
    };
    let out = args.out.clone().unwrap_or_else(|| paths::root().join("target/bench"));
    let baseline = Baseline::read();
    let report = measure(&args.only, &scale);
    let table = report.table(|row| baseline.figure(&report.scale, &row.id));
    println!("\n{table}");
    std::fs::create_dir_all(&out).unwrap();
    let heading = format!("# strat, measured ({})\n\n{}\n\n", report.scale, report.machine);
    std::fs::write(out.join("report.md"), format!("{heading}{table}")).unwrap();
    std::fs::write(out.join("report.json"), serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
    std::fs::write(out.join("report.svg"), plot::svg(&report)).unwrap();
    println!("report.json, report.md and report.svg are in {}", out.display());
    if args.accept {
        baseline.accept(&report).write();
        return ExitCode::SUCCESS;
    }
    baseline.slower(&report).iter().for_each(|line| println!("compare with the accepted run: {line}"));
    let changed = baseline.changed_counts(&report);
    changed.iter().for_each(|line| println!("FAILED: {line}"));
    if changed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures a part on servers of its own.
type Measure = fn(&mut Report, &Scale);

fn measure(only: &[Part], scale: &Scale) -> Report {
    let wanted = |part: Part| only.is_empty() || only.contains(&part);
    let mut report = Report { scale: scale.name.to_owned(), machine: machine(), ..Report::default() };
    eprintln!("measuring ({}) on {}", scale.name, report.machine);
    if wanted(Part::Instructions) {
        report.instructions = counts::measure(scale.counted);
    }
    let shared = [Part::Ticks, Part::Update, Part::Storm, Part::Memory];
    if shared.into_iter().any(wanted) {
        measure_armed(&wanted, scale, &mut report);
    }
    let parts: [(Part, Measure); 8] = [
        (Part::Batch, rows::ticks::run_batches),
        (Part::Trailing, rows::trailing::run),
        (Part::Seed, rows::seed::run),
        (Part::Growth, rows::growth::run),
        (Part::Latency, rows::engine::latency),
        (Part::Day, rows::day::run),
        (Part::Burst, rows::engine::burst),
        (Part::Replay, rows::engine::replay_day),
    ];
    for (_, run) in parts.iter().filter(|(part, _)| wanted(*part)) {
        run(&mut report, scale);
    }
    report
}

/// What is measured on the servers with everything armed on one symbol.
fn measure_armed(wanted: &dyn Fn(Part) -> bool, scale: &Scale, report: &mut Report) {
    let data = Dataset::full(scale.armed, 1);
    let stored = Stored::new(&data);
    if wanted(Part::Memory) {
        rows::memory::run(report, scale, &data, &stored);
    }
    if ![Part::Ticks, Part::Update, Part::Storm].into_iter().any(wanted) {
        return;
    }
    let peers = Peers::start(data, &stored);
    let update = |id, what, goal| Figure { id, what, goal };
    if wanted(Part::Ticks) {
        rows::ticks::run(report, scale, &peers, &stored);
    }
    if wanted(Part::Update) {
        let figure = update("update_lua", "UPDATE of a stop, against the Lua function", Some(2.0));
        rows::update::run(report, scale, &peers, &figure);
        rows::update::run_limit(report, scale, &peers);
    }
    [&peers.module, &peers.lua, &peers.plain].into_iter().for_each(world::Server::make_durable);
    if wanted(Part::Ticks) {
        rows::ticks::run_durable(report, scale, &peers);
    }
    if wanted(Part::Update) {
        let figure = update("update_lua_aof", "UPDATE of a stop, AOF on, against the Lua function", None);
        rows::update::run(report, scale, &peers, &figure);
    }
    if wanted(Part::Storm) {
        rows::storm::run(report, scale, &peers);
    }
}

/// Processors and server, for whoever reads the report later.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let version = std::process::Command::new(paths::redis_server()).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("?").to_owned();
    format!("{cores} × {model}, Redis {version}")
}
