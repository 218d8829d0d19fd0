//! The accounts at the broker, each by itself: one that does not answer holds up its own users and nobody else.

use super::Reconciler;
use crate::broker::{AccountOf, BrokerError};
use crate::failure::sentence;
use color_eyre::Result;
use color_eyre::eyre::eyre;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use strat_core::Quantity;
use tokio::time::{Instant, sleep, timeout_at};

/// Longest wait for a listing.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer an account may take than the first that answers: everybody waits for that.
const BEHIND_MAX: Duration = Duration::from_secs(2);
/// How often accounts are asked again whose users wait for that.
const SILENT_EVERY: Duration = Duration::from_secs(2);

/// What accounts have told, and which of them have told nothing.
#[derive(Debug)]
pub(super) struct Answers<T> {
    pub(super) all: Vec<T>,
    pub(super) silent: BTreeSet<AccountOf>,
}

/// Asks each of the accounts.
///
/// # Errors
/// Where none of them answers.
pub(super) async fn ask<'a, T, F>(
    accounts: &'a BTreeSet<AccountOf>,
    what: &str,
    list: impl Fn(&'a AccountOf) -> F,
) -> Result<Answers<T>>
where
    F: Future<Output = Result<Vec<T>, BrokerError>>,
{
    let mut asked: FuturesUnordered<_> =
        accounts.iter().map(|account| list(account).map(move |answer| (account, answer))).collect();
    let mut answers = Answers { all: Vec::new(), silent: accounts.clone() };
    let mut trouble = BrokerError::Unknown("no answer in time".to_owned());
    let mut until = Instant::now() + LIST_TIMEOUT;
    while let Ok(Some((account, answer))) = timeout_at(until, asked.next()).await {
        match answer {
            Ok(listed) => {
                answers.all.extend(listed);
                answers.silent.remove(account);
                until = until.min(Instant::now() + BEHIND_MAX);
            }
            Err(error) => {
                tracing::debug!(%account, %error, what, "an account does not tell");
                trouble = error;
            }
        }
    }
    if answers.silent.len() == accounts.len() {
        return Err(eyre!("the broker does not list its {what}: {trouble}"));
    }
    Ok(answers)
}

impl Reconciler {
    /// Before the gate opens: what the accounts have, whatever Redis remembers. The users of those that do not tell wait.
    ///
    /// # Errors
    /// As [`Reconciler::settle_with_broker`].
    pub(super) async fn settle_accounts(&self) -> Result<()> {
        let all = self.broker.accounts();
        let silent = self.settle_with_broker(&all).await?;
        for account in &silent {
            tracing::error!(%account, "it does not tell its orders: those of its users wait until it does, everybody else's go on");
        }
        self.gate.hold_accounts(all, silent);
        Ok(())
    }

    /// As [`Reconciler::settle_with_broker`] for a pass while orders go on: trouble is said, and nothing is held up.
    pub(super) async fn look_at_broker(&self, held: &BTreeMap<(String, String), Quantity>) {
        let look = async {
            self.look_at_orders(&self.broker.accounts()).await?;
            self.compare_positions(held).await
        };
        if let Err(error) = look.await {
            tracing::warn!(error = sentence(&error), "the broker's books could not be compared");
        }
    }

    /// Looks at the orders of these accounts, and lets those go on that have told them.
    async fn look_at_orders(&self, accounts: &BTreeSet<AccountOf>) -> Result<()> {
        let silent = self.settle_with_broker(accounts).await?;
        for account in accounts.difference(&silent) {
            if self.gate.let_account_go(account) {
                tracing::info!(%account, "it has told its orders: those of its users go on");
            }
        }
        Ok(())
    }

    /// Asks accounts again whose users wait, for ever.
    pub(super) async fn ask_silent(&self) {
        loop {
            sleep(SILENT_EVERY).await;
            let silent = self.gate.silent_accounts();
            if silent.is_empty() || self.gate.peek().is_none() {
                continue;
            }
            if let Err(error) = self.look_at_orders(&silent).await {
                tracing::debug!(error = sentence(&error), "accounts do not tell their orders yet");
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
    async fn who_answers_is_believed_and_nobody_waits_long_for_who_does_not() {
        let begun = Instant::now();
        let all = BTreeSet::from([AccountOf::Others, user("dumb"), user("out")]);
        let Answers { all: listed, silent } = ask(&all, "orders", answer).await.unwrap();
        assert_eq!((listed, silent), (vec![1], BTreeSet::from([user("dumb"), user("out")])));
        assert!(begun.elapsed() < LIST_TIMEOUT);
    }

    #[tokio::test]
    async fn where_nobody_answers_nothing_is_known() {
        let all = BTreeSet::from([user("late"), user("out")]);
        let error = ask(&all, "orders", answer).await.unwrap_err().to_string();
        assert!(error.starts_with("the broker does not list its orders: "), "{error}");
    }
}
