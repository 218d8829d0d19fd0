//! Strategies over HTTP: made, bought, changed, stopped and removed by their user, and out of reach of any other.

use super::tenants::{SECRET, WITH_SECRETS, issue};
use super::*;

/// An engine whose paper broker fills at once, at a price that hardly moves.
pub(super) fn quiet_market(more: &[(&str, &str)]) -> World {
    let own = [
        ("STRAT_FEED_SYMBOLS", "IBM=100"),
        ("STRAT_FEED_TICK_MS", "20"),
        ("STRAT_FEED_STEP_BPS", "1"),
        ("STRAT_PAPER_LATENCY_MS", "0"),
    ];
    World::start(&[WITH_SECRETS, &own, more].concat())
}

/// A strategy that buys now.
pub(super) fn buys_now(id: &str) -> String {
    let now = crate::support::now_ms().to_string();
    json!({ "id": id, "fields": { "symbol": "IBM", "quantity": "10", "buy_at": now, "stop_loss": "50.00" } })
        .to_string()
}

impl World {
    /// Waits until a field of a strategy has this text.
    pub(super) fn until_field(&self, token: &str, id: &str, field: &str, text: &str) -> Json {
        until(&format!("{field} of {id} is {text}"), LIMIT, || {
            let strategy = self.asks(token, "GET", &format!("/api/v1/strategies/{id}"), "").json();
            (strategy["fields"][field] == text).then_some(strategy)
        })
    }
}

/// A decimal in units of 10⁻⁸.
fn units(text: &Json) -> i128 {
    let price: strat_core::Price = text.as_str().unwrap().parse().unwrap();
    i128::from(price.units())
}

#[test]
fn a_strategy_lives_over_http_and_earns_what_its_fills_say() {
    let world = quiet_market(&[]);
    let (alice, bob) = (issue(SECRET, "alice", &[]), issue(SECRET, "bob", &[]));
    let made = world.asks(&alice, "POST", "/api/v1/strategies", &buys_now("s1"));
    assert_eq!((made.status, made.header("location").as_str()), (201, "/api/v1/strategies/s1"), "{}", made.body);
    assert_eq!((&made.json()["fields"]["stop_loss"], &made.json()["user_id"]), (&json!("50.00"), &json!("alice")));
    world.asks(&alice, "POST", "/api/v1/strategies", &buys_now("s1")).is_problem(409, "EXISTS");
    for (bad, what) in [
        (json!({ "id": "s 2", "fields": { "symbol": "IBM", "quantity": "1" } }), "strategy id"),
        (json!({ "id": "s2", "fields": { "symbol": "IBM" } }), "quantity"),
        (json!({ "id": "s2", "fields": { "symbol": "IBM", "quantity": 1 } }), "string"),
        (json!({ "id": "s2", "fields": { "symbol": "IBM", "quantity": "1e5" } }), "decimal"),
        (json!({ "id": "s2", "fields": { "symbol": "IBM", "quantity": "1", "version": "7" } }), "server"),
        (json!({ "id": "s2", "fields": { "symbol": "IBM", "quantity": "1", "note": "a\u{0}b" } }), "NUL"),
        (json!({ "id": "s2", "fields": { "symbol": "IBM", "quantity": "1" }, "more": 1 }), "more"),
    ] {
        let refused = world.asks(&alice, "POST", "/api/v1/strategies", &bad.to_string());
        refused.is_problem(400, "BAD_REQUEST");
        assert!(refused.body.contains(what), "{what}: {}", refused.body);
    }

    world.until_field(&alice, "s1", "position", "BOUGHT");
    let positions = until("the position has a price", LIMIT, || {
        let positions = world.asks(&alice, "GET", "/api/v1/positions", "").json();
        positions["unrealised"].is_string().then_some(positions)
    });
    let position = &positions["positions"][0];
    let gained = (units(&position["last_price"]) - units(&position["entry_price"])) * 10;
    assert_eq!((units(&position["unrealised"]), &position["quantity"]), (gained, &json!("10")), "{position}");
    assert_eq!((&position["stop"]["level"], &position["calm"]), (&json!("50"), &json!(false)));
    assert_eq!(world.asks(&alice, "PUT", "/api/v1/calm", r#"{"calm":true}"#).status, 204);
    assert_eq!(world.asks(&alice, "GET", "/api/v1/positions", "").json()["positions"][0]["calm"], json!(true));

    let path = "/api/v1/strategies/s1";
    let tag = world.asks(&alice, "GET", path, "").header("etag");
    let known = [format!("authorization: Bearer {alice}"), format!("if-none-match: {tag}")];
    assert_eq!(world.ask("GET", path, &[&known[0], &known[1]], "").status, 304);
    let change = |tag: &str, fields: Json| {
        let headers = [format!("authorization: Bearer {alice}"), format!("if-match: {tag}")];
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        world.ask("PATCH", path, &headers, &json!({ "fields": fields }).to_string())
    };
    let changed = change(&tag, json!({ "stop_loss": "60.00", "take_profit": "500" }));
    assert_eq!((changed.status, &changed.json()["fields"]["stop_loss"]), (200, &json!("60.00")), "{}", changed.body);
    change(&tag, json!({ "stop_loss": "70" })).is_problem(412, "VERSION_CHANGED");
    change("\"x\"", json!({ "stop_loss": "70" })).is_problem(400, "BAD_REQUEST");
    change("*", json!({ "status": "COMPLETED" })).is_problem(409, "BUSY");
    let cleared = change(&changed.header("etag"), json!({ "take_profit": null })).json();
    assert_eq!((&cleared["fields"]["take_profit"], &cleared["fields"]["stop_loss"]), (&Json::Null, &json!("60.00")));
    world.asks(&alice, "PATCH", path, r#"{"fields":{"stop_loss":"70"}}"#).is_problem(428, "VERSION_REQUIRED");
    world.asks(&alice, "DELETE", path, "").is_problem(409, "BUSY");

    assert_eq!(world.asks(&alice, "POST", &format!("{path}/stop"), r#"{"square_off":true}"#).status, 200);
    world.until_field(&alice, "s1", "position", "SOLD");
    let orders = until("both orders are in Postgres", LIMIT, || {
        let listed = world.asks(&alice, "GET", "/api/v1/orders?strategy_id=s1", "").json();
        let filled = listed["orders"].as_array()?.iter().filter(|order| order["status"] == "FILL").count();
        (filled == 2).then_some(listed)
    });
    let legs: Vec<_> = orders["orders"].as_array().unwrap().iter().map(|order| &order["leg"]).collect();
    assert_eq!(legs, [&json!("EXIT"), &json!("ENTRY")], "newest first");
    let first = world.asks(&alice, "GET", "/api/v1/orders?limit=1", "").json();
    let rest =
        world.asks(&alice, "GET", &format!("/api/v1/orders?limit=1&cursor={}", first["cursor"].as_str().unwrap()), "");
    assert_eq!([&first["orders"][0], &rest.json()["orders"][0]], [&orders["orders"][0], &orders["orders"][1]]);
    let fills = world.asks(&alice, "GET", "/api/v1/fills", "").json();
    let worth = |leg: &str| -> i128 {
        let of_leg = fills["fills"].as_array().unwrap().iter().filter(|fill| fill["leg"] == leg);
        of_leg.map(|fill| units(&fill["price"]) * units(&fill["quantity"])).sum()
    };
    let realised = units(&world.asks(&alice, "GET", "/api/v1/pnl", "").json()["realised"]);
    assert_eq!(realised * 100_000_000, worth("EXIT") - worth("ENTRY"), "{fills}");

    let nothing = world.asks(&bob, "GET", "/api/v1/orders", "").json();
    assert_eq!((&nothing["orders"], world.asks(&bob, "GET", path, "").status), (&json!([]), 404));
    assert_eq!(world.asks(&bob, "GET", "/api/v1/strategies", "").json()["strategies"], json!([]));
    assert_eq!(world.asks(OPERATOR, "GET", "/api/v1/strategies", "").json()["strategies"][0]["id"], "s1");
    assert_eq!(world.asks(OPERATOR, "GET", &format!("{path}?user_id=alice"), "").status, 200);
    assert_eq!(world.asks(&alice, "DELETE", path, "").status, 204);
    world.asks(&alice, "GET", path, "").is_problem(404, "NOT_FOUND");
}

#[test]
fn lists_go_on_page_by_page_and_what_was_left_open_is_squared_off_later() {
    let world = quiet_market(&[]);
    let alice = issue(SECRET, "alice", &[]);
    for id in ["a", "b", "c"] {
        let new = json!({ "id": id, "fields": { "symbol": "IBM", "quantity": "1", "status": "STOPPED" } });
        assert_eq!(world.asks(&alice, "POST", "/api/v1/strategies", &new.to_string()).status, 201);
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/strategies?limit=2".to_owned());
    loop {
        let page = world.asks(&alice, "GET", &path, "").json();
        seen.extend(
            page["strategies"].as_array().unwrap().iter().map(|strategy| strategy["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["cursor"].as_str() else { break };
        path = format!("/api/v1/strategies?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["a", "b", "c"]);
    for bad in ["limit=0", "limit=501", "cursor=x", "cursor=a:%00", "status=ON", "symbol=%00", "more=1"] {
        world.asks(&alice, "GET", &format!("/api/v1/strategies?{bad}"), "").is_problem(400, "BAD_REQUEST");
    }
    let stop = |square_off: bool| {
        world.asks(&alice, "POST", "/api/v1/strategies/d/stop", &json!({ "square_off": square_off }).to_string()).json()
    };
    assert_eq!(world.asks(&alice, "POST", "/api/v1/strategies", &buys_now("d")).status, 201);
    world.until_field(&alice, "d", "position", "BOUGHT");
    let left = stop(false);
    assert_eq!((&left["fields"]["status"], &left["fields"]["on_stop"]), (&json!("STOPPED"), &json!("LEAVE")), "{left}");
    assert_eq!(stop(false)["version"], left["version"], "it was stopped already");
    assert_eq!(world.asks(&alice, "GET", "/api/v1/strategies/d", "").json()["fields"]["position"], "BOUGHT");
    stop(true);
    world.until_field(&alice, "d", "position", "SOLD");
    let started = world.asks(&alice, "POST", "/api/v1/strategies/a/start", "").json();
    assert_eq!(started["fields"]["status"], "RUNNING");
}
