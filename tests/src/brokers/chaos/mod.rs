//! An engine dies at every point of its work where one can be made to, once on the way of an entry and once on the way of an
//! exit, at every broker. The next engine keeps what is promised of the broker's class.
//!
//! Each passage has a Redis, a database, a fake and an engine of its own; what takes time is the wait until nobody else can
//! hold the right to trade, so all of them go at the same time.

mod passage;
mod verdict;

use super::{House, alpaca, binance, kite, migrate};
use crate::chaos::points::{CRASH_POINTS, Stage, are_built_in};
use crate::chaos::{Class, classes_wanted};
use crate::servers::{Database, Postgres};
use crate::support::loudly;
use passage::{End, Passage};
use std::sync::Arc;
use std::thread::{Builder, scope};
use std::time::Instant;
use strat_core::Leg;

/// A broker, as far as a passage has to know it.
#[derive(Debug)]
struct Venue {
    name: &'static str,
    class: Class,
    house: fn() -> House,
    /// How a request begins that places an order.
    places: &'static str,
    /// How one begins that looks for an order: with the order's id in it, or it is for the whole list.
    asks: &'static str,
}

/// The slowest first: who takes over there has the longest wait.
const VENUES: &[Venue] = &[
    Venue {
        name: "Binance",
        class: Class::Queryable,
        house: binance::house,
        places: "POST /api/v3/order",
        asks: "GET /api/v3/order?",
    },
    Venue { name: "Kite", class: Class::None, house: kite::house, places: "POST /orders/regular", asks: "GET /orders" },
    Venue {
        name: "Alpaca",
        class: Class::Dedupes,
        house: alpaca::house,
        places: "POST /v2/orders",
        asks: "GET /v2/orders:by_client_order_id?",
    },
];

/// Every broker of the wanted classes, every point, and both ways, where the point lies on both.
fn passages() -> Vec<Passage> {
    let classes = classes_wanted();
    let venues = VENUES.iter().filter(|venue| classes.contains(&venue.class));
    let points = |venue: &'static Venue| CRASH_POINTS.iter().map(move |point| (venue, point));
    let ways = [Leg::Entry, Leg::Exit];
    let all = venues.flat_map(points).flat_map(|(venue, point)| ways.map(|leg| Passage { venue, point, leg }));
    let lies_there = |passage: &Passage| match passage.point.stage {
        Stage::Crossed | Stage::Enqueued => passage.leg == Leg::Exit,
        Stage::InHand | Stage::Sent | Stage::Recorded | Stage::Recovery => true,
    };
    all.filter(lies_there).collect()
}

/// Goes through one, with a copy of the server's first database.
fn go(passage: Passage, number: usize, server: &Arc<Postgres>) -> End {
    passage.go(Database::copy(server, &format!("passage_{number}")))
}

#[test]
fn each_brokers_promise_is_kept_wherever_an_engine_dies() {
    if !are_built_in() {
        return loudly("SKIPPED brokers::chaos: this engine was built without crash points; run: make chaos");
    }
    let (started, server) = (Instant::now(), Arc::new(Postgres::crowded()));
    migrate(&Database::first(Arc::clone(&server)));
    let ends: Vec<_> = scope(|scope| {
        let begin = |(number, passage): (usize, Passage)| {
            // What panics says in which thread.
            let thread = Builder::new().name(passage.name());
            let server = &server;
            (passage, thread.spawn_scoped(scope, move || go(passage, number, server)).unwrap())
        };
        let under_way: Vec<_> = passages().into_iter().enumerate().map(begin).collect();
        under_way.into_iter().map(|(passage, thread)| (passage.name(), thread.join().ok())).collect()
    });
    let failed: Vec<_> = ends.iter().filter(|(_, end)| end.is_none()).map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "{} of {} passages failed: {failed:#?}", failed.len(), ends.len());
    let alarmed = ends.iter().filter(|(_, end)| *end == Some(End::Alarmed)).count();
    loudly(&format!(
        "brokers: an engine died in {} passages; {} traded from their start to their stop, {alarmed} are a person's, in {:.1} s",
        ends.len(),
        ends.len() - alarmed,
        started.elapsed().as_secs_f64(),
    ));
}
