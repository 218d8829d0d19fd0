//! Commands of who executes orders.

use super::strategies::KEY;
use super::{Access, Argument, Command, Kind, arg, block, nil, reply};
use crate::refusal::Code;

const TOKEN: Argument = arg("token", Kind::Text, "what `STRAT.LOCK` answered");
const TTL: Argument = arg("ttl-ms", Kind::Integer, "life of the lock unless it is extended, 1 to 3600000 ms");
const BAD_KEY: (Code, &str) = (Code::BadField, "the key is not of the form that it must be");

pub(super) const LOCK: Command = Command {
    name: "STRAT.LOCK",
    arity: -5,
    access: Access::Write,
    summary: "Claims a strategy for one order",
    complexity: "O(1)",
    arguments: &[
        KEY,
        arg("action", Kind::Text, "BUY, SELL, STOPLOSS, TAKEPROFIT or SQUAREOFF: what the order is for"),
        arg("owner", Kind::Text, "who claims it, for readers: 1 to 128 printable ASCII bytes"),
        TTL,
        arg("e", Kind::Text, "refuse if memory may have lost writes since this epoch").behind("EPOCH").optional(),
    ],
    about: "One order of a strategy is in flight at a time. The lock is a plain string `action owner token` at \
`lock:order:<user_id>:<strategy_id>` with a time to live. Tokens rise and are compared inside the module: one that is \
stale changes nothing.\n\n`BUSY` means that the strategy does not want this order any more: drop the queue entry.",
    replies: &[reply("bulk string", "the token, `ms-n`"), nil("somebody holds the lock")],
    errors: &[
        (Code::BadField, "the key, the action or the owner is not acceptable"),
        (Code::NoStrat, "there is no strategy"),
        (Code::Busy, "the state does not allow the action (any more)"),
        (Code::Unsynced, "the epoch is over: reconcile first, then use the new one"),
        (Code::WrongType, "a key holds another type than it should"),
    ],
    example: include_str!("examples/lock.console"),
};

pub(super) const TAKE: Command = Command {
    name: "STRAT.TAKE",
    arity: -4,
    access: Access::Write,
    summary: "Hands out new entries of an order queue with their strategies claimed",
    complexity: "O(N * F), N entries, F fields",
    arguments: &[
        arg("queue", Kind::Key, "`queue:exits` or `queue:orders`, with the partition's tag in front"),
        arg("owner", Kind::Text, "the consumer, and the owner of the locks: 1 to 128 printable ASCII bytes"),
        TTL,
        arg("n", Kind::Integer, "entries at most, 1 to 1000; 1 unless given").behind("COUNT").optional(),
        arg("e", Kind::Text, "refuse if memory may have lost writes since this epoch").behind("EPOCH").optional(),
    ],
    about: "`XREADGROUP GROUP engine <owner>` and a `STRAT.LOCK` for each entry in one atomic step: with an append-only \
file one sync, where the lock would be a second. An entry is handed out also where its strategy cannot be claimed; then \
`STRAT.LOCK` says why, and who drops the entry says so with `XACK` and `XDEL`.\n\nIt does not block. Who waits sends \
`XREAD COUNT 1 BLOCK <ms> STREAMS <queue> <last id>` on the same connection and `STRAT.TAKE` right behind it: both are \
carried out in the moment in which an entry comes.",
    replies: &[reply(
        "array",
        "of entries: id, fields as a flat array, token or nil, and the strategy's fields (map, RESP2: flat array) or nil",
    )],
    errors: &[
        (Code::BadField, "the queue or the owner is not acceptable"),
        (Code::NoGroup, "the queue has no consumer group yet"),
        (Code::Unsynced, "the epoch is over: reconcile first, then use the new one"),
        (Code::WrongType, "the queue is no stream"),
    ],
    example: include_str!("examples/take.console"),
};

pub(super) const EXTEND: Command = Command {
    name: "STRAT.EXTEND",
    arity: 4,
    access: Access::Write,
    summary: "Prolongs a lock",
    complexity: "O(1)",
    arguments: &[KEY, TOKEN, TTL],
    about: "Ask right before an order is sent: 0 means that somebody else may be acting.",
    replies: &[reply("integer", "1, or 0 where the token does not hold the lock")],
    errors: &[BAD_KEY],
    example: include_str!("examples/extend.console"),
};

pub(super) const UNLOCK: Command = Command {
    name: "STRAT.UNLOCK",
    arity: 3,
    access: Access::Write,
    summary: "Gives a lock back",
    complexity: "O(1)",
    arguments: &[KEY, TOKEN],
    about: "A report that ends the order gives the lock back by itself.",
    replies: &[reply("integer", "1, or 0 where the token does not hold the lock")],
    errors: &[BAD_KEY],
    example: include_str!("examples/unlock.console"),
};

pub(super) const REPORT: Command = Command {
    name: "STRAT.REPORT",
    arity: -4,
    access: Access::Write,
    summary: "Applies the broker's execution report",
    complexity: "O(log N)",
    arguments: &[
        KEY,
        TOKEN,
        arg("exec-type", Kind::Text, "NEW, PARTIAL_FILL, FILL, CANCELED, REJECTED or EXPIRED (terms of FIX)"),
        block(
            "fill",
            &[
                arg("q", Kind::Text, "what the order has filled altogether, so that a repeat changes nothing")
                    .behind("CUMQTY"),
                arg("p", Kind::Text, "at this average price").behind("AVGPX"),
            ],
        )
        .optional(),
        arg("id", Kind::Text, "the client order id, at most 128 bytes").behind("ORDER").optional(),
        arg(
            "a",
            Kind::Text,
            "the action, where another order than the lock's is reported: the entry that an exit had to \
settle first",
        )
        .behind("ACTION")
        .optional(),
        block(
            "entry",
            &[
                arg("stream", Kind::Text, "the queue, of the key's own partition"),
                arg("entry", Kind::Text, "and the entry in it that is done: `XACK` and `XDEL` in the same step"),
            ],
        )
        .behind("ACK")
        .optional(),
        arg("t", Kind::Text, "the broker's words, at most 1024 bytes").behind("TEXT").optional(),
        arg("ms", Kind::Time, "when the broker reported; now unless given").behind("TS").optional(),
    ],
    about: "State, quantities, books, journal, event, acknowledgement and the lock's release in one atomic step. \
Quantities are cumulative. A partial fill is guarded at once.\n\nA dead exit (REJECTED, CANCELED, EXPIRED with quantity left) is \
queued again after `strat.retry-backoff-ms`, doubled each time: a position is never silently left without its exit. A dead \
entry makes the strategy FAILED.",
    replies: &[reply("integer", "the version; unchanged where the report says nothing new")],
    errors: &[
        (Code::BadField, "a quantity, an id, a text or the queue entry is not acceptable"),
        (Code::BadPrice, "AVGPX is not an exact decimal"),
        (Code::BadToken, "the token does not hold the lock"),
        (Code::NoStrat, "there is no strategy"),
        (Code::Busy, "the report does not fit the state, or is of another attempt of the exit"),
        (Code::WrongType, "the key holds another type than a hash"),
    ],
    example: include_str!("examples/report.console"),
};
