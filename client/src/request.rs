//! Typed arguments and small replies of the other commands.

use redis::Cmd;
use std::fmt;
use strat_core::{Action, ExecType, Price, Quantity, Status};

/// The token of a held order lock. Opaque; only the module makes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LockToken(String);

impl LockToken {
    /// A token that was kept as text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One page of `STRAT.LIST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What the page holds; may be empty although more follows.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last one.
    pub cursor: Option<String>,
}

/// Reply of `STRAT.DUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Orders that went into the queues.
    pub enqueued: u64,
    /// When to ask again; `None` where nothing waits for a time. May lie in the past where a limit cut the call short.
    pub next_due_ms: Option<i64>,
}

/// Filter and position of `STRAT.LIST`. Without a filter: RUNNING strategies, 100 a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    tag: Option<String>,
    user: Option<String>,
    symbol: Option<String>,
    status: Option<Status>,
    cursor: Option<String>,
    count: Option<u32>,
}

impl ListQuery {
    /// Everything that runs, in the partition without a tag.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The partition of this tag (without braces).
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Only this user's.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Only this symbol's.
    #[must_use]
    pub fn symbol(mut self, symbol: impl Into<String>) -> Self {
        self.symbol = Some(symbol.into());
        self
    }

    /// Only in this status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Goes on where [`Page::cursor`] says.
    #[must_use]
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// Most strategies on a page.
    #[must_use]
    pub fn count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    pub(crate) fn command(&self, with_values: bool) -> Cmd {
        let mut command = redis::cmd("STRAT.LIST");
        for (word, value) in
            [("TAG", &self.tag), ("USER", &self.user), ("SYMBOL", &self.symbol), ("CURSOR", &self.cursor)]
        {
            option(&mut command, word, value.as_deref());
        }
        option(&mut command, "STATUS", self.status.map(Status::as_str));
        option(&mut command, "COUNT", self.count);
        if with_values {
            command.arg("WITHVALUES");
        }
        command
    }
}

/// The broker's execution report for `STRAT.REPORT`.
///
/// Quantities are cumulative over the order, so a report that is sent twice changes nothing the second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    exec_type: ExecType,
    filled: Option<(Quantity, Price)>,
    order_id: Option<String>,
    action: Option<Action>,
    ack: Option<(String, String)>,
    text: Option<String>,
    ts_ms: Option<i64>,
}

impl ReportRequest {
    /// A report of this type.
    #[must_use]
    pub fn new(exec_type: ExecType) -> Self {
        Self { exec_type, filled: None, order_id: None, action: None, ack: None, text: None, ts_ms: None }
    }

    /// Filled so far by this order, and at what average price. Needed by fills.
    #[must_use]
    pub fn cumulative(mut self, quantity: Quantity, average_price: Price) -> Self {
        self.filled = Some((quantity, average_price));
        self
    }

    /// The order's id.
    #[must_use]
    pub fn order_id(mut self, id: impl Into<String>) -> Self {
        self.order_id = Some(id.into());
        self
    }

    /// The action reported on, where it is not the lock's own: an exit's holder reports the end of the entry.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Acknowledges and deletes this queue entry in the same step.
    #[must_use]
    pub fn ack(mut self, stream: impl Into<String>, entry_id: impl Into<String>) -> Self {
        self.ack = Some((stream.into(), entry_id.into()));
        self
    }

    /// The same without an entry to acknowledge; `None` where there is none.
    #[must_use]
    pub fn without_ack(&self) -> Option<Self> {
        self.ack.as_ref().map(|_| Self { ack: None, ..self.clone() })
    }

    /// The broker's words.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// When it happened, epoch ms; the server's time otherwise.
    #[must_use]
    pub fn ts_ms(mut self, ts_ms: i64) -> Self {
        self.ts_ms = Some(ts_ms);
        self
    }

    /// What happened.
    #[must_use]
    pub const fn exec_type(&self) -> ExecType {
        self.exec_type
    }

    /// What the order filled so far, and at what average price.
    #[must_use]
    pub const fn filled(&self) -> Option<(Quantity, Price)> {
        self.filled
    }

    /// The order's id, if it was given.
    #[must_use]
    pub fn order(&self) -> Option<&str> {
        self.order_id.as_deref()
    }

    /// The action reported on, if it is not the lock's own.
    #[must_use]
    pub const fn action_reported(&self) -> Option<Action> {
        self.action
    }

    /// Queue and entry to acknowledge.
    #[must_use]
    pub fn entry(&self) -> Option<(&str, &str)> {
        self.ack.as_ref().map(|(stream, id)| (stream.as_str(), id.as_str()))
    }

    /// The broker's words.
    #[must_use]
    pub fn words(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// When it happened, epoch ms, if it was said.
    #[must_use]
    pub const fn at_ms(&self) -> Option<i64> {
        self.ts_ms
    }

    /// Whether the report ends the order that the lock was taken for.
    pub(crate) fn ends(&self, lock_action: Action) -> bool {
        self.exec_type.is_terminal() && self.action.is_none_or(|action| action == lock_action)
    }

    pub(crate) fn command(&self, key: &str, token: &LockToken) -> Cmd {
        let mut command = redis::cmd("STRAT.REPORT");
        command.arg(key).arg(token.as_str()).arg(self.exec_type.as_str());
        if let Some((quantity, price)) = self.filled {
            command.arg("CUMQTY").arg(quantity.to_string()).arg("AVGPX").arg(price.to_string());
        }
        option(&mut command, "ORDER", self.order_id.as_deref());
        option(&mut command, "ACTION", self.action.map(Action::as_str));
        if let Some((stream, entry)) = &self.ack {
            command.arg("ACK").arg(stream).arg(entry);
        }
        option(&mut command, "TEXT", self.text.as_deref());
        option(&mut command, "TS", self.ts_ms);
        command
    }
}

/// Adds `word value` if there is a value.
pub(crate) fn option(command: &mut Cmd, word: &str, value: Option<impl redis::ToSingleRedisArg>) {
    if let Some(value) = value {
        command.arg(word).arg(value);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The words of a command, for comparing with what the grammar asks for.
    pub(crate) fn words(command: &Cmd) -> String {
        let word = |arg: redis::Arg<&[u8]>| match arg {
            redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => "?".to_owned(),
        };
        command.args_iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_list_names_only_what_was_asked_for() {
        assert_eq!(words(&ListQuery::new().command(false)), "STRAT.LIST");
        let query = ListQuery::new().tag("t").user("u").symbol("IBM").status(Status::Stopped).cursor("7").count(5);
        assert_eq!(
            words(&query.command(true)),
            "STRAT.LIST TAG t USER u SYMBOL IBM CURSOR 7 STATUS STOPPED COUNT 5 WITHVALUES"
        );
    }

    #[test]
    fn a_report_carries_its_options_in_the_commands_grammar() {
        let token = LockToken::new("1-1");
        let report = ReportRequest::new(ExecType::Fill)
            .cumulative("10".parse().unwrap(), "2500.5".parse().unwrap())
            .order_id("ABC")
            .ack("queue:exits", "5-0")
            .text("done for the day")
            .ts_ms(9);
        assert_eq!(
            words(&report.command("k", &token)),
            "STRAT.REPORT k 1-1 FILL CUMQTY 10 AVGPX 2500.5 ORDER ABC ACK queue:exits 5-0 TEXT done for the day TS 9"
        );
        assert!(report.ends(Action::StopLoss) && !report.action(Action::Buy).ends(Action::StopLoss));
    }
}
