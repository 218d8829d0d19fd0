//! What fills earned, to the last digit.

use super::strategies::quiet_market;
use super::*;

/// An order in Postgres: strategy, cycle, leg, attempt, action, quantity filled, average price.
fn order(
    world: &World,
    strategy: &str,
    (cycle, leg, attempt): (u32, &str, u32),
    action: &str,
    (quantity, price): (&str, &str),
) {
    world.postgres.sql(&format!(
        "INSERT INTO orders (client_order_id, user_id, strategy_id, symbol, cycle, leg, attempt, action, status, quantity, cum_qty, avg_px,
                             submitted_at_ms, updated_at_ms)
         VALUES ('{strategy}-{cycle}-{leg}-{attempt}', 'carol', '{strategy}', 'IBM', {cycle}, '{leg}', {attempt}, '{action}', 'FILL',
                 {quantity}, {quantity}, {price}, {cycle}, {cycle})"
    ));
}

#[test]
fn profit_and_loss_is_exact_long_and_short_whole_and_in_part() {
    let world = quiet_market(&[]);
    order(&world, "long", (1, "ENTRY", 0), "BUY", ("3", "10.10"));
    order(&world, "long", (1, "EXIT", 0), "STOPLOSS", ("1", "9.95"));
    order(&world, "long", (1, "EXIT", 1), "STOPLOSS", ("2", "9.90"));
    order(&world, "long", (2, "ENTRY", 0), "BUY", ("0.00000003", "0.1"));
    order(&world, "long", (2, "EXIT", 0), "SELL", ("0.00000003", "0.2"));
    order(&world, "part", (1, "ENTRY", 0), "BUY", ("3", "10"));
    order(&world, "part", (1, "EXIT", 0), "TAKEPROFIT", ("1", "10.5"));
    order(&world, "short", (1, "ENTRY", 0), "SELL", ("7", "100"));
    order(&world, "short", (1, "EXIT", 0), "STOPLOSS", ("7", "101.25"));
    order(&world, "third", (1, "ENTRY", 0), "BUY", ("3", "3.33333333"));
    order(&world, "third", (1, "EXIT", 0), "SELL", ("2", "0.00000001"));
    order(&world, "foreign", (1, "EXIT", 0), "SQUAREOFF", ("5", "50"));
    order(&world, "open", (1, "ENTRY", 0), "BUY", ("5", "50"));
    let pnl = world.asks(OPERATOR, "GET", "/api/v1/pnl?user_id=carol", "").json();
    let earned: Vec<_> = pnl["strategies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|earned| ["strategy_id", "side", "realised"].map(|name| earned[name].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(
        earned,
        [
            // 9.95 + 2 × 9.90 − 3 × 10.10, and 3 × 10⁻⁸ × 0.1.
            ["long", "LONG", "-0.549999997"],
            ["part", "LONG", "0.5"],
            ["short", "SHORT", "-8.75"],
            // What two thirds of 9.99999999 cost is 6.66666666 exactly.
            ["third", "LONG", "-6.66666664"],
        ]
        .map(|row| row.map(str::to_owned)),
        "{pnl}"
    );
    assert_eq!(pnl["realised"], "-15.466666637", "{pnl}");
    let first = world.asks(OPERATOR, "GET", "/api/v1/pnl?limit=1", "").json();
    assert_eq!((&first["cursor"], &first["realised"]), (&json!("carol:long"), &pnl["realised"]), "the sum is of all");
    let next = world.asks(OPERATOR, "GET", "/api/v1/pnl?limit=1&cursor=carol:long", "").json();
    assert_eq!(next["strategies"][0]["strategy_id"], "part");
}

#[test]
fn a_fill_is_what_a_report_added() {
    let world = quiet_market(&[]);
    order(&world, "s", (1, "ENTRY", 0), "BUY", ("3", "10.20"));
    for (version, kind, quantity, price) in [
        (2, "NEW", "0", "NULL"),
        (3, "PARTIAL_FILL", "1", "10"),
        (4, "PARTIAL_FILL", "1", "10"),
        (5, "FILL", "3", "10.20"),
    ] {
        world.postgres.sql(&format!(
            "INSERT INTO order_events (journal_id, user_id, strategy_id, version, client_order_id, action, exec_type, cum_qty, avg_px, ts_ms)
             VALUES ('1-{version}', 'carol', 's', {version}, 's-1-ENTRY-0', 'BUY', '{kind}', {quantity}, {price}, {version})"
        ));
    }
    let fills = world.asks(OPERATOR, "GET", "/api/v1/fills?user_id=carol", "").json();
    let seen: Vec<_> = fills["fills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fill| {
            ["quantity", "price", "filled", "average_price"].map(|name| fill[name].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(seen, [["2", "10.3", "3", "10.2"], ["1", "10", "1", "10"]].map(|row| row.map(str::to_owned)), "{fills}");
}
