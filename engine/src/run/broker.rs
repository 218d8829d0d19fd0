//! The broker that the settings ask for.

use super::{Base, Crew};
use crate::broker::{
    Accounts, AlpacaBroker, BinanceBroker, Bridge, Broker, BrokerHealth, EXIT_WAIT_MAX, Idempotency, KiteBroker,
    Ledger, Limited, Noted, PaperBroker,
};
use crate::config::{BrokerKind, Settings};
use crate::failure::{OrFail as _, failure};
use crate::lease::Lease;
use color_eyre::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for one answer of the broker; one with a time-out of its own gets a little more than that.
const BROKER_TIMEOUT: Duration = Duration::from_secs(2);
const BROKER_MARGIN: Duration = Duration::from_millis(500);

/// The broker, and the paper broker once more if it is that one: it trades at the feed's prices.
pub(super) struct Trading {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) paper: Option<Arc<PaperBroker>>,
}

impl Base {
    /// What will be known of the broker.
    pub(super) fn broker_health(&self) -> Arc<BrokerHealth> {
        Arc::new(BrokerHealth::new(self.settings.broker.kind_word(), Arc::clone(&self.clock)))
    }

    /// The broker, called no more often than it likes; with the accounts of single users where there are some.
    pub(super) fn start_broker(
        &self,
        accounts: Vec<(String, Settings)>,
        health: &Arc<BrokerHealth>,
        crew: &mut Crew,
    ) -> Result<Trading> {
        let Trading { broker: main, paper } = self.open(&self.settings, health, crew)?;
        if accounts.is_empty() {
            return Ok(Trading { broker: main, paper });
        }
        let mut by_user = BTreeMap::new();
        for (user, settings) in accounts {
            let health = Arc::new(BrokerHealth::new(settings.broker.kind_word(), Arc::clone(&self.clock)));
            let Trading { broker, .. } = self.open(&settings, &health, crew)?;
            tracing::info!(user, kind = settings.broker.kind_word(), "an account of its own");
            by_user.insert(user, Arc::new(Noted::new(broker, health)));
        }
        let each: Vec<Arc<dyn Broker>> = by_user.values().map(|own| Arc::clone(own) as _).collect();
        let all = Arc::new(Accounts::new(Arc::clone(&main), by_user));
        for account in each.into_iter().chain([main]) {
            let all = Arc::clone(&all);
            crew.spawn("account's reports", async move {
                all.forward(&*account).await;
                Ok(())
            });
        }
        Ok(Trading { broker: all, paper })
    }

    /// One account, called no more often than it likes.
    fn open(&self, settings: &Settings, health: &Arc<BrokerHealth>, crew: &mut Crew) -> Result<Trading> {
        let Trading { broker, paper } = self.open_unlimited(settings, health, crew)?;
        Ok(Trading { broker: limited(settings, broker)?, paper })
    }

    fn open_unlimited(&self, settings: &Settings, health: &Arc<BrokerHealth>, crew: &mut Crew) -> Result<Trading> {
        let broker: Arc<dyn Broker> = match settings.broker.kind {
            BrokerKind::Paper => {
                let paper = Arc::new(self.paper_broker()?);
                return Ok(Trading { broker: Arc::clone(&paper) as _, paper: Some(paper) });
            }
            BrokerKind::Bridge => {
                let bridge = Bridge::new(settings.broker.bridge(settings.concurrency))
                    .or_fail("the broker's address cannot be used", "check broker.url (STRAT_BROKER_URL)")?;
                let heard = Arc::clone(health);
                with_reports(crew, Arc::new(bridge), |bridge, cancel| async move {
                    bridge.poll_reports(&heard, cancel).await;
                })
            }
            BrokerKind::Alpaca => {
                let alpaca = AlpacaBroker::new(settings.alpaca(), Arc::clone(&self.clock))
                    .or_fail("the account at Alpaca cannot be opened", ALPACA_HINT)?;
                with_reports(crew, Arc::new(alpaca), |alpaca, cancel| async move { alpaca.run(cancel).await })
            }
            BrokerKind::Kite => {
                let kite = KiteBroker::new(settings.kite(), Arc::clone(&self.clock))
                    .or_fail("the account at Kite cannot be opened", KITE_HINT)?;
                with_reports(crew, Arc::new(kite), |kite, cancel| async move { kite.run(cancel).await })
            }
            BrokerKind::Binance => {
                let binance = BinanceBroker::new(settings.binance(), Arc::clone(&self.clock))
                    .or_fail("the account at Binance cannot be opened", BINANCE_HINT)?;
                with_reports(crew, Arc::new(binance), |binance, cancel| async move { binance.run(cancel).await })
            }
        };
        Ok(Trading { broker, paper: None })
    }

    /// Longest wait for an answer of a broker; a call may have to wait for its turn first.
    pub(super) fn broker_timeout(&self, accounts: &[(String, Settings)]) -> Duration {
        let each = accounts.iter().map(|(_, settings)| settings).chain([&self.settings]);
        let longest = each.map(|settings| {
            let turn = if settings.limits().are_none() { Duration::ZERO } else { EXIT_WAIT_MAX };
            BROKER_TIMEOUT.max(settings.broker.timeout + BROKER_MARGIN) + turn
        });
        longest.max().unwrap_or(BROKER_TIMEOUT)
    }

    fn paper_broker(&self) -> Result<PaperBroker> {
        let (ledger, lines) = Ledger::open(&self.settings.paper_ledger).or_fail(
            "the paper broker's ledger cannot be used",
            "set paper.ledger (STRAT_PAPER_LEDGER) to a file of this engine's own, in a folder that it may write",
        )?;
        Ok(PaperBroker::new(self.settings.paper, Arc::clone(&self.clock), ledger, &lines))
    }
}

/// A broker, called no more often than it likes, where somebody has said how often that is.
fn limited(settings: &Settings, broker: Arc<dyn Broker>) -> Result<Arc<dyn Broker>> {
    let limits = settings.limits();
    if !limits.let_entries_pass() {
        return Err(failure(
            "the limits of calls to the broker leave no room for entries: most are looked up, then sent",
            "raise broker.calls_per_second, _minute or _day to 3 at least, or lower broker.exit_share",
        ));
    }
    Ok(if limits.are_none() { broker } else { Arc::new(Limited::new(broker, limits)) })
}

/// What is to be set for an account at Alpaca.
pub(crate) const ALPACA_HINT: &str = "set alpaca.user, alpaca.key_id and alpaca.secret_key (STRAT_ALPACA_USER, …_KEY_ID, …_SECRET_KEY); see docs/brokers/alpaca.md";

/// What is to be set for an account at Kite.
pub(crate) const KITE_HINT: &str = "set kite.user and kite.api_key (STRAT_KITE_USER, …_API_KEY), and log in with `strat-engine kite login`; see docs/brokers/kite.md";

/// What is to be set for an account at Binance.
pub(crate) const BINANCE_HINT: &str = "set binance.user, binance.symbols, binance.api_key and binance.api_secret (STRAT_BINANCE_USER, …_SYMBOLS, …_API_KEY, …_API_SECRET); see docs/brokers/binance.md";

/// A broker, and the task that brings its reports.
fn with_reports<B: Broker + 'static, F: Future<Output = ()> + Send + 'static>(
    crew: &mut Crew,
    broker: Arc<B>,
    reports: impl FnOnce(Arc<B>, CancellationToken) -> F,
) -> Arc<dyn Broker> {
    let bring = reports(Arc::clone(&broker), crew.cancel.clone());
    crew.spawn("broker's reports", async move {
        bring.await;
        Ok(())
    });
    broker
}

/// With a broker that dedupes ids every engine trades.
pub(super) fn lease_for(broker: &dyn Broker) -> Lease {
    match broker.idempotency() {
        Idempotency::Dedupes => Lease::not_needed(),
        Idempotency::Queryable | Idempotency::None => Lease::needed(broker.settles_within()),
    }
}
