//! Alpaca.

use crate::stage::{SILENCE, Stage, TIMEOUT, USER, until};
use std::sync::Arc;
use std::time::Duration;
use strat_engine::broker::{AlpacaBroker, AlpacaSettings, Broker};
use strat_engine::clock::LiveClock;
use strat_fakes::Fake;
use strat_fakes::alpaca::{Alpaca, KEY_ID, SECRET_KEY, STREAM};
use tokio_util::sync::{CancellationToken, DropGuard};

struct AlpacaStage {
    fake: Fake,
    broker: Arc<dyn Broker>,
    _stop: DropGuard,
}

fn settings(fake: &Fake) -> AlpacaSettings {
    AlpacaSettings {
        user: USER.to_owned(),
        rest_url: fake.rest_url(),
        stream_url: format!("{}{STREAM}", fake.socket_url()),
        key_id: KEY_ID.into(),
        secret_key: SECRET_KEY.into(),
        timeout: TIMEOUT,
        settle: Duration::from_secs(1),
        silence: SILENCE,
        in_flight_max: 16,
    }
}

#[async_trait::async_trait]
impl Stage for AlpacaStage {
    async fn start() -> Self {
        let fake = Fake::start(Alpaca);
        let broker = Arc::new(AlpacaBroker::new(settings(&fake), Arc::new(LiveClock)).unwrap());
        let stop = CancellationToken::new();
        tokio::spawn({
            let (broker, stop) = (Arc::clone(&broker), stop.clone());
            async move { broker.run(stop).await }
        });
        until("it has caught up", || fake.asked("GET /v2/orders?status=all") > 0).await;
        Self { fake, broker, _stop: stop.drop_guard() }
    }

    fn fake(&self) -> &Fake {
        &self.fake
    }

    fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }
}

suite!(AlpacaStage);
