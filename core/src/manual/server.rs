//! Commands on the module itself.

use super::{Access, Command, Kind, arg, block, flag, one_of, reply};

pub(super) const EPOCH: Command = Command {
    name: "STRAT.EPOCH",
    arity: 1,
    access: Access::NoKey,
    summary: "Returns the id that changes whenever memory may have lost writes",
    complexity: "O(1)",
    arguments: &[],
    about: "It changes with a start, a load, a promotion, a flush and a swap of databases. Who trades gives the epoch that he \
has reconciled to `STRAT.LOCK … EPOCH`, and is refused once it is over.",
    replies: &[reply("bulk string", "`ms-hex`: when the epoch began, and which one it is")],
    errors: &[],
    example: include_str!("examples/epoch.console"),
};

pub(super) const DEBUG: Command = Command {
    name: "STRAT.DEBUG",
    arity: -2,
    access: Access::NoKey,
    summary: "Compares the books and the sets with the hashes, or rehearses an internal error",
    complexity: "O(all keys)",
    arguments: &[one_of(
        "subcommand",
        &[
            flag("VERIFY", "compare the books and the sets with a scan of the hashes; changes nothing"),
            block(
                "panic",
                &[
                    one_of(
                        "point",
                        &[
                            flag("COMMAND", ""),
                            flag("EVENT", ""),
                            flag("SERVER", ""),
                            flag("TIMER", ""),
                            flag("INFO", ""),
                            flag("SCAN", ""),
                            flag("FIRE", ""),
                            flag("WRITE", ""),
                        ],
                        "where the internal error is to happen",
                    ),
                    arg("n", Kind::Integer, "so many times it is passed before; 0 unless given")
                        .behind("AFTER")
                        .optional(),
                    arg("n", Kind::Integer, "so many times it happens; 1 unless given").behind("TIMES").optional(),
                ],
            )
            .behind("PANIC"),
        ],
        "",
    )],
    about: "`VERIFY` blocks the server while it scans: for tests and for the night. `PANIC` works only where \
`enable-debug-command` allows it; the server survives, and the module rebuilds its books.",
    replies: &[
        reply("array of bulk strings", "`VERIFY`: the differences, one line each; empty where all is well"),
        reply("simple string", "`PANIC`: OK"),
    ],
    errors: &[],
    example: include_str!("examples/debug.console"),
};
