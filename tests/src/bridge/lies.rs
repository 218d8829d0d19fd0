//! Every lie of the simulated broker is told as its name says: what a harness relies on.

use super::{LIMIT, ask, events, json_of, lookup, put, submit, truth, wait_status};
use crate::servers::simbroker::SimBroker;
use crate::support::until;
use serde_json::{Value as Json, json};

fn liar(fill_ms: &str) -> SimBroker {
    SimBroker::start(&["--class", "A", "--fill-ms", fill_ms, "--late-ms", "300", "--hang-ms", "5000"])
}

fn tell(broker: &SimBroker, lies: &str) {
    assert!(put(broker, "/control/lies", lies), "{lies}");
}

fn status(answer: Option<(u16, String)>) -> Option<u16> {
    answer.map(|(status, _)| status)
}

fn accepted(broker: &SimBroker, id: &str) -> usize {
    events(broker, id).iter().filter(|(event, _)| event == "accept").count()
}

fn cancel(broker: &SimBroker, id: &str) -> Option<(u16, String)> {
    ask(broker, "DELETE", &format!("/v1/orders/{id}?user=al&symbol=IBM"), "")
}

/// Reports of an order so far.
fn reports(broker: &SimBroker, id: &str) -> Vec<Json> {
    let (_, answer) = json_of(ask(broker, "GET", "/v1/reports?after=0&wait_ms=0", ""));
    let all = answer["reports"].as_array().unwrap().clone();
    all.into_iter().filter(|report| report["client_order_id"] == id).collect()
}

#[test]
fn a_submission_is_answered_by_every_lie() {
    let broker = liar("20");
    for (lie, answer, placed) in [
        ("timeout_placed", None, 1),
        ("timeout_lost", None, 0),
        ("error_placed", Some(503), 1),
        ("error_lost", Some(503), 0),
        ("rate_limit", Some(429), 0),
        ("refuse", Some(422), 0),
    ] {
        tell(&broker, &format!("{lie}=100"));
        assert_eq!(status(submit(&broker, lie, "10")), answer, "{lie}");
        assert_eq!(accepted(&broker, lie), placed, "{lie}: {:?}", events(&broker, lie));
        assert_eq!(lookup(&broker, lie).0, if placed == 1 { 200 } else { 404 }, "{lie}");
    }
    tell(&broker, r#"{"timeout_late": 100}"#);
    assert_eq!(status(submit(&broker, "late", "10")), None);
    wait_status(&broker, "late", "FILL");
    assert_eq!(accepted(&broker, "late"), 1);
    tell(&broker, "garbage_placed=100");
    for number in 0..24 {
        let id = format!("garbage{number}");
        let answer = submit(&broker, &id, "10").and_then(|(_, body)| serde_json::from_str::<Json>(&body).ok());
        let honest = answer.is_some_and(|order| {
            order["client_order_id"] == *id
                && order["status"] == "NEW"
                && order["quantity"] == "10"
                && order["cum_qty"] == "0"
        });
        assert!(!honest, "garbage {number}");
        assert_eq!(accepted(&broker, &id), 1);
    }
    tell(&broker, "slow=100");
    let started = std::time::Instant::now();
    let slow = crate::servers::engine::http(broker.port(), "GET", "/v1/positions", "", LIMIT);
    assert!(status(slow) == Some(200) && started.elapsed().as_millis() >= 200);
    assert!(!put(&broker, "/control/lies", "truth=100"), "unknown lies are refused");
    tell(&broker, "");
    assert_eq!(truth(&broker)["lies"], "");
}

#[test]
fn an_order_takes_every_bad_turn() {
    let broker = liar("60");
    tell(&broker, "reject=100");
    assert_eq!(json_of(submit(&broker, "reject", "10")).1["status"], "NEW");
    wait_status(&broker, "reject", "REJECTED");
    tell(&broker, "partial_then_cancel=100");
    submit(&broker, "partial", "10");
    let order = wait_status(&broker, "partial", "CANCELED");
    assert_ne!(order["cum_qty"], "10");
    tell(&broker, "lost_terminal=100");
    submit(&broker, "lost", "10");
    wait_status(&broker, "lost", "FILL");
    assert!(reports(&broker, "lost").iter().all(|report| report["status"] != "FILL"));
    tell(&broker, "duplicate_fill=100");
    submit(&broker, "twice", "10");
    wait_status(&broker, "twice", "FILL");
    let fills = reports(&broker, "twice");
    let numbers: Vec<_> = fills.iter().map(|report| report["seq"].as_i64().unwrap()).collect();
    assert!(numbers.windows(2).any(|pair| pair[0] == pair[1]), "the same number twice: {numbers:?}");
    let cum: Vec<i64> = fills.iter().map(|report| report["cum_qty"].as_str().unwrap().parse().unwrap()).collect();
    assert!(cum.windows(2).any(|pair| pair[0] > pair[1]), "an old one after a new one: {cum:?}");
    tell(&broker, "not_found=100");
    submit(&broker, "hidden", "10");
    assert_eq!(lookup(&broker, "hidden").0, 404, "denied at first");
    until("it is found", LIMIT, || (lookup(&broker, "hidden").0 == 200).then_some(()));
}

#[test]
fn a_cancellation_is_not_what_it_seems() {
    let broker = liar("3000");
    submit(&broker, "kept", "10");
    tell(&broker, "cancel_lost=100");
    assert_ne!(status(cancel(&broker, "kept")), Some(200));
    assert_eq!(lookup(&broker, "kept").1["status"], "NEW");
    tell(&broker, "cancel_unanswered=100");
    assert_ne!(status(cancel(&broker, "kept")), Some(200));
    assert_eq!(lookup(&broker, "kept").1["status"], "CANCELED");
    tell(&broker, "late_fill=100");
    submit(&broker, "late", "10");
    let (_, order) = json_of(cancel(&broker, "late"));
    assert_eq!((&order["status"], &order["cum_qty"]), (&json!("CANCELED"), &json!("0")));
    let filled = |order: &Json| order["cum_qty"] != "0";
    until("the fill comes in", LIMIT, || Some(lookup(&broker, "late").1).filter(filled));
    until("and is reported", LIMIT, || reports(&broker, "late").last().cloned().filter(filled));
    let events = events(&broker, "late");
    let place = |wanted: &str| events.iter().position(|(event, _)| event == wanted).unwrap();
    assert!(place("cancel") < place("fill"), "{events:?}");
    let good = lookup(&broker, "late").1;
    tell(&broker, "read_error=100");
    for _ in 0..12 {
        let answer = ask(&broker, "GET", "/v1/orders/late?user=al&symbol=IBM", "");
        let body = answer.and_then(|(_, body)| serde_json::from_str::<Json>(&body).ok());
        assert_ne!(body.as_ref(), Some(&good));
    }
}
