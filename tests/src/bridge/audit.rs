//! Rows of orders that Postgres lost, or never got, come back from the broker's listing.

use super::{LIMIT, buy, env, stop_out};
use crate::servers::simbroker::SimBroker;
use crate::servers::{Engine, Options, Postgres, Redis, engine};
use crate::support::until;
use std::time::Duration;

const ORDERS: &str = "SELECT client_order_id, user_id, strategy_id, symbol, cycle, leg, attempt, action, status, quantity, \
    cum_qty, avg_px FROM orders ORDER BY leg, attempt";

#[test]
fn an_order_whose_reports_never_reached_postgres_gets_its_row() {
    let broker = SimBroker::start(&["--class", "A", "--fill-ms", "20..80"]);
    let (redis, postgres) = (Redis::with(Options::new().durable()), Postgres::start());
    let mut env = env(&broker, &redis, &postgres, "dedupes");
    env.push(("STRAT_RECONCILE_INTERVAL_SECONDS".to_owned(), "1".to_owned()));
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let mut engine = Engine::start(&["run"], env);
    let mut conn = redis.conn();
    let key = "user:al:strategy:s1";
    buy(&mut conn, key, &engine);
    let lose_all = |count: usize| {
        let before = until("the orders' rows are written", LIMIT, || {
            Some(postgres.sql(ORDERS))
                .filter(|rows| rows.len() == count && rows.iter().all(|row| row.contains("|FILL|")))
        });
        postgres.sql("DELETE FROM orders");
        let after = until("the rows are back", LIMIT, || Some(postgres.sql(ORDERS)).filter(|rows| rows.len() == count));
        assert_eq!(after, before);
    };
    // Reports are never deleted, and hold on to their orders.
    postgres.sql("ALTER TABLE order_events DROP CONSTRAINT order_events_client_order_id_fkey");
    lose_all(1);
    stop_out(&mut conn, key, &broker, &engine);
    lose_all(2);
    // One whose last report alone was lost.
    let before = postgres.sql(ORDERS);
    postgres.sql("UPDATE orders SET status = 'NEW', cum_qty = 0, avg_px = NULL WHERE leg = 'EXIT'");
    until("the end of the exit is back", LIMIT, || (postgres.sql(ORDERS) == before).then_some(()));
    let log = engine.log();
    assert_eq!(log.matches("its row in orders is written from the broker's listing").count(), 4, "each once: {log}");
    assert!(!log.contains("ACCOUNTS FOR") && !log.contains("NOT OURS"), "{log}");
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}
