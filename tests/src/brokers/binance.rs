//! Binance Spot.

use super::{Desk, House, USER, the_doctor_tries_the_account};
use strat_fakes::Fake;
use strat_fakes::binance::{API_KEY, API_SECRET, Binance, STREAM};

fn settings(fake: &Fake) -> Vec<(&'static str, String)> {
    vec![
        ("STRAT_BROKER_KIND", "binance".to_owned()),
        ("STRAT_FEED_KIND", "binance".to_owned()),
        ("STRAT_BINANCE_USER", USER.to_owned()),
        ("STRAT_BINANCE_SYMBOLS", "BTCUSDT".to_owned()),
        ("STRAT_BINANCE_URL", fake.rest_url()),
        ("STRAT_BINANCE_STREAM_URL", format!("{}{STREAM}", fake.socket_url())),
        ("STRAT_BINANCE_DATA_URL", fake.socket_url()),
        ("STRAT_BINANCE_API_KEY", API_KEY.to_owned()),
        ("STRAT_BINANCE_API_SECRET", API_SECRET.to_owned()),
        // What an engine that takes over waits for.
        ("STRAT_BINANCE_RECV_WINDOW_MS", "1000".to_owned()),
    ]
}

pub(super) fn house() -> House {
    let fake = Fake::start(Binance::default());
    let own = settings(&fake);
    House { fake, symbol: "BTCUSDT", own, folder: None }
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
    let fake = Fake::start(Binance::default());
    let wrong = ("STRAT_BINANCE_API_SECRET", "anotherSecret");
    the_doctor_tries_the_account("Binance", settings(&fake), wrong, "-1022");
}
