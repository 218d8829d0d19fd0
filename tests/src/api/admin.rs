//! What admins do: halt entries, square everything off; and what is kept of it. And every route, asked by somebody else.

use super::strategies::{buys_now, quiet_market};
use super::tenants::{SECRET, issue};
use super::*;

#[test]
fn halted_entries_wait_over_a_restart_and_exits_go_on() {
    let mut world = quiet_market(&[]);
    let alice = issue(SECRET, "alice", &[]);
    let admin = issue(SECRET, "root", &["--role", "admin"]);
    let make = |world: &World, id: &str| {
        assert_eq!(world.asks(&alice, "POST", "/api/v1/strategies", &buys_now(id)).status, 201)
    };
    make(&world, "held");
    world.until_field(&alice, "held", "position", "BOUGHT");
    world.asks(&alice, "POST", "/api/v1/admin/halt", r#"{"reason":"me"}"#).is_problem(403, "ADMINS_ONLY");
    world.asks(&admin, "POST", "/api/v1/admin/halt", r#"{"reason":""}"#).is_problem(400, "BAD_REQUEST");
    let halted = world.asks(&admin, "POST", "/api/v1/admin/halt", r#"{"reason":"odd prices"}"#).json();
    assert_eq!((&halted["halted"], &halted["by"]), (&json!(true), &json!("admin root")));
    make(&world, "waits");
    world.until_field(&alice, "waits", "pending", "BUY");
    world.engine.kill_9();
    world.engine.start_again();
    world.engine.wait_healthy();
    let state = world.asks(&admin, "GET", "/api/v1/admin/engine", "").json();
    assert_eq!(
        (&state["halted"], &state["halt"]["reason"], &state["entries_wait"]),
        (&json!(true), &json!("odd prices"), &json!(true)),
        "{state}"
    );
    // An exit that began after the restart has ended, and the entry still waits.
    assert_eq!(world.asks(&alice, "POST", "/api/v1/strategies/held/stop", r#"{"square_off":true}"#).status, 200);
    world.until_field(&alice, "held", "position", "SOLD");
    assert_eq!(world.postgres.sql("SELECT count(*) FROM orders WHERE strategy_id = 'waits'"), ["0"]);
    assert_eq!(world.until_field(&alice, "waits", "pending", "BUY")["fields"]["position"], "NONE");
    assert_eq!(
        world.asks(&admin, "POST", "/api/v1/admin/resume", r#"{"reason":"all is well"}"#).json()["halted"],
        false
    );
    world.until_field(&alice, "waits", "position", "BOUGHT");

    world.asks(&admin, "POST", "/api/v1/admin/square-off", r#"{"confirm":false}"#).is_problem(400, "BAD_REQUEST");
    let squared_off = world.asks(&admin, "POST", "/api/v1/admin/square-off", r#"{"confirm":true}"#).json();
    assert_eq!(squared_off, json!({ "stopped": 1, "failed": [], "complete": true }));
    world.until_field(&alice, "waits", "position", "SOLD");
    assert_eq!(world.asks(&admin, "POST", "/api/v1/admin/reconcile", "").status, 202);
    assert_eq!(
        world.postgres.sql("SELECT halted, reason FROM entry_halts ORDER BY seq"),
        ["t|odd prices", "f|all is well"]
    );
}

#[test]
fn every_write_is_noted_and_notes_are_kept() {
    let mut world = quiet_market(&[]);
    let alice = issue(SECRET, "alice", &[]);
    let named = [format!("authorization: Bearer {alice}"), "x-request-id: r-1".to_owned()];
    let named: Vec<_> = named.iter().map(String::as_str).collect();
    let made = world.ask("POST", "/api/v1/strategies", &named, &buys_now("s1"));
    assert_eq!((made.status, made.header("x-request-id").as_str()), (201, "r-1"));
    assert_eq!(made.header("x-request-id"), "r-1");
    let refused = world.asks(&alice, "POST", "/api/v1/strategies?x", "{");
    refused.is_problem(400, "BAD_REQUEST");
    let unnamed = refused.header("x-request-id");
    assert_eq!(unnamed.len(), 32, "{unnamed}");
    world.asks(&alice, "GET", "/api/v1/strategies", "");
    let rows = |id: &str| {
        world.postgres.sql(&format!(
            "SELECT phase, caller_kind, caller, method, path, status, code FROM api_audit WHERE request_id = '{id}' ORDER BY seq"
        ))
    };
    assert_eq!(
        rows("r-1"),
        ["ASKED|user|alice|POST|/api/v1/strategies||", "DONE|user|alice|POST|/api/v1/strategies|201|"]
    );
    assert_eq!(rows(&unnamed)[1], "DONE|user|alice|POST|/api/v1/strategies?x|400|BAD_REQUEST");
    assert_eq!(world.postgres.sql("SELECT count(*) FROM api_audit WHERE method = 'GET'"), ["0"]);
    let listed = world.asks(OPERATOR, "GET", "/api/v1/admin/audit?limit=1", "").json();
    assert_eq!((&listed["audit"][0]["request_id"], listed["cursor"].is_string()), (&json!(unnamed), true), "{listed}");
    let kept = world.postgres.sql(
        "DO $$ BEGIN DELETE FROM api_audit; RAISE EXCEPTION 'gone'; EXCEPTION WHEN raise_exception THEN
           IF SQLERRM NOT LIKE '%append-only%' THEN RAISE; END IF; END $$",
    );
    assert!(kept.is_empty());
    let long = json!({ "id": "s2", "fields": { "note": "x".repeat(20_000) } }).to_string();
    world.asks(&alice, "POST", "/api/v1/strategies", &long).is_problem(413, "BODY_TOO_LARGE");
    world.asks(&alice, "GET", "/api/v1/nowhere", "").is_problem(404, "NOT_FOUND");
    world.asks(&alice, "PATCH", "/api/v1/orders", "").is_problem(405, "METHOD_NOT_ALLOWED");

    // Without Postgres nothing is written that nobody could answer for, and what ends positions goes on.
    world.until_field(&alice, "s1", "position", "BOUGHT");
    world.postgres.kill_9();
    world.asks(&alice, "POST", "/api/v1/strategies", &buys_now("s3")).is_problem(503, "POSTGRES_UNAVAILABLE");
    assert_eq!(world.redis.conn().run("EXISTS user:alice:strategy:s3").int(), 0);
    world.asks(&alice, "GET", "/api/v1/orders", "").is_problem(503, "POSTGRES_UNAVAILABLE");
    let stopped = world.asks(&alice, "POST", "/api/v1/strategies/s1/stop", r#"{"square_off":true}"#);
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    world.until_field(&alice, "s1", "position", "SOLD");
    assert!(world.engine.log().contains("is not noted in Postgres and goes on"));
}

/// A request that would do something, for each route that takes a body.
fn body_of(path: &str, method: &str) -> String {
    let body = match (method, path) {
        ("post", "/api/v1/strategies") => {
            json!({ "id": "new", "user_id": "alice", "fields": { "symbol": "IBM", "quantity": "1" } })
        }
        ("patch", _) => json!({ "fields": { "note": "mine" } }),
        ("post", "/api/v1/strategies/{id}/stop") => json!({ "square_off": true }),
        ("post", "/api/v1/alerts" | "/api/v1/cache/price-alerts") => {
            json!({ "id": "new", "user_id": "alice", "symbol": "IBM", "condition": "ABOVE", "price": "1" })
        }
        ("put", "/api/v1/calm") => json!({ "calm": true, "user_id": "alice" }),
        ("put", "/api/v1/admin/risk/{user_id}") => json!({ "limits": { "max_quantity": "1" } }),
        ("post", "/api/v1/admin/square-off") => json!({ "confirm": true }),
        ("post", "/api/v1/admin/halt" | "/api/v1/admin/resume") => json!({ "reason": "mine" }),
        _ => Json::Null,
    };
    if body.is_null() { String::new() } else { body.to_string() }
}

#[test]
fn on_every_route_of_the_document_another_users_token_finds_nothing() {
    let world = quiet_market(&[]);
    let (alice, bob) = (issue(SECRET, "alice", &[]), issue(SECRET, "bob", &[]));
    assert_eq!(world.asks(&alice, "POST", "/api/v1/strategies", &buys_now("s1")).status, 201);
    world.until_field(&alice, "s1", "position", "BOUGHT");
    let alert = json!({ "id": "a1", "symbol": "IBM", "condition": "ABOVE", "price": "9999" });
    assert_eq!(world.asks(&alice, "POST", "/api/v1/alerts", &alert.to_string()).status, 201);
    let mut conn = world.redis.conn();
    let before = (conn.run("HGETALL user:alice:strategy:s1"), conn.run("HGETALL user:alice:alert:a1"));
    let document = world.get("/api/openapi.json").json();
    let kept = std::fs::read_to_string(crate::servers::paths::root().join("docs/openapi.json")).unwrap();
    assert_eq!(document, serde_json::from_str::<Json>(&kept).unwrap(), "what is served is what is kept");
    let mut walked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let tag = operation["tags"][0].as_str().unwrap();
            let params: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
            let has = |name: &str| params.iter().any(|param| param["name"] == name && param["in"] == "query");
            let concrete = path.replace("{id}", "s1").replace("{user_id}", "alice").replace("{symbol}", "IBM");
            let mut query: Vec<&str> = Vec::new();
            query.extend(has("user_id").then_some("user_id=alice"));
            query.extend((tag == "alerts" && method == "delete").then_some("id=a1"));
            query.extend(has("confirm").then_some("confirm=true"));
            let concrete = format!("{concrete}?{}", query.join("&"));
            let (verb, body) = (method.to_uppercase(), body_of(path, method));
            let ask = |token: &str| {
                let authorization = format!("authorization: Bearer {token}");
                world.ask(&verb, &concrete, &[&authorization, "if-match: *"], &body)
            };
            world.ask(&verb, &concrete, &[], &body).is_problem(401, "UNAUTHORIZED");
            match tag {
                "market" | "token" => {}
                "admin" => ask(&bob).is_problem(403, "ADMINS_ONLY"),
                _ => ask(&bob).is_problem(404, "NOT_FOUND"),
            }
            walked += 1;
        }
    }
    assert!(walked >= 30, "{walked}");
    let after = (conn.run("HGETALL user:alice:strategy:s1"), conn.run("HGETALL user:alice:alert:a1"));
    assert_eq!(format!("{after:?}"), format!("{before:?}"), "and nothing was changed");
    // Her id does not help him either: of his own there is none of that name.
    world.asks(&bob, "GET", "/api/v1/strategies/s1", "").is_problem(404, "NOT_FOUND");
    world.asks(&bob, "DELETE", "/api/v1/alerts?id=a1", "").is_problem(404, "NOT_FOUND");
    assert_eq!(world.asks(&bob, "GET", "/api/v1/positions", "").json()["positions"], json!([]));
}
