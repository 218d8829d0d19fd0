//! What `COMMAND DOCS` and the ACL know of each command.

/// What a command does with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It has none.
    NoKey,
    Read,
    Write,
    Delete,
}

/// One command's documentation.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// As Redis counts: with the name, negative for "at least".
    pub(crate) arity: i32,
    pub(crate) access: Access,
    pub(crate) summary: &'static str,
    pub(crate) complexity: &'static str,
}

const fn spec(name: &'static str, arity: i32, access: Access, summary: &'static str, complexity: &'static str) -> Spec {
    Spec { name, arity, access, summary, complexity }
}

/// Every command.
pub(crate) const SPECS: &[Spec] = &[
    spec(
        "strat.set",
        -4,
        Access::Write,
        "Creates a strategy, or replaces an idle one",
        "O(F + log N), F fields, N armed levels of the symbol",
    ),
    spec("strat.get", 2, Access::Read, "Returns all fields of a strategy", "O(F)"),
    spec("strat.update", -4, Access::Write, "Changes some fields of a strategy and keeps the others", "O(F + log N)"),
    spec("strat.del", 2, Access::Delete, "Deletes a strategy with its lock and its places in the sets", "O(F + log N)"),
    spec("strat.list", -1, Access::NoKey, "Pages through the strategies of a partition", "O(COUNT)"),
    spec("strat.symbols", -1, Access::NoKey, "Counts the running strategies of each symbol", "O(S), S symbols"),
    spec(
        "strat.slcheck",
        -3,
        Access::Write,
        "Stores prices and fires every trigger that they cross",
        "O(T + K log N), T ticks, K triggers fired",
    ),
    spec("strat.due", -2, Access::NoKey, "Enqueues every order whose time has come", "O(K log N), K orders"),
    spec(
        "strat.take",
        -4,
        Access::Write,
        "Hands out new entries of an order queue with their strategies claimed",
        "O(COUNT * F), F fields",
    ),
    spec("strat.lock", -5, Access::Write, "Claims a strategy for one order", "O(1)"),
    spec("strat.extend", 4, Access::Write, "Prolongs a lock", "O(1)"),
    spec("strat.unlock", 3, Access::Write, "Gives a lock back", "O(1)"),
    spec("strat.report", -4, Access::Write, "Applies the broker's execution report", "O(log N)"),
    spec("strat.alert", -5, Access::Write, "Arms a price alert, which fires once", "O(log N), N alerts of the symbol"),
    spec("strat.alerts", -2, Access::NoKey, "Pages through the price alerts of a user", "O(log N + COUNT), N alerts"),
    spec("strat.epoch", 1, Access::NoKey, "Returns the id that changes whenever memory may have lost writes", "O(1)"),
    spec(
        "strat.debug",
        -2,
        Access::NoKey,
        "Compares the books and the sets with the hashes, or rehearses an internal error",
        "O(all keys)",
    ),
];
