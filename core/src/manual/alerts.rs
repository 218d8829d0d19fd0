//! Commands on price alerts.

use super::strategies::{COUNT, CURSOR, PAGE, TAG, WITHVALUES};
use super::{Access, Command, Kind, arg, flag, one_of, reply};
use crate::refusal::Code;

pub(super) const ALERT: Command = Command {
    name: "STRAT.ALERT",
    arity: -5,
    access: Access::Write,
    summary: "Arms a price alert, which fires once",
    complexity: "O(log N), N alerts of the symbol",
    arguments: &[
        arg(
            "alert-key",
            Kind::Key,
            "`user:<user_id>:alert:<alert_id>`, with a `{tag}` in front where there are partitions",
        ),
        arg("symbol", Kind::Text, "the symbol that is watched"),
        one_of(
            "condition",
            &[
                flag("ABOVE", "the price is at the level or higher"),
                flag("BELOW", "the price is at the level or lower"),
            ],
            "",
        ),
        arg("price", Kind::Text, "the level, an exact decimal above 0"),
        arg("seconds", Kind::Integer, "life of the alert, at most ten years; for ever unless given")
            .behind("EX")
            .optional(),
    ],
    about: "The first tick at the level or beyond fires it: event `PRICE_ALERT`, `status TRIGGERED`, and the hash is kept \
for a day (`strat.alert-kept-ms`). The same command again arms it anew. A plain `HSET` of `symbol`, `condition` and `price` \
arms too, `DEL` ends it. An alert takes nothing from a stop: stops are fired first.",
    replies: &[reply("simple string", "OK")],
    errors: &[
        (Code::BadField, "the key, the symbol or the condition is not acceptable"),
        (Code::BadPrice, "the level is not an exact decimal above 0"),
        (Code::Limit, "the user has as many alerts as `strat.max-alerts-per-user` allows"),
        (Code::WrongType, "the key holds another type than a hash"),
    ],
    example: include_str!("examples/alert.console"),
};

pub(super) const ALERTS: Command = Command {
    name: "STRAT.ALERTS",
    arity: -2,
    access: Access::NoKey,
    summary: "Pages through the price alerts of a user",
    complexity: "O(log N + COUNT), N alerts",
    arguments: &[arg("user", Kind::Text, "the user's id"), TAG, CURSOR, COUNT, WITHVALUES],
    about: "Waiting and fired ones, in the order of their ids. Only what the caller's ACL user may read is shown.",
    replies: PAGE,
    errors: &[(Code::BadField, "the user's id is not acceptable")],
    example: include_str!("examples/alerts.console"),
};
