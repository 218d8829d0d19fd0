//! Finds where Redis and Postgres do not agree, and has it mended.

use super::orphans::in_flight;
use super::{DRAIN_PATIENCE, PAGE, Reconciler, Report, Verdict, judge};
use crate::failure::sentence;
use crate::store::{self, Fields, Filter, Row, count, state};
use color_eyre::Result;
use color_eyre::eyre::bail;
use std::collections::{BTreeMap, BTreeSet};
use strat_client::{ListQuery, StratCommands as _};
use strat_core::{Code, Status, StrategyKey, field};

/// A row and a hash that do not agree. The hash was read first, then the journal was drained, then the row was read: so
/// the row is at least as new, where the journal is whole.
pub(super) struct Doubt {
    pub(super) key: String,
    pub(super) row: Option<Row>,
    pub(super) hash: Option<Fields>,
    pub(super) verdict: Verdict,
}

impl Reconciler {
    /// Every strategy in Redis, by key.
    pub(super) async fn hashes(&self) -> Result<BTreeMap<String, Fields>> {
        let mut redis = self.link.connection();
        let mut hashes = BTreeMap::new();
        for status in Status::ALL {
            let mut query = ListQuery::new().status(*status).count(PAGE);
            loop {
                let page = redis.strat_list_values(&query).await?;
                hashes.extend(page.items.iter().map(|strategy| (strategy.key().to_owned(), fields_of(strategy))));
                let Some(cursor) = page.cursor else { break };
                query = query.cursor(cursor);
            }
        }
        Ok(hashes)
    }

    /// Loads what Redis lacks; answers where row and hash do not agree.
    pub(super) async fn compare(
        &self,
        mut hashes: BTreeMap<String, Fields>,
        epoch: &str,
        report: &mut Report,
        flying: &mut BTreeSet<String>,
    ) -> Result<Vec<Doubt>> {
        let mut doubts = Vec::new();
        let mut last: Option<Row> = None;
        loop {
            let after = last.as_ref().map(|row| (row.user.as_str(), row.strategy.as_str()));
            let rows = self.store.page(&Filter::default(), after, i64::from(PAGE)).await?;
            last = rows.last().cloned();
            let full = rows.len() == PAGE as usize;
            let mut missing = Vec::new();
            for row in rows {
                let key = row.key();
                let hash = hashes.remove(&key);
                match judge(Some(&row), hash.as_ref(), self.settings.unknown) {
                    Verdict::Agree => {}
                    Verdict::Load => missing.push(row),
                    verdict => doubts.push(Doubt { key, row: Some(row), hash, verdict }),
                }
            }
            flying.extend(missing.iter().filter(|row| in_flight(&row.fields)).map(Row::key));
            self.load_all(missing, epoch, report).await?;
            if !full {
                break;
            }
        }
        // What is left has no row, or a removed one.
        for (key, hash) in hashes {
            let Some(id) = StrategyKey::parse(&key) else { continue };
            let row = self.store.get(id.user, id.strategy).await?;
            let verdict = judge(row.as_ref(), Some(&hash), self.settings.unknown);
            doubts.push(Doubt { key, row, hash: Some(hash), verdict });
        }
        Ok(doubts)
    }

    /// Acts on differences; answers the strategies that moved on since their hash was read, and were left alone.
    pub(super) async fn settle_all(&self, doubts: Vec<Doubt>, epoch: &str, report: &mut Report) -> Result<Vec<String>> {
        // The hashes may be of memory that is gone, the rows of what came after it. What changes from here on changes the
        // row's version too, or is refused by the server.
        if !doubts.is_empty() && self.link.connection().strat_epoch().await? != epoch {
            bail!("the epoch of Redis changed while strategies were compared");
        }
        crate::metrics::differences(doubts.len());
        let mut moved = Vec::new();
        for doubt in doubts {
            let key = doubt.key.clone();
            match self.settle(doubt, epoch, report).await {
                Ok(true) => {}
                Ok(false) => moved.push(key),
                // One strategy that Redis or Postgres will not have must not stop everybody else's.
                Err(error) if concerns_one_row(&error) => {
                    let error = sentence(&error);
                    tracing::error!(
                        key,
                        error,
                        "this strategy cannot be reconciled and is left as it is; correct the field"
                    );
                    report.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    /// Compares some strategies anew.
    pub(super) async fn judge_again(&self, keys: Vec<String>) -> Result<Vec<Doubt>> {
        let mut hashes = Vec::with_capacity(keys.len());
        for key in keys {
            let hash = self.link.connection().strat_get(&key).await?.as_ref().map(fields_of);
            hashes.push((key, hash));
        }
        self.sync.drained(&self.link, DRAIN_PATIENCE).await?;
        let mut doubts = Vec::new();
        for (key, hash) in hashes {
            let Some(id) = StrategyKey::parse(&key) else { continue };
            let row = self.store.get(id.user, id.strategy).await?;
            match judge(row.as_ref(), hash.as_ref(), self.settings.unknown) {
                Verdict::Agree => {}
                verdict => doubts.push(Doubt { key, row, hash, verdict }),
            }
        }
        Ok(doubts)
    }

    /// Acts on a difference, unless the strategy moved on since its hash was read; answers whether that is done with.
    async fn settle(&self, mut doubt: Doubt, epoch: &str, report: &mut Report) -> Result<bool> {
        if !matches!(doubt.verdict, Verdict::HashWins(_)) {
            let fresh = self.link.connection().strat_get(&doubt.key).await?.as_ref().map(fields_of);
            let verdict = judge(doubt.row.as_ref(), fresh.as_ref(), self.settings.unknown);
            if std::mem::discriminant(&verdict) != std::mem::discriminant(&doubt.verdict) {
                return Ok(verdict == Verdict::Agree);
            }
            let version = |hash: &Option<Fields>| hash.as_ref().map(|hash| count(hash, "version"));
            // What was changed since is perhaps a user's word, which the row has to hear first.
            if version(&fresh) != version(&doubt.hash) {
                return Ok(false);
            }
            doubt.hash = fresh;
        }
        if let Some(Err(refusal)) = doubt.hash.as_ref().map(state) {
            let key = &doubt.key;
            tracing::error!(key, %refusal, "this hash does not parse: it is not guarded and not kept in Postgres; correct the field by HSET");
            report.unreadable += 1;
            return Ok(true);
        }
        self.mend(doubt, epoch, report).await.map(|()| true)
    }
}

/// Whether an error is about the strategy it was met at, and another one may well do.
pub(super) fn concerns_one_row(error: &color_eyre::Report) -> bool {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return matches!(error, sqlx::Error::Database(_)) && !store::is_away(error);
    }
    let refusal = error.downcast_ref::<strat_client::Error>().and_then(strat_client::Error::code);
    refusal.is_some_and(|code| !matches!(code, Code::Loading | Code::Unsynced))
}

/// A hash as it goes into a row: texts as they are, empty ones left out. So are fields written by hand that are nobody's
/// and that no command takes: with them, the row could not be loaded when Redis has lost everything.
fn fields_of(strategy: &strat_client::Strategy) -> Fields {
    strategy
        .fields()
        .map(|(name, value)| (name.replace('\0', "\u{fffd}"), String::from_utf8_lossy(value).replace('\0', "\u{fffd}")))
        .filter(|(name, value)| {
            let ours = field::lookup(name).is_some();
            !value.is_empty() && (ours || field::check(name.as_bytes(), value.as_bytes()).is_ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use color_eyre::eyre::eyre;
    use strat_core::Refusal;

    #[test]
    fn what_no_command_takes_does_not_go_into_a_row() {
        let texts = [("symbol", "IBM"), ("stop_loss", "x"), ("note", "hi"), ("", "1"), ("pending", "")];
        let mut fields: Vec<_> = texts.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into();
        fields.push(("n".repeat(129), b"1".to_vec()));
        fields.push(("long".to_owned(), vec![b'x'; 70_000]));
        let kept = fields_of(&strat_client::Strategy::new("k", fields));
        // One of ours that is wrong is for a person to mend.
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["note", "stop_loss", "symbol"]);
    }

    #[test]
    fn a_refused_strategy_is_its_own_trouble_and_a_server_that_is_away_is_everybodys() {
        let refused = |code| strat_client::Error::from(Refusal::new(code, "x")).into();
        assert!(concerns_one_row(&refused(Code::BadField)) && concerns_one_row(&refused(Code::Busy)));
        assert!(!concerns_one_row(&refused(Code::Loading)));
        let away = strat_client::Error::Unavailable { address: "a".to_owned(), reason: "r".to_owned() };
        assert!(!concerns_one_row(&away.into()));
        assert!(!concerns_one_row(&sqlx::Error::PoolTimedOut.into()));
        assert!(!concerns_one_row(&eyre!("the epoch changed")));
    }
}
