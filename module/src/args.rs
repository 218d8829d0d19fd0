//! Reading command arguments: one reader, one style of error.

use redis_module::RedisString;
use strat_core::key::{is_tag, prefix_of_tag};
use strat_core::refusal::shown;
use strat_core::{Code, Refusal, StrategyKey, field, manual};

/// Field names and values.
pub(crate) type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// `ERR` with a command's form.
pub(crate) fn syntax(command: &str) -> Refusal {
    let form = manual::Command::find(command).map(manual::Command::syntax).unwrap_or_default();
    Refusal::new(Code::Err, format!("syntax: {command} {form}").trim_end())
}

/// The arguments behind the command's name.
pub(crate) struct Args<'a> {
    command: &'static str,
    rest: &'a [RedisString],
}

impl<'a> Args<'a> {
    /// Skips the command's name.
    pub(crate) fn new(command: &'static str, args: &'a [RedisString]) -> Self {
        Self { command, rest: args.get(1..).unwrap_or_default() }
    }

    /// `ERR` with the command's form.
    pub(crate) fn syntax(&self) -> Refusal {
        syntax(self.command)
    }

    fn missing(&self) -> Refusal {
        Refusal::new(Code::Err, format!("wrong number of arguments for '{}'", self.command))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next argument as it is.
    pub(crate) fn next(&mut self) -> Result<&'a RedisString, Refusal> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.missing())?;
        self.rest = rest;
        Ok(first)
    }

    /// The next argument as text.
    pub(crate) fn text(&mut self) -> Result<&'a str, Refusal> {
        let argument = self.next()?;
        std::str::from_utf8(argument.as_slice())
            .map_err(|_| Refusal::new(Code::Err, format!("argument {} is not UTF-8", shown(argument.as_slice()))))
    }

    /// The next argument as a strategy's key.
    pub(crate) fn strategy_key(&mut self) -> Result<StrategyKey<'a>, Refusal> {
        StrategyKey::parse_argument(self.next()?.as_slice())
    }

    /// The next argument as a whole number within bounds.
    pub(crate) fn count(&mut self, what: &str, min: i64, max: i64) -> Result<i64, Refusal> {
        let argument = self.next()?.as_slice();
        field::parse_count(argument).filter(|count| (min..=max).contains(count)).ok_or_else(|| {
            Refusal::new(Code::Err, format!("{what} {} must be a whole number from {min} to {max}", shown(argument)))
        })
    }

    /// The next argument as a tag, as the prefix of the partition's keys.
    pub(crate) fn tag(&mut self) -> Result<String, Refusal> {
        let tag = self.text()?;
        if is_tag(tag) {
            return Ok(prefix_of_tag(Some(tag)));
        }
        Err(Refusal::new(
            Code::Err,
            format!("TAG {} must be 1 to 64 printable ASCII bytes without braces", shown(tag.as_bytes())),
        ))
    }

    /// Whether the next argument is this option; takes it if so.
    pub(crate) fn option(&mut self, name: &str) -> bool {
        let found = self.rest.first().is_some_and(|argument| argument.as_slice().eq_ignore_ascii_case(name.as_bytes()));
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// The rest as names and values.
    pub(crate) fn pairs(&mut self) -> Result<Pairs<'a>, Refusal> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return Err(self.missing());
        }
        if rest.len() % 2 == 1 {
            let last = rest.last().map_or(&b""[..], RedisString::as_slice);
            return Err(Refusal::new(
                Code::Err,
                format!("field {} has no value: fields and values come in pairs", shown(last)),
            ));
        }
        Ok(rest.chunks_exact(2).map(|pair| (pair[0].as_slice(), pair[1].as_slice())).collect())
    }

    /// Refuses what is left over.
    pub(crate) fn end(&self) -> Result<(), Refusal> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.syntax()) }
    }
}
