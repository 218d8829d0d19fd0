//! The accounts at the broker, each by itself: one that does not answer holds up its own users and nobody else.

use super::Reconciler;
use crate::broker::{AccountOf, BrokerError};
use crate::failure::sentence;
use color_eyre::eyre::eyre;
use color_eyre::{Report, Result};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use strat_core::Quantity;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Longest wait for a listing.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer an account may take than the first that answers while nobody trades.
const BEHIND_MAX: Duration = Duration::from_secs(2);
/// How often accounts are asked again whose users wait for that.
const SILENT_EVERY: Duration = Duration::from_secs(5);
/// Longest work on what one account of several has told: its users wait for the rest, and nobody else.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// What each account has told, and why others have not.
#[derive(Debug)]
pub(super) struct Answers<T> {
    pub(super) told: BTreeMap<AccountOf, Vec<T>>,
    pub(super) silent: BTreeMap<AccountOf, Report>,
}

/// Those that are silent, unless all are: then why.
pub(super) fn unless_all(
    mut silent: BTreeMap<AccountOf, Report>,
    accounts: &BTreeSet<AccountOf>,
) -> Result<BTreeMap<AccountOf, Report>> {
    if silent.len() < accounts.len() {
        return Ok(silent);
    }
    silent.pop_first().map_or(Ok(BTreeMap::new()), |(_, why)| Err(why))
}

/// Asks each of the accounts; once one has answered, the others have no longer than `behind` left.
pub(super) async fn ask<'a, T, F>(
    accounts: &'a BTreeSet<AccountOf>,
    what: &str,
    behind: Duration,
    list: impl Fn(&'a AccountOf) -> F,
) -> Answers<T>
where
    F: Future<Output = Result<Vec<T>, BrokerError>>,
{
    let mut asked: FuturesUnordered<_> =
        accounts.iter().map(|account| list(account).map(move |answer| (account.clone(), answer))).collect();
    let silence = |why: BrokerError| eyre!("the broker does not list its {what}: {why}");
    let unheard =
        |account: &AccountOf| (account.clone(), silence(BrokerError::Unknown("no answer in time".to_owned())));
    let mut answers = Answers { told: BTreeMap::new(), silent: accounts.iter().map(unheard).collect() };
    let mut until = Instant::now() + LIST_TIMEOUT;
    while let Ok(Some((account, answer))) = timeout_at(until, asked.next()).await {
        match answer {
            Ok(listed) => {
                answers.silent.remove(&account);
                answers.told.insert(account, listed);
                until = until.min(Instant::now() + behind);
            }
            Err(why) => drop(answers.silent.insert(account, silence(why))),
        }
    }
    answers
}

impl Reconciler {
    /// Before the gate opens: what the accounts have, whatever Redis remembers. The users of those that do not tell wait.
    ///
    /// # Errors
    /// Where none of them tells, or nothing can be made of what any of them tells.
    pub(super) async fn settle_accounts(&self) -> Result<()> {
        let silent = self.settle_with_broker(BEHIND_MAX).await?;
        for account in &silent {
            tracing::error!(%account, "ORDERS WAIT: what it has is not known, its users' are not sent until it is; everybody else's go on");
        }
        self.gate.hold_accounts(silent);
        Ok(())
    }

    /// A look at the broker's books while orders go on: trouble is said, and nothing is held up.
    pub(super) async fn look_at_broker(&self, held: &BTreeMap<(String, String), Quantity>) {
        let look = async {
            let waiting = self.gate.silent_accounts();
            let behind = if waiting.is_empty() { LIST_TIMEOUT } else { BEHIND_MAX };
            let silent = self.settle_with_broker(behind).await?;
            for account in waiting.difference(&silent) {
                if self.gate.let_account_go(account) {
                    tracing::warn!(%account, "it has told its orders: those of its users go on");
                }
            }
            self.compare_positions(held).await
        };
        if let Err(error) = look.await {
            tracing::warn!(error = sentence(&error), "the broker's books could not be compared");
        }
    }

    /// Looks at the orders of each account; answers those of which that was not possible.
    async fn settle_with_broker(&self, behind: Duration) -> Result<BTreeSet<AccountOf>> {
        let accounts = self.broker.accounts();
        let answers = ask(&accounts, "orders", behind, |account| self.broker.orders_of(account)).await;
        // A single account has all the time that there is: it makes nobody else wait.
        let limit = if accounts.len() > 1 { SETTLE_MAX } else { Duration::MAX };
        let mut settling: FuturesUnordered<_> = answers
            .told
            .into_iter()
            .map(|(account, listed)| timeout(limit, self.settle_listed(listed)).map(move |outcome| (account, outcome)))
            .collect();
        let mut silent = answers.silent;
        while let Some((account, outcome)) = settling.next().await {
            if let Err(why) = outcome.unwrap_or_else(|_| Err(eyre!("its orders were not compared in time"))) {
                silent.insert(account, why);
            }
        }
        let silent = unless_all(silent, &accounts)?;
        for (account, why) in &silent {
            tracing::warn!(%account, why = sentence(why), "its orders could not be compared");
        }
        Ok(silent.into_keys().collect())
    }

    /// Waits until an account answers whose users wait for that.
    pub(super) async fn an_account_tells(&self) {
        loop {
            sleep(SILENT_EVERY).await;
            let silent = self.gate.silent_accounts();
            let answers = ask(&silent, "orders", Duration::ZERO, |account| self.broker.orders_of(account)).await;
            if !answers.told.is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> AccountOf {
        AccountOf::User(name.to_owned())
    }

    async fn answer(account: &AccountOf) -> Result<Vec<u8>, BrokerError> {
        match account {
            AccountOf::Others => Ok(vec![1]),
            AccountOf::User(name) if name == "dumb" => std::future::pending().await,
            AccountOf::User(_) => Err(BrokerError::Unavailable("log in".to_owned())),
        }
    }

    #[tokio::test]
    async fn who_answers_is_believed_and_who_does_not_is_not_waited_for() {
        let all = BTreeSet::from([AccountOf::Others, user("dumb"), user("out")]);
        let Answers { told, silent } = ask(&all, "orders", Duration::from_millis(20), answer).await;
        assert_eq!(told, BTreeMap::from([(AccountOf::Others, vec![1])]));
        let silent = unless_all(silent, &all).unwrap();
        let why: Vec<_> = silent.values().map(ToString::to_string).collect();
        let begins = "the broker does not list its orders: ";
        assert!(why[0].starts_with(begins) && why[0].ends_with("no answer in time"), "{why:?}");
        assert!(why[1].starts_with(begins) && why[1].ends_with("log in"), "{why:?}");
    }

    #[tokio::test]
    async fn where_nobody_answers_nothing_is_known() {
        let all = BTreeSet::from([user("late"), user("out")]);
        assert!(unless_all(ask(&all, "orders", BEHIND_MAX, answer).await.silent, &all).is_err());
    }
}
