//! What an entry is held against before it is sent.

use super::machine::{Verdict, intent_of};
use super::{Executor, Job};
use async_trait::async_trait;
use strat_core::risk::Intent;
use strat_core::{Leg, Price, Strategy, StrategyKey};

/// Field of a strategy: the price that its entry reckons with, for the price collar.
pub const REFERENCE_PRICE: &str = "reference_price";

/// An entry that is about to be sent.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Whose.
    pub key: StrategyKey<'a>,
    /// Which entry of it.
    pub cycle: u64,
    /// The order.
    pub intent: Intent,
    /// The price that it reckons with, where its strategy names one.
    pub reference_price: Option<Price>,
}

/// Whoever holds entries against their limits.
#[async_trait]
pub trait EntryRisk: Send + Sync {
    /// Judges an entry. What is approved counts from then on, also for other engines.
    async fn judge(&self, entry: Candidate<'_>) -> Verdict;
}

impl Executor {
    /// What its limits say of a job's order. Asked only where nothing else holds the entry up: an approval counts.
    pub(super) async fn verdict(&self, job: &Job, strategy: &Strategy, hash: &strat_client::Strategy) -> Verdict {
        let asked = [strategy.pending, strategy.working].contains(&Some(job.action)) && job.cycle == strategy.cycle;
        let Some(key) = StrategyKey::parse(&job.key).filter(|_| asked) else { return Verdict::NotAsked };
        if job.action.leg(strategy.side) == Leg::Exit {
            return Verdict::NotAsked;
        }
        let intent = intent_of(key, strategy, job.cycle);
        let Some(risk) = &self.settings.risk else { return Verdict::without_limits(intent) };
        let reference = hash.get(REFERENCE_PRICE).unwrap_or_default();
        let reference_price = match reference.parse() {
            Ok(price) => Some(price),
            Err(_) if reference.is_empty() => None,
            Err(_) => return Verdict::Later("its reference_price is no price"),
        };
        risk.judge(Candidate { key, cycle: job.cycle, intent, reference_price }).await
    }
}
