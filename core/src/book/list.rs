//! Paging through the book without touching the keyspace.

use super::{Book, Slot, strip};
use crate::strategy::Status;
use std::ops::Bound;

/// Which strategies a page holds.
#[derive(Debug, Clone, Copy)]
pub struct ListFilter<'a> {
    /// Partition.
    pub prefix: &'a str,
    /// One user's only.
    pub user: Option<&'a str>,
    /// One symbol's only.
    pub symbol: Option<&'a str>,
    /// Status.
    pub status: Status,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<'a> {
    /// Keys of the hashes.
    pub keys: Vec<&'a str>,
    /// Slot to go on from; `None` at the end.
    pub next: Option<Slot>,
}

impl Book {
    /// A page from slot `from` on, at most `count` strategies looked at. As with `SCAN`, a strategy that
    /// exists during the whole walk is returned exactly once, and a page may be short or empty before the end.
    #[must_use]
    pub fn list(&self, filter: &ListFilter<'_>, from: Slot, count: usize) -> ListPage<'_> {
        let slots = self.candidates(filter, from, count.saturating_add(1));
        let next = slots.get(count).copied();
        let keys = slots.iter().take(count).filter_map(|slot| self.matching(*slot, filter)).collect();
        ListPage { keys, next }
    }

    /// The next slots of the narrowest index.
    fn candidates(&self, filter: &ListFilter<'_>, from: Slot, count: usize) -> Vec<Slot> {
        let by_user = filter.user.map(|user| self.by_user.get(format!("{}{user}", filter.prefix).as_str()));
        let by_symbol = filter.symbol.map(|symbol| {
            let index = self.by_symbol.get(format!("{}{symbol}", filter.prefix).as_str());
            index.map(|index| &self.symbols[*index as usize].slots)
        });
        let index = match (by_user, by_symbol) {
            (Some(None), _) | (_, Some(None)) => return Vec::new(),
            (Some(Some(users)), Some(Some(symbols))) if symbols.len() < users.len() => Some(symbols),
            (Some(index), _) | (None, Some(index)) => index,
            (None, None) => self.partitions.get(filter.prefix).map(|partition| &partition.slots),
        };
        let from = (Bound::Included(from), Bound::Unbounded);
        index.into_iter().flat_map(|slots| slots.range(from)).take(count).copied().collect()
    }

    fn matching(&self, slot: Slot, filter: &ListFilter<'_>) -> Option<&str> {
        let entry = self.entries.get(slot as usize)?.as_ref()?;
        let name = strip(&entry.key, filter.prefix)?;
        let user_matches = filter.user.is_none_or(|user| {
            name.strip_prefix("user:")
                .and_then(|rest| rest.strip_prefix(user))
                .is_some_and(|rest| rest.starts_with(':'))
        });
        let symbol_matches = filter.symbol.is_none_or(|symbol| self.symbol_of(entry) == symbol);
        (entry.status == filter.status && user_matches && symbol_matches).then_some(&*entry.key)
    }
}
