//! Commands on strategies.

use super::{Access, Argument, Command, Kind, Reply, arg, block, flag, map, nil, one_of, reply};
use crate::refusal::Code;

pub(super) const KEY: Argument = arg(
    "key",
    Kind::Key,
    "`user:<user_id>:strategy:<strategy_id>`, with a `{tag}` in front where there are partitions",
);
pub(super) const TAG: Argument =
    arg("t", Kind::Text, "the partition, without braces; the keys without a tag unless given").behind("TAG").optional();
pub(super) const CURSOR: Argument =
    arg("c", Kind::Text, "what the page before answered; `0` begins").behind("CURSOR").optional();
pub(super) const COUNT: Argument =
    arg("n", Kind::Integer, "most that one call looks at, 1 to 10000; 100 unless given").behind("COUNT").optional();
pub(super) const WITHVALUES: Argument = flag("WITHVALUES", "answer the fields too, not the keys alone").optional();

const FIELDS: Argument = block(
    "fields",
    &[
        arg("field", Kind::Text, "a field's name, see [fields](../fields.md); any other name is yours and is kept"),
        arg("value", Kind::Text, "its value as text; empty clears a field that may be empty"),
    ],
)
.repeated();

/// What `LIST` and `ALERTS` answer.
pub(super) const PAGE: &[Reply] = &[
    reply("array of 2: bulk string, array of bulk strings", "the next cursor (`0` at the end) and the keys"),
    Reply {
        resp2: "array of 2: bulk string, array of arrays",
        resp3: "array of 2: bulk string, array of maps",
        about: "with `WITHVALUES`: the fields of each, and its `key` in front",
    },
];

const BAD_KEY: (Code, &str) = (Code::BadField, "the key is not of the form that it must be");
const WRONG_TYPE: (Code, &str) = (Code::WrongType, "the key holds another type than a hash");

pub(super) const SET: Command = Command {
    name: "STRAT.SET",
    arity: -4,
    access: Access::Write,
    summary: "Creates a strategy, or replaces an idle one",
    complexity: "O(F + log N), F fields, N armed levels of the symbol",
    arguments: &[
        KEY,
        one_of(
            "condition",
            &[
                flag("NX", "only if there is no strategy"),
                block(
                    "restore",
                    &[
                        arg("epoch", Kind::Text, "put back what memory has lost: in this epoch (`STRAT.EPOCH`) only"),
                        arg("version", Kind::Integer, "and in place of this version only, 0 for none"),
                    ],
                )
                .behind("RESTORE"),
            ],
            "",
        )
        .optional(),
        FIELDS,
    ],
    about: "`symbol` and `quantity` are needed. `status` is RUNNING unless given: the strategy joins \
`active_strategies` and its symbol's set, its levels and times the books. A position that is given (`position BOUGHT`) is \
guarded from that moment.\n\nReplacing keeps counting: `version` and `cycle` go on. A strategy with an open position or an \
order in flight is not replaced.\n\n`RESTORE` is for who rebuilds Redis' memory from elsewhere, and may have been stopped since \
he looked: it writes in the epoch that was reconciled, in place of the version that was judged, or not at all.",
    replies: &[reply("integer", "the strategy's version"), nil("with `NX`, where there is one already")],
    errors: &[
        (Code::BadField, "the key, a field's name or its value is not acceptable; `symbol` or `quantity` is missing"),
        (Code::BadPrice, "a price is not an exact decimal with at most 8 places"),
        (Code::Busy, "the old strategy has an open position or an order in flight, or an order is being placed for it"),
        (Code::Unsynced, "`RESTORE`: the epoch is over"),
        (Code::BadVersion, "`RESTORE`: another version stands there"),
        WRONG_TYPE,
    ],
    example: include_str!("examples/set.console"),
};

pub(super) const GET: Command = Command {
    name: "STRAT.GET",
    arity: 2,
    access: Access::Read,
    summary: "Returns all fields of a strategy",
    complexity: "O(F)",
    arguments: &[KEY],
    about: "Every text comes back as it was given: `2500.00` stays `2500.00`. The hash is a plain one: `HGET` and `HGETALL` \
read it as well.",
    replies: &[map("names and values of all fields"), nil("there is no strategy")],
    errors: &[BAD_KEY, WRONG_TYPE],
    example: include_str!("examples/get.console"),
};

pub(super) const UPDATE: Command = Command {
    name: "STRAT.UPDATE",
    arity: -4,
    access: Access::Write,
    summary: "Changes some fields of a strategy and keeps the others",
    complexity: "O(F + log N)",
    arguments: &[
        KEY,
        arg("v", Kind::Integer, "only if the strategy is at this version").behind("IFVERSION").optional(),
        arg("t", Kind::Text, "the token of the lock that the caller holds").behind("TOKEN").optional(),
        FIELDS,
    ],
    about: "All fields are judged before the first is written: one that is refused changes nothing. What is so already \
changes nothing either, and the version stays.\n\n`status STOPPED` with an open position squares it off, unless `on_stop` \
is LEAVE. `symbol`, `side`, `quantity` and `cycle` decide about an order: while somebody holds the lock they are changed with \
its token only.",
    replies: &[reply("integer", "the version, one higher where something changed"), nil("there is no strategy")],
    errors: &[
        (Code::BadField, "the key, a field's name or its value is not acceptable; the field is kept by the server"),
        (Code::BadPrice, "a price is not an exact decimal with at most 8 places"),
        (Code::BadVersion, "`IFVERSION`: the strategy is at another version"),
        (Code::BadToken, "`TOKEN`: it does not hold the lock"),
        (Code::Busy, "the state does not allow the change, or an order is being placed"),
        WRONG_TYPE,
    ],
    example: include_str!("examples/update.console"),
};

pub(super) const DEL: Command = Command {
    name: "STRAT.DEL",
    arity: 2,
    access: Access::Delete,
    summary: "Deletes a strategy with its lock and its places in the sets",
    complexity: "O(F + log N)",
    arguments: &[KEY],
    about: "It deletes what is in the market too: stop the strategy first if its position is to be closed. A hash that does \
not parse can be deleted all the same. `STRATEGY_REMOVED` goes to the journal and to `events:<user_id>`.",
    replies: &[reply("integer", "1, or 0 where there was nothing")],
    errors: &[BAD_KEY, WRONG_TYPE],
    example: include_str!("examples/del.console"),
};

pub(super) const LIST: Command = Command {
    name: "STRAT.LIST",
    arity: -1,
    access: Access::NoKey,
    summary: "Pages through the strategies of a partition",
    complexity: "O(COUNT)",
    arguments: &[
        TAG,
        arg("u", Kind::Text, "only this user's").behind("USER").optional(),
        arg("s", Kind::Text, "only this symbol's").behind("SYMBOL").optional(),
        arg("st", Kind::Text, "RUNNING (unless given), STOPPED, COMPLETED or FAILED").behind("STATUS").optional(),
        CURSOR,
        COUNT,
        WITHVALUES,
    ],
    about: "The keys come from the book in memory, never from `KEYS` or `SCAN`, with the guarantees of `SCAN`: what is there \
from the first page to the last is listed. Only what the caller's ACL user may read is shown.",
    replies: PAGE,
    errors: &[(Code::BadField, "USER, SYMBOL or STATUS is not acceptable")],
    example: include_str!("examples/list.console"),
};

pub(super) const SYMBOLS: Command = Command {
    name: "STRAT.SYMBOLS",
    arity: -1,
    access: Access::NoKey,
    summary: "Counts the running strategies of each symbol",
    complexity: "O(S), S symbols",
    arguments: &[TAG],
    about: "It counts the strategies of all users: not for tenants.",
    replies: &[map("symbols and the number of RUNNING strategies of each")],
    errors: &[],
    example: include_str!("examples/symbols.console"),
};
