//! Kite.

use super::{Desk, House, LIMIT, USER, engine_says};
use crate::support::until;
use serde_json::Value;
use std::fs;
use std::path::Path;
use strat_fakes::Fake;
use strat_fakes::kite::Kite;

fn settings(fake: &Fake, folder: &Path) -> Vec<(&'static str, String)> {
    Kite::default().settings(fake, USER, folder)
}

pub(super) fn log_in(own: &[(&'static str, String)], request_token: &str) -> (bool, String) {
    let mut own = own.to_vec();
    own.push(("STRAT_KITE_API_SECRET", Kite::default().api_secret.to_owned()));
    let (done, said) = engine_says(&["kite", "login", "--request-token", request_token], &own);
    if done {
        let (_, file) = own.iter().find(|(name, _)| *name == "STRAT_KITE_TOKEN_FILE").unwrap();
        date_tomorrow(Path::new(file));
    }
    (done, said)
}

/// Tokens end at 6 in the morning: this one does not in the middle of a test.
fn date_tomorrow(token: &Path) {
    let mut kept: Value = serde_json::from_slice(&fs::read(token).unwrap()).unwrap();
    kept["login_ms"] = (kept["login_ms"].as_i64().unwrap() + 24 * 60 * 60 * 1_000).into();
    fs::write(token, kept.to_string()).unwrap();
}

/// Nobody has logged in yet.
fn closed_house() -> House {
    let (fake, folder) = (Fake::start(Kite::default()), tempfile::tempdir().unwrap());
    let own = settings(&fake, folder.path());
    House { fake, symbol: "IBM", own, folder: Some(folder) }
}

pub(super) fn house() -> House {
    let house = closed_house();
    let (done, said) = log_in(&house.own, Kite::default().request_token);
    assert!(done && said.starts_with("logged in until "), "{said}");
    house
}

#[test]
fn a_strategy_trades_from_its_start_to_its_stop() {
    Desk::start(house()).trades_once();
}

#[test]
fn a_strategy_trades_once_although_the_engine_is_killed_between_order_and_answer() {
    Desk::start(house()).trades_once_although_it_is_killed();
}

#[test]
fn health_asks_for_a_login_and_a_running_engine_takes_it() {
    let house = closed_house();
    let own = house.own.clone();
    let desk = Desk::start(house);
    until("health asks for a login", LIMIT, || {
        let (status, body) = desk.engine.get("/health")?;
        let body: Value = serde_json::from_str(&body).unwrap();
        let error = body["broker"]["error"].as_str()?;
        (status == 503 && error.contains("strat-engine kite login")).then_some(())
    });
    assert!(log_in(&own, Kite::default().request_token).0);
    desk.trades_once();
}

#[test]
fn the_login_and_the_doctor_say_what_is_wrong() {
    let House { own, fake: _fake, folder: _folder, .. } = closed_house();
    let (done, said) = engine_says(&["kite", "login"], &own);
    assert!(done && said.trim() == "https://kite.zerodha.com/connect/login?v=3&api_key=fakekey", "{said}");
    let (done, said) = engine_says(&["kite", "login", "--request-token", "x"], &own);
    assert!(!done && said.contains("kite.api_secret is not set"), "{said}");
    let (done, said) = log_in(&own, "another");
    assert!(!done && said.contains("Kite refuses the request token"), "{said}");
    let (_, said) = engine_says(&["doctor"], &own);
    assert!(said.contains("FAIL  the account at Kite") && said.contains("strat-engine kite login"), "{said}");
    assert!(log_in(&own, Kite::default().request_token).0);
    let (_, said) = engine_says(&["doctor"], &own);
    assert!(said.contains("OK    the account at Kite at http://127.0.0.1:"), "{said}");
    let secrets = [Kite::default().api_secret, Kite::default().access_token];
    assert!(!secrets.iter().any(|secret| said.contains(secret)), "{said}");
}
