//! The broker that orders go to: it is asked for the positions, which changes nothing and needs all of it.

use super::Finding;
use crate::broker::{AlpacaBroker, BinanceBroker, Bridge, Broker, KiteBroker};
use crate::clock::LiveClock;
use crate::config::Settings;
use std::fmt::Display;
use std::sync::Arc;

pub(super) async fn bridge(settings: &Settings) -> Finding {
    let broker = &settings.broker;
    let fix = "start the bridge, or set broker.url (STRAT_BROKER_URL) to where it listens";
    ask("the broker's bridge", &broker.url, Bridge::new(broker.bridge(settings.concurrency)), fix).await
}

pub(super) async fn alpaca(settings: &Settings) -> Finding {
    let broker = AlpacaBroker::new(settings.alpaca(), Arc::new(LiveClock));
    ask("the account at Alpaca", &settings.alpaca.url, broker, crate::run::ALPACA_HINT).await
}

pub(super) async fn kite(settings: &Settings) -> Finding {
    let account = settings.kite();
    let url = account.rest_url.clone();
    ask("the account at Kite", &url, KiteBroker::new(account, Arc::new(LiveClock)), crate::run::KITE_HINT).await
}

pub(super) async fn binance(settings: &Settings) -> Finding {
    let broker = BinanceBroker::new(settings.binance(), Arc::new(LiveClock));
    ask("the account at Binance", &settings.binance.url, broker, crate::run::BINANCE_HINT).await
}

async fn ask<B: Broker, E: Display>(what: &str, url: &str, broker: Result<B, E>, fix: &str) -> Finding {
    let broker = match broker {
        Ok(broker) => broker,
        Err(error) => return Finding::fail(format!("{what}: {error}"), fix),
    };
    match broker.positions().await {
        Ok(positions) => Finding::ok(format!("{what} at {url} answers, {} positions", positions.len())),
        Err(error) => Finding::fail(format!("{what} at {url}: {error}"), fix),
    }
}
