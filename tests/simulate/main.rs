//! The seeded simulator: the engine's machines and rules against models of Redis, Postgres and a lying broker, on one
//! thread per seed with a logical clock. A seed that fails replays exactly: `simulate --seed 7 --trace`.

mod broker;
mod data;
mod effects;
mod engine;
mod faults;
mod follow;
mod guard;
mod happen;
mod invariants;
mod lease;
mod live;
mod planted;
mod postgres;
mod recon;
mod redis;
mod runs;
mod settle;
mod stream;
mod sync;
mod trace;
mod world;

use clap::Parser;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use trace::Trace;
use world::{Outcome, World};

/// Failing seeds that are shown.
const SHOWN_MAX: usize = 20;

/// Simulated schedules of trading with everything that goes wrong.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Args {
    /// Schedules to run.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Run this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print what happened, with --seed.
    #[arg(long)]
    trace: bool,
    /// Only brokers of this class: a (dedupes), b (queryable) or c (none).
    #[arg(long)]
    class: Option<char>,
    /// Leave something out: `second` engine, `guard` (stops while Redis is away), `clock` (that is set).
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Make this known mistake, to see what comes of it: BlindResend, NoTokenCheck, …
    #[arg(long)]
    mistake: Option<String>,
    /// Make each known mistake until a seed shows it.
    #[arg(long)]
    planted: bool,
}

/// Runs one seed. A panic is a broken promise too.
fn run_seed(seed: u64, traced: bool) -> (Outcome, Trace) {
    catch_unwind(AssertUnwindSafe(|| World::new(seed, traced).run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
        (Outcome { broken: vec![format!("P: {text}")], ..Outcome::default() }, Trace::default())
    })
}

#[derive(Debug, Default)]
struct Sum {
    outcome: Outcome,
    failed: Vec<(u64, String)>,
}

fn run_all(args: &Args) -> bool {
    let (next, started) = (AtomicU64::new(args.from), Instant::now());
    let until = args.from + args.seeds;
    let sum = Mutex::new(Sum::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= until {
                return;
            }
            let (outcome, _) = run_seed(seed, false);
            let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            sum.outcome.events += outcome.events;
            sum.outcome.crashes += outcome.crashes;
            sum.outcome.faults += outcome.faults;
            sum.outcome.orders += outcome.orders;
            sum.outcome.limits += outcome.limits;
            if let Some(what) = outcome.broken.first() {
                if sum.failed.len() < SHOWN_MAX {
                    println!("seed {seed}: {what}");
                }
                sum.failed.push((seed, what.clone()));
            }
            let done = seed + 1 - args.from;
            if done.is_multiple_of(50_000) {
                eprintln!("{done} seeds, {} failed, {:.0} s", sum.failed.len(), started.elapsed().as_secs_f32());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(work);
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let rate = args.seeds as f64 / started.elapsed().as_secs_f64().max(0.001);
    let Outcome { events, crashes, faults, orders, limits, .. } = sum.outcome;
    println!(
        "simulate: seeds {}..{} events {events} crashes {crashes} faults {faults} orders {orders} limits met {limits} failures {} seeds/s {rate:.0}",
        args.from,
        until - 1,
        sum.failed.len()
    );
    sum.failed.is_empty()
}

fn main() -> ExitCode {
    let args = Args::parse();
    faults::Limits::of(args.class, &args.without).keep();
    if let Some(name) = &args.mistake
        && !planted::make(name)
    {
        return ExitCode::FAILURE;
    }
    let fine = if let Some(seed) = args.seed {
        let (outcome, trace) = run_seed(seed, args.trace);
        trace.lines().iter().for_each(|line| println!("{line}"));
        outcome.broken.iter().for_each(|what| println!("seed {seed}: {what}"));
        println!("seed {seed}: {} events, {} broken promises", outcome.events, outcome.broken.len());
        outcome.broken.is_empty()
    } else if args.planted {
        planted::run(args.from, args.seeds)
    } else {
        run_all(&args)
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
