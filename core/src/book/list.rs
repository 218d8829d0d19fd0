//! Paging through the book without touching the keyspace.

use super::entry::Entry;
use super::ranked::Ranked;
use super::{Book, Slot, tagged};
use crate::strategy::Status;

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
pub struct ListPage {
    /// Keys of the hashes.
    pub keys: Vec<String>,
    /// Slot to go on from; `None` at the end.
    pub next: Option<Slot>,
}

impl Book {
    /// A page from slot `from` on, at most `count` strategies looked at. As with `SCAN`, a strategy that
    /// exists during the whole walk is returned exactly once, and a page may be short or empty before the end.
    #[must_use]
    pub fn list(&self, filter: &ListFilter<'_>, from: Slot, count: usize) -> ListPage {
        // The narrowest index of those that hold all that is wanted; none where one of them holds nothing.
        let symbol = filter.symbol.map(|symbol| self.symbols.find(&tagged(filter.prefix, symbol)));
        let user = filter.user.map(|user| self.users.find(&tagged(filter.prefix, user)));
        let partition = self.partitions.find(filter.prefix);
        let (Some(partition), false) = (partition, symbol == Some(None) || user == Some(None)) else {
            return ListPage { keys: Vec::new(), next: None };
        };
        let (symbol, user) = (symbol.flatten(), user.flatten());
        let of_symbol = symbol.map(|symbol| &self.symbols.at(symbol).members);
        let of_user = user.map(|user| &self.users.at(user).members);
        let narrowest = of_symbol.into_iter().chain(of_user).min_by_key(|members| members.len());
        let members: &Ranked<()> = narrowest.unwrap_or(&self.partitions.at(partition).members);
        let matches = |entry: &&Entry| {
            entry.status() == filter.status
                && symbol.is_none_or(|symbol| entry.symbol == symbol)
                && user.is_none_or(|user| entry.user == user)
        };
        let mut slots = members.from(((), from)).map(|((), slot)| slot);
        let entries = slots.by_ref().take(count).filter_map(|slot| self.slab.get(slot));
        let keys = entries.filter(matches).map(|entry| self.key_of(entry).hash()).collect();
        ListPage { keys, next: slots.next() }
    }

    /// RUNNING strategies of a partition from a slot on, at most `limit` slots looked at; of one symbol if given.
    /// Answers the keys and where to go on.
    #[must_use]
    pub fn running_from(
        &self,
        prefix: &str,
        symbol: Option<&str>,
        from: Slot,
        limit: usize,
    ) -> (Vec<String>, Option<Slot>) {
        let page = self.list(&ListFilter { prefix, symbol, user: None, status: Status::Running }, from, limit);
        (page.keys, page.next)
    }
}
