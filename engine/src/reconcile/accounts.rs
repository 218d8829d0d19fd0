//! The accounts at the broker, each by itself: one that does not answer holds up its own users and nobody else.

use super::Reconciler;
use crate::broker::{AccountOf, BrokerError};
use crate::failure::sentence;
use color_eyre::Result;
use color_eyre::eyre::eyre;
use futures_util::future::{FutureExt as _, join_all};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use strat_core::Quantity;
use tokio::time::{sleep, timeout};

/// Longest wait for a listing.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
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
    let silence = |_| Err(BrokerError::Unknown("no answer in time".to_owned()));
    let answers = accounts.iter().map(|account| {
        timeout(LIST_TIMEOUT, list(account)).map(move |answer| (account, answer.unwrap_or_else(silence)))
    });
    let mut told = Answers { all: Vec::new(), silent: BTreeSet::new() };
    let mut trouble = None;
    for (account, answer) in join_all(answers).await {
        match answer {
            Ok(listed) => told.all.extend(listed),
            Err(error) => {
                tracing::debug!(%account, %error, what, "an account does not tell");
                told.silent.insert(account.clone());
                trouble.get_or_insert(error);
            }
        }
    }
    match trouble {
        Some(error) if told.silent.len() == accounts.len() => {
            Err(eyre!("the broker does not list its {what}: {error}"))
        }
        _ => Ok(told),
    }
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
            AccountOf::User(_) => Err(BrokerError::Unavailable("log in".to_owned())),
        }
    }

    #[tokio::test]
    async fn who_answers_is_believed_and_who_does_not_is_named() {
        let all = BTreeSet::from([AccountOf::Others, user("late"), user("out")]);
        let Answers { all: listed, silent } = ask(&all, "orders", answer).await.unwrap();
        assert_eq!((listed, silent), (vec![1], BTreeSet::from([user("late"), user("out")])));
    }

    #[tokio::test]
    async fn where_nobody_answers_nothing_is_known() {
        let all = BTreeSet::from([user("late"), user("out")]);
        let error = ask(&all, "orders", answer).await.unwrap_err().to_string();
        assert!(error.starts_with("the broker does not list its orders: "), "{error}");
    }
}
