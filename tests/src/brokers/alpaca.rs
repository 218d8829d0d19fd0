//! Alpaca.

use super::{Desk, House, USER, the_doctor_tries_the_account};
use strat_fakes::Fake;
use strat_fakes::alpaca::{Alpaca, KEY_ID, MARKET, SECRET_KEY, STREAM};

fn settings(fake: &Fake) -> Vec<(&'static str, String)> {
    let kinds = [("STRAT_BROKER_KIND", "alpaca".to_owned()), ("STRAT_FEED_KIND", "alpaca".to_owned())];
    kinds.into_iter().chain(account(fake, USER)).collect()
}

/// The account of a user.
pub(super) fn account(fake: &Fake, user: &str) -> Vec<(&'static str, String)> {
    vec![
        ("STRAT_ALPACA_USER", user.to_owned()),
        ("STRAT_ALPACA_URL", fake.rest_url()),
        ("STRAT_ALPACA_STREAM_URL", format!("{}{STREAM}", fake.socket_url())),
        ("STRAT_ALPACA_DATA_URL", format!("{}{MARKET}", fake.socket_url())),
        ("STRAT_ALPACA_KEY_ID", KEY_ID.to_owned()),
        ("STRAT_ALPACA_SECRET_KEY", SECRET_KEY.to_owned()),
    ]
}

pub(super) fn house() -> House {
    let fake = Fake::start(Alpaca::paper());
    let own = settings(&fake);
    House { fake, symbol: "IBM", own, folder: None }
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
fn the_doctor_says_whether_the_key_is_taken() {
    let fake = Fake::start(Alpaca::paper());
    let wrong = ("STRAT_ALPACA_SECRET_KEY", "another-secret");
    the_doctor_tries_the_account("Alpaca", settings(&fake), wrong, "does not take the key");
}
