//! The book counts itself and checks itself.

use super::Book;
use super::entry::Wait;
use super::ranked::Ranked;
use super::symbol::Partition;

/// Totals for `INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Strategies in the book, whatever their status.
    pub strategies: usize,
    /// RUNNING ones.
    pub running: usize,
    /// Armed price triggers.
    pub triggers: usize,
    /// Strategies that follow the best price, armed or not.
    pub trailing: usize,
    /// Armed times.
    pub times: usize,
    /// Hashes that do not parse.
    pub invalid: usize,
    /// Symbols with at least one strategy.
    pub symbols: usize,
    /// Armed price alerts.
    pub alerts: usize,
}

impl Book {
    /// Totals.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            strategies: self.slab.len(),
            running: self.running,
            triggers: self.triggers,
            trailing: self.following.followers.len(),
            times: self.partitions.iter().map(|(_, partition)| partition.armed()).sum(),
            invalid: self.invalid.len(),
            symbols: self.partitions.iter().map(|(_, partition)| partition.symbols.len()).sum(),
            alerts: self.alerts.armed(),
        }
    }

    /// Bytes that the books hold on the heap, without what the allocator adds. Costs a look at each symbol and tag.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let invalid: usize = self.invalid.iter().map(|(name, why)| name.len() + why.len()).sum();
        self.slab.heap_bytes()
            + self.by_key.allocation_size()
            + self.symbols.heap_bytes()
            + self.symbols.iter().map(|(_, book)| book.heap_bytes()).sum::<usize>()
            + self.users.heap_bytes()
            + self.user_bytes
            + self.partitions.heap_bytes()
            + self.partitions.iter().map(|(_, partition)| partition.heap_bytes()).sum::<usize>()
            + self.following.heap_bytes()
            + self.alerts.heap_bytes()
            + invalid
    }

    /// Checks the books against themselves; answers what is wrong. For tests and `DEBUG VERIFY`.
    #[must_use]
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |what: &str, found: usize, expected: usize| {
            if found != expected {
                wrong.push(format!("book: {what} is {found}, expected {expected}"));
            }
        };
        let entries = || self.slab.iter().map(|(_, entry)| entry);
        let triggers = || self.slab.iter().map(|(slot, entry)| self.arming_at(slot, entry).triggers());
        let waiting = |wait: Wait| entries().filter(move |entry| entry.waits.rank(wait).is_some()).count();
        let books = || self.symbols.iter().map(|(_, book)| book);
        let tags = || self.partitions.iter().map(|(_, partition)| partition);
        let users = || self.users.iter().map(|(_, user)| user);
        let live = entries().count();
        expect("slots", self.slab.len(), live);
        expect("keys", self.by_key.len(), live);
        expect("running", self.running, entries().filter(|entry| entry.running()).count());
        expect("running of symbols", books().map(|book| book.running).sum(), self.running);
        expect("triggers", self.triggers, triggers().sum());
        expect("trailing stops out of place", self.misplaced_trails(), 0);
        expect("alerts out of place", self.misplaced_alerts(), 0);
        expect("falls", books().map(|book| book.levels.falls.len()).sum(), waiting(Wait::Fall));
        expect("rises", books().map(|book| book.levels.rises.len()).sum(), waiting(Wait::Rise));
        expect("times", tags().map(Partition::armed).sum(), waiting(Wait::EntryTime) + waiting(Wait::ExitTime));
        expect("users", users().map(|user| user.members.len()).sum(), live);
        expect("bytes of users", self.user_bytes, users().map(|user| user.members.heap_bytes()).sum());
        expect("symbol members", books().map(|book| book.members.len()).sum(), live);
        expect("partition members", tags().map(|tag| tag.members.len()).sum(), live);
        let complete = [self.symbols.is_complete(), self.users.is_complete(), self.partitions.is_complete()];
        expect("complete numberings", complete.into_iter().filter(|complete| *complete).count(), complete.len());
        let sides = books().map(|book| book.levels.is_sound());
        let times = tags().flat_map(|tag| [tag.entry_times.is_sound(), tag.exit_times.is_sound()]);
        let members = books().map(|book| &book.members).chain(tags().map(|tag| &tag.members));
        let members = members.chain(users().map(|user| &user.members)).map(Ranked::is_sound);
        expect("orders out of order", sides.chain(times).chain(members).filter(|sound| !sound).count(), 0);
        wrong
    }
}
