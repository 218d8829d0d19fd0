//! Commands that move time and prices.

use super::strategies::TAG;
use super::{Access, Command, Kind, arg, block, reply};
use crate::refusal::Code;

pub(super) const SLCHECK: Command = Command {
    name: "STRAT.SLCHECK",
    arity: -3,
    access: Access::Write,
    summary: "Stores prices and fires every trigger that they cross",
    complexity: "O(T + K log N), T ticks, K triggers fired",
    arguments: &[
        block(
            "tick",
            &[
                arg("symbol", Kind::Key, "the symbol, with the partition's `{tag}` in front where there is one"),
                arg("price", Kind::Text, "an exact decimal of at most 8 places; nan, inf and 1e5 are refused"),
            ],
        )
        .repeated(),
        arg("ms", Kind::Time, "when the ticks were made; now unless given").behind("TS").optional(),
    ],
    about: "For each tick in order: the price is stored in `price:<symbol>` for about ten seconds \
(`strat.price-ttl-ms`), trailing stops follow it, and every armed stop-loss, take-profit, trailing stop and price alert that \
it crosses fires. Firing marks the strategy's `pending`, writes the journal, puts an entry into `queue:exits` and publishes \
`SL_TRIGGERED` or `TP_TRIGGERED`, in one atomic step that the AOF and the replicas get as one transaction. It happens \
once, whatever the price does next.\n\nA tick that fires nothing is not replicated and costs no byte of the AOF.\n\nOne call \
fires at most `strat.max-fired-per-call` stops. The rest of a storm stays fired in principle and is worked off by a timer in \
short slices; a restart or a failover in the middle finishes it.\n\nAll symbols of a call must have the same tag, and a call \
takes at most 10000 ticks.",
    replies: &[reply("integer", "how many stops, targets and alerts fired in this call")],
    errors: &[
        (Code::BadField, "a symbol is not acceptable"),
        (Code::BadPrice, "a price is not an exact decimal; no price of the call was stored then"),
    ],
    example: include_str!("examples/slcheck.console"),
};

pub(super) const DUE: Command = Command {
    name: "STRAT.DUE",
    arity: -2,
    access: Access::NoKey,
    summary: "Enqueues every order whose time has come",
    complexity: "O(K log N), K orders",
    arguments: &[
        arg("now-ms", Kind::Time, "the time that it is: the module asks no clock where logic depends on it"),
        TAG,
        arg("n", Kind::Integer, "most strategies handled, 1 to 100000; 1000 unless given").behind("LIMIT").optional(),
    ],
    about: "`buy_at` and `sell_at` of running strategies, earliest first. An entry goes to `queue:orders`, an exit to \
`queue:exits`; both are journaled. Where a stop was faster, the timed exit is dropped.",
    replies: &[reply(
        "array of 2 integers",
        "how many were enqueued; the next time that is waited for, epoch ms, -1 for none (at or before `now-ms` where \
`LIMIT` cut the work short: ask again)",
    )],
    errors: &[],
    example: include_str!("examples/due.console"),
};
