//! Who may ask for what: users' tokens, tenants, limits; with Redis up and away.

use super::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

pub(super) const SECRET: &str = "a-secret-of-at-least-32-bytes-for-tests";
pub(super) const WITH_SECRETS: &[(&str, &str)] = &[("STRAT_HTTP_JWT_SECRET", SECRET), ("STRAT_HTTP_TOKEN", OPERATOR)];

/// A token as `strat-engine token issue` prints it.
pub(super) fn issue(secret: &str, user: &str, more: &[&str]) -> String {
    let env = vec![("STRAT_HTTP_JWT_SECRET".to_owned(), secret.to_owned())];
    let output = engine::run(&[&["token", "issue", user][..], more].concat(), &env, LIMIT);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(secret));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn alert(id: &str) -> String {
    json!({ "id": id, "symbol": "M&M", "condition": "ABOVE", "price": "2600" }).to_string()
}

#[test]
fn a_user_has_his_own_and_of_others_there_is_nothing() {
    let world = World::start(WITH_SECRETS);
    let (alice, bob) = (issue(SECRET, "alice", &[]), issue(SECRET, "bob", &[]));
    let admin = issue(SECRET, "root", &["--role", "admin"]);
    let alerts = "/api/v1/cache/price-alerts";
    let armed = world.asks(&alice, "POST", alerts, &alert("a1"));
    assert_eq!((armed.status, &armed.json()["key"]), (201, &json!("user:alice:alert:a1")), "{}", armed.body);
    let count = |token: &str, query: &str| {
        let listed = world.asks(token, "GET", &format!("{alerts}{query}"), "");
        assert_eq!(listed.status, 200, "{}", listed.body);
        listed.json()["alerts"].as_array().unwrap().len()
    };
    assert_eq!((count(&alice, ""), count(&alice, "?user_id=alice"), count(&bob, "")), (1, 1, 0));
    assert_eq!((count(&admin, "?user_id=alice"), count(OPERATOR, "?user_id=alice"), count(&admin, "")), (1, 1, 0));
    world.asks(OPERATOR, "GET", alerts, "").is_problem(400, "BAD_REQUEST");

    let mut hers: Json = serde_json::from_str(&alert("a2")).unwrap();
    hers["user_id"] = json!("alice");
    for (method, path, body) in [
        ("GET", "/api/v1/cache/price-alerts?user_id=alice", String::new()),
        ("POST", "/api/v1/cache/price-alerts", hers.to_string()),
        ("DELETE", "/api/v1/cache/price-alerts?user_id=alice&id=a1", String::new()),
        ("DELETE", "/api/v1/cache/price-alerts?id=a1", String::new()),
        ("GET", "/api/v1/cache/sessions/alice", String::new()),
        ("GET", "/api/v1/cache/sessions/nobody", String::new()),
    ] {
        world.asks(&bob, method, path, &body).is_problem(404, "NOT_FOUND");
    }
    assert_eq!(world.asks(&bob, "GET", "/api/v1/cache/sessions/bob", "").status, 200);
    assert_eq!(world.asks(&admin, "GET", "/api/v1/cache/sessions/alice", "").status, 200);
    assert_eq!((count(&alice, ""), world.asks(&alice, "GET", "/api/v1/cache/symbols", "").status), (1, 200));

    let mut conn = world.redis.conn();
    conn.run("SET cache:x 1 PX 600000");
    for (method, path) in [
        ("POST", "/api/v1/cache/clear?confirm=true"),
        ("POST", "/api/v1/cache/cleanup"),
        ("GET", "/api/v1/cache/stats"),
        ("GET", "/api/v1/cache/health"),
    ] {
        world.asks(&alice, method, path, "").is_problem(403, "ADMINS_ONLY");
        assert_eq!(conn.run("EXISTS cache:x").int(), 1);
    }
    for token in [&admin, OPERATOR] {
        assert_eq!(world.asks(token, "GET", "/api/v1/cache/health", "").status, 200);
    }
    assert_eq!(world.asks(&admin, "POST", "/api/v1/cache/clear?confirm=true", "").json()["cleared"], 1);
    assert!(!world.engine.log().contains(SECRET), "it is not logged");
}

#[test]
fn a_token_that_is_not_good_lets_nobody_in() {
    let world = World::start(&[("STRAT_HTTP_JWT_SECRET", SECRET), ("STRAT_FEED_SYMBOLS", "IBM=100")]);
    let alice = issue(SECRET, "alice", &[]);
    let whose = |token: &str| world.asks(token, "GET", "/api/v1/token", "");
    let shown = whose(&alice).json();
    assert_eq!((&shown["name"], &shown["admin"]), (&json!("alice"), &json!(false)), "{shown}");
    // {"alg":"none"}, and HS512 over what HS256 had signed.
    let claims = alice.split('.').nth(1).unwrap();
    let signature = alice.split('.').nth(2).unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let stripped = format!("eyJhbGciOiJub25lIn0.{claims}.{signature}");
    let other_algorithm = format!("eyJhbGciOiJIUzUxMiJ9.{claims}.{signature}");
    let elsewhere = issue("another-secret-of-at-least-32-bytes....", "alice", &[]);
    for bad in ["", "x", unsigned.as_str(), &stripped, &other_algorithm, &elsewhere, OPERATOR] {
        let refused = whose(bad);
        refused.is_problem(401, "UNAUTHORIZED");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    world.get("/api/v1/token").is_problem(401, "UNAUTHORIZED");

    // Given back by its user; revoked by an operator, on another way to the same list.
    let second = issue(SECRET, "alice", &[]);
    assert_eq!(world.asks(&second, "DELETE", "/api/v1/token", "").status, 204);
    let refused = whose(&second);
    refused.is_problem(401, "UNAUTHORIZED");
    assert!(refused.body.contains("revoked"), "{}", refused.body);
    assert_eq!(whose(&alice).status, 200, "the other one is good");
    revoke(&world, &alice);
    whose(&alice).is_problem(401, "UNAUTHORIZED");

    // The leeway is 30 s: a token that ran out longer ago can only be made with a clock that is behind.
    let keys = strat_engine::token::Keys::new(&SECRET.to_owned().into());
    let ago = u64::try_from(crate::support::now_ms() / 1_000).unwrap() - 100;
    let (old, _) = keys.issue("alice", strat_engine::token::Role::User, Duration::from_secs(60), ago).unwrap();
    let refused = whose(&old);
    refused.is_problem(401, "UNAUTHORIZED");
    assert!(refused.body.contains("run out"), "{}", refused.body);
}

fn revoke(world: &World, token: &str) {
    let mut command = Command::new(crate::servers::paths::engine());
    command.args(["token", "revoke"]).env("STRAT_HTTP_JWT_SECRET", SECRET).env("REDIS_URL", world.redis.url());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{token}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "revoked a token of alice");
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let more = [("STRAT_HTTP_READS_PER_MINUTE", "18"), ("STRAT_HTTP_WRITES_PER_MINUTE", "12")];
    let world = World::start(&[WITH_SECRETS, &more].concat());
    let (alice, bob) = (issue(SECRET, "alice", &[]), issue(SECRET, "bob", &[]));
    let read = |token: &str| world.asks(token, "GET", "/api/v1/token", "");
    let remaining: Vec<_> = (0..3).map(|_| read(&alice).header("ratelimit-remaining")).collect();
    assert_eq!(remaining, ["2", "1", "0"]);
    let refused = read(&alice);
    refused.is_problem(429, "RATE_LIMITED");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=4).contains(&wait), "one in 60/18 s: {wait}");
    assert_eq!(
        (refused.header("ratelimit-limit").as_str(), refused.header("ratelimit-policy").as_str()),
        ("3", "18;w=60;burst=3")
    );
    assert_eq!((read(&bob).status, read(OPERATOR).status), (200, 200), "each has his own");
    let write = |id: &str| world.asks(&alice, "POST", "/api/v1/cache/price-alerts", &alert(id));
    assert_eq!((write("a1").status, write("a2").status), (201, 201), "writes are counted apart");
    write("a3").is_problem(429, "RATE_LIMITED");
    assert_eq!(world.redis.conn().run("EXISTS user:alice:alert:a3").int(), 0);

    let open = World::start(&more);
    let statuses: Vec<_> = (0..4).map(|_| open.get("/api/v1/cache/symbols").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429], "without a token by address");
    assert_eq!(open.redis.conn().run("EXISTS ratelimit:http.read.address:127.0.0.1").int(), 1);
}

#[test]
fn who_guesses_a_token_runs_out_of_guesses_and_users_come_in_all_the_same() {
    let world = World::start(&[WITH_SECRETS, &[("STRAT_HTTP_REFUSED_PER_MINUTE", "12")]].concat());
    let alice = issue(SECRET, "alice", &[]);
    let whose = |token: &str| world.asks(token, "GET", "/api/v1/token", "");
    assert_eq!(whose(OPERATOR).status, 200);
    for left in ["1", "0"] {
        let refused = whose("a-wrong-guess");
        refused.is_problem(401, "UNAUTHORIZED");
        assert_eq!(refused.header("ratelimit-remaining"), left);
    }
    // What a header says of the peer is not believed.
    let guess = ["authorization: Bearer another-guess", "x-forwarded-for: 192.0.2.7", "forwarded: for=192.0.2.7"];
    let refused = world.ask("GET", "/api/v1/token", &guess, "");
    refused.is_problem(429, "RATE_LIMITED");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=5).contains(&wait), "one in 60/12 s: {wait}");
    assert_eq!(refused.header("ratelimit-policy"), "12;w=60;burst=2");
    whose(OPERATOR).is_problem(429, "RATE_LIMITED");
    assert_eq!(whose(&alice).status, 200, "hers cannot be guessed");
    assert_eq!(world.redis.conn().run("KEYS ratelimit:http.refused:*").items().len(), 0, "Redis is not troubled");
    until("guesses are looked at again", LIMIT, || (whose(OPERATOR).status == 200).then_some(()));
}

#[test]
fn while_redis_is_away_no_users_token_is_taken_and_the_operator_is_counted_here() {
    let more = [("STRAT_HTTP_READS_PER_MINUTE", "30")];
    let mut world = World::start(&[WITH_SECRETS, &more].concat());
    let alice = issue(SECRET, "alice", &[]);
    world.redis.kill_9();
    for (method, path) in [("GET", "/api/v1/cache/sessions/alice"), ("POST", "/api/v1/cache/price-alerts")] {
        let refused = world.asks(&alice, method, path, &alert("a1"));
        refused.is_problem(503, "REDIS_UNAVAILABLE");
        assert!(refused.body.contains("revoked"), "{}", refused.body);
    }
    world.asks("wrong", "GET", "/api/v1/token", "").is_problem(401, "UNAUTHORIZED");
    let statuses: Vec<_> = (0..6).map(|_| world.asks(OPERATOR, "GET", "/api/v1/token", "").status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    world.redis.start_again();
    until("tokens are taken again", LIMIT, || {
        (world.asks(&alice, "GET", "/api/v1/cache/sessions/alice", "").status == 200).then_some(())
    });
}

#[test]
fn beyond_this_machine_it_does_not_listen_without_a_secret() {
    let env = vec![
        ("STRAT_HTTP_ADDR".to_owned(), "0.0.0.0:0".to_owned()),
        ("REDIS_URL".to_owned(), "redis://127.0.0.1:1/".to_owned()),
        ("DATABASE_URL".to_owned(), "postgres://x@localhost/x?host=/nowhere".to_owned()),
    ];
    let output = engine::run(&["run"], &env, LIMIT);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("http.jwt_secret"), "{said}");
}
