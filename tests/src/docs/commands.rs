//! A page for each command, and that the server and the examples say the same.

use super::pages::NOTE;
use crate::resp::{Conn, Value};
use crate::servers::{Options, Redis, paths};
use crate::support::skip;
use crate::transcript;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use strat_core::Code;
use strat_core::manual::{Access, Argument, COMMANDS, Command, EVERYWHERE, Kind};

/// `docs/commands/`, names and texts.
pub(super) fn pages() -> Vec<(String, String)> {
    let own = COMMANDS.iter().map(|command| (format!("docs/commands/{}", file(command)), page(command)));
    own.chain([("docs/commands/README.md".to_owned(), index())]).collect()
}

fn file(command: &Command) -> String {
    format!("{}.md", command.name.to_ascii_lowercase())
}

/// `NAME arguments`.
fn form(command: &Command) -> String {
    format!("{} {}", command.name, command.syntax()).trim_end().to_owned()
}

/// A `|` would end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn index() -> String {
    let mut page = format!(
        "{NOTE}# The commands\n\nA key reads `user:<user_id>:strategy:<strategy_id>`; ids are 1 to 128 of `A-Z a-z 0-9 _ . @ -`. \
         What the fields of a strategy mean is in [fields](../fields.md). Errors start with one of the words below, and \
         mean that nothing was written.\n\n| command | what it does |\n|---|---|\n"
    );
    for command in COMMANDS {
        let form = form(command);
        writeln!(page, "| [`{}`]({}) | {} |", cell(&form), file(command), command.summary).unwrap();
    }
    page.push_str("\n## Errors\n\n| word | means |\n|---|---|\n");
    for code in Code::ALL {
        writeln!(page, "| `{}` | {} |", code.as_str(), cell(code.about())).unwrap();
    }
    page.push_str("\nThe server's own words come too: `NOPERM`, `READONLY`, `OOM`, `MOVED`, `NOAUTH` and the like.\n");
    page
}

fn page(command: &Command) -> String {
    let mut page = format!("{NOTE}# {}\n\n{}.\n\n```text\n{}\n```\n", command.name, command.summary, form(command));
    writeln!(page, "\nComplexity: {}. {}", command.complexity, key_use(command.access)).unwrap();
    let rows = argument_rows(command.arguments);
    if !rows.is_empty() {
        write!(page, "\n## Arguments\n\n| argument | what it is |\n|---|---|\n{rows}").unwrap();
    }
    write!(page, "\n## What it does\n\n{}\n\n## Replies\n\n| RESP2 | RESP3 | |\n|---|---|---|\n", command.about)
        .unwrap();
    for reply in command.replies {
        writeln!(page, "| {} | {} | {} |", reply.resp2, reply.resp3, cell(reply.about)).unwrap();
    }
    page.push_str("\n## Errors\n\n| word | when |\n|---|---|\n");
    for (code, when) in command.errors.iter().chain(EVERYWHERE) {
        writeln!(page, "| `{}` | {} |", code.as_str(), cell(when)).unwrap();
    }
    write!(page, "\n## Example\n\n```console\n{}```\n", command.example).unwrap();
    page
}

fn key_use(access: Access) -> &'static str {
    match access {
        Access::NoKey => "It declares no key.",
        Access::Read => "It reads its key.",
        Access::Write => "It reads and writes its key.",
        Access::Delete => "It deletes its key.",
    }
}

/// One row for each argument that says something, its parts behind it.
fn argument_rows(arguments: &[Argument]) -> String {
    let mut rows = String::new();
    for argument in arguments {
        if !argument.about.is_empty() {
            let name = match (argument.kind, argument.token) {
                (Kind::Flag, Some(word)) => format!("`{word}`"),
                (_, Some(token)) => format!("`{token} {}`", argument.name),
                (_, None) => format!("`{}`", argument.name),
            };
            writeln!(rows, "| {name} | {} |", cell(argument.about)).unwrap();
        }
        rows.push_str(&argument_rows(argument.parts()));
    }
    rows
}

#[test]
fn the_examples_answer_as_printed() {
    for command in COMMANDS {
        transcript::check(&file(command), &page(command));
    }
}

/// What a RESP3 map says under a name.
fn member<'a>(map: &'a [(Value, Value)], name: &str) -> Option<&'a Value> {
    map.iter().find(|(known, _)| known.text() == name).map(|(_, value)| value)
}

/// The arguments as `COMMAND DOCS` tells them, against the manual's.
fn check_arguments(of: &str, told: Option<&Value>, arguments: &[Argument]) {
    let told = told.map_or(&[][..], Value::items);
    assert_eq!(told.len(), arguments.len(), "{of}: {told:?}");
    for (told, argument) in told.iter().zip(arguments) {
        let told = told.pairs();
        let of = format!("{of} {}", argument.name);
        assert_eq!(member(&told, "name").unwrap().text(), argument.name, "{of}");
        assert_eq!(member(&told, "token").map(Value::text).as_deref(), argument.token, "{of}");
        let flags = member(&told, "flags").map_or_else(Vec::new, Value::texts);
        assert_eq!(flags.contains(&"optional".to_owned()), argument.is_optional, "{of}");
        assert_eq!(flags.contains(&"multiple".to_owned()), argument.is_repeated, "{of}");
        check_arguments(&of, member(&told, "arguments"), argument.parts());
    }
}

/// What `COMMAND INFO` says the arity is.
fn arity(conn: &mut Conn, name: &str) -> i64 {
    conn.run(&format!("COMMAND INFO {name}")).items()[0].items()[1].int()
}

#[test]
fn every_server_tells_the_same() {
    tells_the_same(&Redis::start());
    for place in ["redis8/bin/redis-server", "valkey/bin/valkey-server"] {
        let server = paths::root().join(".run/servers").join(place);
        if server.is_file() {
            tells_the_same(&Redis::with(Options::new().server(&server)));
        } else {
            skip("COMMAND DOCS", &server.display().to_string());
        }
    }
}

fn tells_the_same(redis: &Redis) {
    let mut conn = redis.conn3();
    for command in COMMANDS {
        let docs = conn.run(&format!("COMMAND DOCS {}", command.name)).pairs();
        let docs: BTreeMap<String, Value> =
            docs[0].1.pairs().into_iter().map(|(name, value)| (name.text(), value)).collect();
        assert_eq!(docs["summary"].text(), command.summary);
        assert_eq!(docs["complexity"].text(), command.complexity);
        check_arguments(command.name, docs.get("arguments"), command.arguments);
        // The registration says "any number" of some, and the module counts itself.
        let told = arity(&mut conn, command.name);
        assert_eq!(told, i64::from(command.arity), "{}", command.name);
    }
    let listed = conn.run("COMMAND LIST FILTERBY MODULE strat").texts();
    assert_eq!(listed.len(), COMMANDS.len(), "a command without a page, or a page without a command: {listed:?}");
}
