//! A simulated broker as a process of its own, for tests: it speaks the wire of `broker.kind = bridge`, writes every
//! request into a ledger before it answers, recovers from that ledger after a kill, and lies in every way that real
//! brokers do.
//!
//! The ledger is the neutral witness: a real order is an `accept` line with a number of its own, so an order that was
//! sent twice shows as two numbers of one client order id.

mod args;
mod book;
mod broker;
mod control;
mod feed;
mod ledger;
mod lies;
mod order;
mod restore;
mod routes;
mod wire;

use args::Args;
use axum::Router;
use broker::Broker;
use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;
use strat_harness::rng;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("simbroker: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), String> {
    let port = args.port;
    let broker = Broker::start(args)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port));
    let listener = listener.await.map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let routes: Router = routes::router().merge(control::router()).with_state(broker);
    // Whoever started this on port 0 reads the port here.
    let mut out = std::io::stdout();
    writeln!(out, "listening {address}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    axum::serve(listener, routes).await.map_err(|error| error.to_string())
}
