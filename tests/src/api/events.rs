//! The stream of events: nothing is lost or repeated, over reconnects and restarts.

use super::strategies::quiet_market;
use super::tenants::{SECRET, issue};
use super::*;
use std::io::{BufRead as _, BufReader};
use std::time::Instant;

/// An open stream.
struct Stream {
    lines: BufReader<TcpStream>,
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    id: i64,
    event: String,
    data: Json,
}

impl Stream {
    fn open(world: &World, token: &str, query: &str, last: Option<i64>) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", world.engine.port())).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let last = last.map_or_else(String::new, |last| format!("last-event-id: {last}\r\n"));
        // A refusal ends the connection: nobody waits on it for more.
        write!(
            stream,
            "GET /api/v1/events{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{last}\r\n"
        )
        .unwrap();
        Self { lines: BufReader::new(stream) }
    }

    /// The next line; empty where the stream has ended. Signs of life come for ever, so it is the whole wait that has an end.
    fn line(&mut self, begun: Instant) -> String {
        let mut line = String::new();
        assert!(begun.elapsed() < 2 * LIMIT, "nothing but signs of life within {:?}", 2 * LIMIT);
        self.lines.read_line(&mut line).map(|_| line).unwrap_or_default()
    }

    /// The next event; `None` where the stream has ended.
    fn next(&mut self) -> Option<Seen> {
        let (mut id, mut event, mut data) = (None, None, None);
        let begun = Instant::now();
        loop {
            let line = self.line(begun);
            if line.is_empty() {
                return None;
            }
            // Everything else is HTTP's: the head, and sizes of chunks.
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => id = text.parse().ok(),
                Some(("event", text)) => event = Some(text.to_owned()),
                Some(("data", text)) => data = serde_json::from_str::<Json>(text).ok(),
                _ => {}
            }
            if let (Some(id), Some(event), Some(data), true) = (id, &event, &data, line.trim_end().is_empty()) {
                return Some(Seen { id, event: event.clone(), data: data.clone() });
            }
        }
    }

    /// The data of the next event of this name, which has no id.
    fn unnumbered(&mut self, name: &str) -> Json {
        let mut block: Vec<(String, String)> = Vec::new();
        let begun = Instant::now();
        loop {
            let line = self.line(begun);
            assert!(!line.is_empty(), "the stream ended before {name}");
            match line.trim_end().split_once(": ") {
                Some((field, text)) => block.push((field.to_owned(), text.to_owned())),
                None if line.trim_end().is_empty() => {
                    let of =
                        |wanted: &str| block.iter().find(|(field, _)| field == wanted).map(|(_, text)| text.as_str());
                    if of("event") == Some(name) {
                        assert_eq!(of("id"), None, "{block:?}");
                        return serde_json::from_str(of("data").unwrap()).unwrap();
                    }
                    block.clear();
                }
                None => {}
            }
        }
    }

    fn expect(&mut self) -> Seen {
        self.next().expect("the stream goes on")
    }
}

fn make(world: &World, user: &str, id: &str) {
    let new = json!({ "id": id, "user_id": user, "fields": { "symbol": "IBM", "quantity": "1", "status": "STOPPED" } });
    let made = world.asks(OPERATOR, "POST", "/api/v1/strategies", &new.to_string());
    assert_eq!(made.status, 201, "{}", made.body);
}

#[test]
fn events_go_on_where_a_client_left_off() {
    let mut world = quiet_market(&[("STRAT_HTTP_STREAMS_PER_USER", "2")]);
    let (alice, bob) = (issue(SECRET, "alice", &[]), issue(SECRET, "bob", &[]));
    let mut hers = Stream::open(&world, &alice, "", None);
    assert_eq!(hers.expect().event, "ready");
    let mut everybodys = Stream::open(&world, OPERATOR, "", None);
    let begin = everybodys.expect().id;
    make(&world, "bob", "b1");
    make(&world, "alice", "a1");
    let first = hers.expect();
    assert_eq!((&first.data["strategy_id"], &first.data["user_id"]), (&json!("a1"), &json!("alice")), "and not bob's");
    assert_eq!((&first.data["type"], &first.data["version"]), (&json!(first.event), &json!(1)));
    let whose: Vec<_> = (0..2).map(|_| everybodys.expect().data["strategy_id"].clone()).collect();
    assert_eq!(whose, [json!("b1"), json!("a1")]);

    // Away for a while, and the engine as well.
    drop(hers);
    for number in 2..600 {
        world
            .redis
            .conn()
            .run(&format!("STRAT.SET user:alice:strategy:a{number} symbol IBM quantity 1 status STOPPED"));
    }
    world.engine.kill_9();
    assert!(everybodys.next().is_none_or(|seen| seen.id > begin));
    world.engine.start_again();
    world.engine.wait_healthy();
    make(&world, "alice", "last");
    let mut again = Stream::open(&world, &alice, "", Some(first.id));
    assert_eq!(
        again.expect(),
        Seen { id: first.id, event: "ready".to_owned(), data: json!({ "last_event_id": first.id }) }
    );
    let mut ids = vec![first.id];
    loop {
        let seen = again.expect();
        assert!(seen.id > *ids.last().unwrap() && seen.data["user_id"] == "alice", "{seen:?}");
        ids.push(seen.id);
        if seen.data["strategy_id"] == "last" {
            break;
        }
    }
    let kept = world
        .postgres
        .sql(&format!("SELECT seq FROM strategy_events WHERE user_id = 'alice' AND seq >= {} ORDER BY seq", first.id));
    assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), kept, "all of them, once");
    assert!(kept.len() >= 600);

    // What was never counted is not waited for.
    let mut lost = Stream::open(&world, &alice, "?last_event_id=999999999", None);
    assert_eq!(lost.expect().event, "reset");
    let refused = world.asks(&alice, "GET", "/api/v1/events", "");
    refused.is_problem(429, "TOO_MANY_STREAMS");
    world.asks(&bob, "GET", "/api/v1/events?user_id=alice", "").is_problem(404, "NOT_FOUND");
    world.asks(&bob, "GET", "/api/v1/events?last_event_id=x", "").is_problem(400, "BAD_REQUEST");
    drop((again, lost));
    until("the places are free again", LIMIT, || {
        let mut stream = Stream::open(&world, &alice, "", None);
        stream.next().map(|seen| assert_eq!(seen.event, "ready"))
    });
    assert_eq!(world.engine.terminate(), Some(0), "an open stream holds up no stop");
}

#[test]
fn alerts_fire_into_their_users_stream_and_say_when_they_may_have_been_missed() {
    let mut world = quiet_market(&[]);
    let (alice, bob) = (issue(SECRET, "alice", &[]), issue(SECRET, "bob", &[]));
    let arm = |token: &str, id: &str, price: &str| {
        let alert = json!({ "id": id, "symbol": "M&M", "condition": "ABOVE", "price": price });
        assert_eq!(world.asks(token, "POST", "/api/v1/alerts", &alert.to_string()).status, 201);
    };
    let mut hers = Stream::open(&world, &alice, "", None);
    let begin = hers.expect().id;
    assert_eq!(hers.unnumbered("alerts"), json!({ "user_id": "alice" }), "from here on none is missed");
    let mut chosen = Stream::open(&world, OPERATOR, "?user_id=alice", None);
    chosen.unnumbered("alerts");
    arm(&bob, "his", "2600");
    arm(&alice, "a1", "2600.00");
    world.redis.conn().run("STRAT.SLCHECK M&M 2601.5");
    for stream in [&mut hers, &mut chosen] {
        let fired = stream.unnumbered("PRICE_ALERT");
        assert_eq!(
            (&fired["type"], &fired["user_id"], &fired["alert_id"]),
            (&json!("PRICE_ALERT"), &json!("alice"), &json!("a1"))
        );
        assert_eq!((&fired["data"]["triggered_price"], &fired["data"]["symbol"]), (&json!("2601.5"), &json!("M&M")));
    }
    // What has an id goes on behind what had one.
    make(&world, "alice", "s1");
    let next = hers.expect();
    assert!(next.id > begin && next.data["strategy_id"] == "s1", "{next:?}");

    world.redis.kill_9();
    arm_fails(&world, &alice);
    world.redis.start_again();
    hers.unnumbered("alerts");
    until("alerts are armed again", LIMIT, || {
        let alert = json!({ "id": "a2", "symbol": "M&M", "condition": "BELOW", "price": "2000" });
        (world.asks(&alice, "POST", "/api/v1/alerts", &alert.to_string()).status == 201).then_some(())
    });
    world.redis.conn().run("STRAT.SLCHECK M&M 1999");
    assert_eq!(hers.unnumbered("PRICE_ALERT")["alert_id"], "a2");
}

fn arm_fails(world: &World, token: &str) {
    let alert = json!({ "id": "lost", "symbol": "M&M", "condition": "ABOVE", "price": "1" });
    assert_eq!(world.asks(token, "POST", "/api/v1/alerts", &alert.to_string()).status, 503);
}
