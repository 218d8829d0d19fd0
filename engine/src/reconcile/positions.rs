//! What strategies hold, compared with what the accounts at the broker hold.

use super::Reconciler;
use super::accounts::{Answers, LIST_TIMEOUT, ask, unless_all};
use crate::broker::BrokerPosition;
use crate::store::Fields;
use color_eyre::Result;
use std::collections::BTreeMap;
use strat_core::{Quantity, Side, StrategyKey};

impl Reconciler {
    /// Compares what the strategies hold with what the accounts hold. A difference that lasts is told once; accounts
    /// may be traded by others too, so nothing is done about it.
    pub(super) async fn compare_positions(&self, held: &BTreeMap<(String, String), Quantity>) -> Result<()> {
        let accounts = self.broker.accounts();
        let list = |account| self.broker.positions_of(account);
        let Answers { told: listed, silent } = ask(&accounts, "positions", LIST_TIMEOUT, list).await;
        let silent = unless_all(silent, &accounts)?;
        let mut now = differences(held, listed.into_values().flatten().collect());
        // What these hold is not known: it is as it was.
        let is_silent = |user: &str| silent.contains_key(&self.broker.account_of(user));
        now.retain(|(user, _), _| !is_silent(user));
        let mut told = self.told();
        for (account, (ours, brokers)) in &now {
            let lasts = told.positions.get(account) == Some(&(*ours, *brokers));
            if lasts && told.told_positions.insert(account.clone()) {
                let (user, symbol) = account;
                tracing::warn!(user, symbol, %ours, broker = %brokers, "the account holds another quantity than its strategies say");
            }
        }
        told.told_positions.retain(|account| now.contains_key(account) || is_silent(&account.0));
        told.positions = now;
        Ok(())
    }
}

/// Accounts where both sides differ: ours, the broker's.
#[must_use]
pub fn differences(
    held: &BTreeMap<(String, String), Quantity>,
    listed: Vec<BrokerPosition>,
) -> BTreeMap<(String, String), (Quantity, Quantity)> {
    let mut both: BTreeMap<_, _> =
        held.iter().map(|(account, ours)| (account.clone(), (*ours, Quantity::ZERO))).collect();
    for BrokerPosition { user, symbol, quantity } in listed {
        both.entry((user, symbol)).or_insert((Quantity::ZERO, Quantity::ZERO)).1 = quantity;
    }
    both.retain(|_, (ours, brokers)| ours != brokers);
    both
}

/// What the strategies hold, net, by user and symbol.
#[must_use]
pub fn held_by_account(hashes: &BTreeMap<String, Fields>) -> BTreeMap<(String, String), Quantity> {
    let mut held: BTreeMap<(String, String), Quantity> = BTreeMap::new();
    for (key, fields) in hashes {
        let (Some(key), Ok(strategy)) = (StrategyKey::parse(key), crate::store::state(fields)) else { continue };
        let sum = held.entry((key.user.to_owned(), strategy.symbol.clone())).or_default();
        let open = strategy.open_quantity();
        *sum = match strategy.side {
            Side::Long => sum.plus(open),
            Side::Short => sum.net(open),
        };
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_compared_net() {
        let hash = |pairs: &[(&str, &str)]| -> Fields {
            let base = [("symbol", "IBM"), ("quantity", "10")];
            base.iter().chain(pairs).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let hashes = BTreeMap::from([
            ("user:a:strategy:1".to_owned(), hash(&[("position", "BOUGHT")])),
            (
                "user:a:strategy:2".to_owned(),
                hash(&[("position", "SHORTED"), ("side", "SHORT"), ("filled_quantity", "4")]),
            ),
            ("user:b:strategy:1".to_owned(), hash(&[])),
            ("user:d:strategy:1".to_owned(), hash(&[("position", "SHORTED"), ("side", "SHORT")])),
        ]);
        let held = held_by_account(&hashes);
        assert_eq!(held[&("a".to_owned(), "IBM".to_owned())].to_string(), "6");
        let position = |user: &str, quantity: &str| BrokerPosition {
            user: user.into(),
            symbol: "IBM".into(),
            quantity: quantity.parse().unwrap(),
        };
        assert!(differences(&held, vec![position("a", "6"), position("d", "-10")]).is_empty());
        let different = differences(&held, vec![position("a", "16"), position("c", "-1"), position("d", "-10")]);
        assert_eq!(different.keys().map(|(user, _)| user.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    }
}
