//! What each command is for: the one source of `COMMAND DOCS`, of the module's syntax errors and of `docs/commands/`.

mod alerts;
mod orders;
mod server;
pub mod settings;
mod strategies;
mod syntax;
mod ticks;

use crate::refusal::Code;

/// What a command does with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It declares none.
    NoKey,
    /// It reads it.
    Read,
    /// It reads and writes it.
    Write,
    /// It deletes it.
    Delete,
}

/// What an argument holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command's key.
    Key,
    /// Any text; decimals too, which no float may touch.
    Text,
    /// A whole number.
    Integer,
    /// Epoch milliseconds.
    Time,
    /// Nothing: the word itself says it.
    Flag,
    /// One of these.
    OneOf(&'static [Argument]),
    /// These, one behind the other.
    Block(&'static [Argument]),
}

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Its name in the syntax.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The word in front of it; of a [`Kind::Flag`] the word itself.
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub is_optional: bool,
    /// Whether it may stand several times.
    pub is_repeated: bool,
    /// What it means, one line; empty where its parts say it.
    pub about: &'static str,
}

/// An argument that has to be there.
const fn arg(name: &'static str, kind: Kind, about: &'static str) -> Argument {
    Argument { name, kind, token: None, is_optional: false, is_repeated: false, about }
}

/// A word that stands for itself.
const fn flag(word: &'static str, about: &'static str) -> Argument {
    Argument { token: Some(word), ..arg(word, Kind::Flag, about) }
}

/// Several arguments that belong together.
const fn block(name: &'static str, parts: &'static [Argument]) -> Argument {
    arg(name, Kind::Block(parts), "")
}

/// One of several.
const fn one_of(name: &'static str, choices: &'static [Argument], about: &'static str) -> Argument {
    arg(name, Kind::OneOf(choices), about)
}

impl Argument {
    /// With a word in front.
    const fn behind(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// It may be left out.
    const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// It may stand several times.
    const fn repeated(self) -> Self {
        Self { is_repeated: true, ..self }
    }

    /// The arguments that it is made of.
    #[must_use]
    pub const fn parts(&self) -> &'static [Self] {
        match self.kind {
            Kind::OneOf(parts) | Kind::Block(parts) => parts,
            _ => &[],
        }
    }
}

/// One of the replies that a command gives.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// Its type in RESP2.
    pub resp2: &'static str,
    /// Its type in RESP3.
    pub resp3: &'static str,
    /// What it says, and when.
    pub about: &'static str,
}

/// A reply of the same type in both protocols.
const fn reply(resp: &'static str, about: &'static str) -> Reply {
    Reply { resp2: resp, resp3: resp, about }
}

/// The reply that there is nothing.
const fn nil(about: &'static str) -> Reply {
    Reply { resp2: "nil bulk string", resp3: "null", about }
}

/// Names and values.
const fn map(about: &'static str) -> Reply {
    Reply { resp2: "array, names and values in turn", resp3: "map", about }
}

/// One command.
#[derive(Debug)]
pub struct Command {
    /// Its name, in capitals.
    pub name: &'static str,
    /// As Redis counts: with the name, negative for "at least".
    pub arity: i32,
    /// What it does with its key.
    pub access: Access,
    /// One line.
    pub summary: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// Its arguments, in order.
    pub arguments: &'static [Argument],
    /// What else is to be known; Markdown.
    pub about: &'static str,
    /// What it answers.
    pub replies: &'static [Reply],
    /// What it refuses, apart from what every command does.
    pub errors: &'static [(Code, &'static str)],
    /// A session with redis-cli that begins on an empty server.
    pub example: &'static str,
}

/// Every command, in the order of the documentation.
pub const COMMANDS: &[Command] = &[
    strategies::SET,
    strategies::GET,
    strategies::UPDATE,
    strategies::DEL,
    strategies::LIST,
    strategies::SYMBOLS,
    ticks::SLCHECK,
    ticks::DUE,
    orders::TAKE,
    orders::LOCK,
    orders::EXTEND,
    orders::UNLOCK,
    orders::REPORT,
    alerts::ALERT,
    alerts::ALERTS,
    server::EPOCH,
    server::DEBUG,
];

/// What every command refuses besides what its own page says.
pub const EVERYWHERE: &[(Code, &str)] = &[
    (Code::Err, "wrong number of arguments, an unknown option, a number out of its bounds"),
    (Code::Loading, "the module derives its books from the hashes again after an internal error: try again"),
];

impl Command {
    /// The command of this name, in either case.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.name.eq_ignore_ascii_case(name))
    }

    /// Its arguments as they are written: `key [NX] field value [field value ...]`.
    #[must_use]
    pub fn syntax(&self) -> String {
        syntax::of(self.arguments)
    }
}

#[cfg(test)]
mod tests;
