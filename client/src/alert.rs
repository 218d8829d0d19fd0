//! Price alerts: armed, listed, read back.

use crate::commands::{page, run};
use crate::error::Result;
use crate::hash::Hash;
use crate::reply;
use crate::request::{Page, option};
use redis::aio::ConnectionLike;
use redis::{Cmd, Value};
use std::future::Future;
use std::time::Duration;
use strat_core::alert::alert_field;
use strat_core::field::parse_count;
use strat_core::{Alert, Condition};

/// An alert to arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSpec {
    symbol: String,
    condition: Condition,
    price: String,
    life: Option<Duration>,
}

impl AlertSpec {
    /// Fires once, at the first tick of `symbol` at `price` or beyond. The server refuses what is no price.
    #[must_use]
    pub fn new(symbol: impl Into<String>, condition: Condition, price: impl Into<String>) -> Self {
        Self { symbol: symbol.into(), condition, price: price.into(), life: None }
    }

    /// Goes by itself after so long, in whole seconds; without this it waits for as long as it takes.
    #[must_use]
    pub const fn expires_in(mut self, life: Duration) -> Self {
        self.life = Some(life);
        self
    }

    fn command(&self, key: &str) -> Cmd {
        let mut command = redis::cmd("STRAT.ALERT");
        command.arg(key).arg(&self.symbol).arg(self.condition.as_str()).arg(&self.price);
        // Less than a second would be refused as 0.
        option(&mut command, "EX", self.life.map(|life| life.as_secs().max(1)));
        command
    }
}

/// Which alerts a page holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertQuery {
    user: String,
    tag: Option<String>,
    cursor: Option<String>,
    count: Option<u32>,
}

impl AlertQuery {
    /// All alerts of a user, waiting and fired, in the order of their ids.
    #[must_use]
    pub fn of(user: impl Into<String>) -> Self {
        Self { user: user.into(), tag: None, cursor: None, count: None }
    }

    /// In the partition of this tag (without braces).
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Goes on where [`Page::cursor`] says.
    #[must_use]
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// Most alerts on a page.
    #[must_use]
    pub const fn count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd("STRAT.ALERTS");
        command.arg(&self.user);
        option(&mut command, "TAG", self.tag.as_deref());
        option(&mut command, "CURSOR", self.cursor.as_deref());
        option(&mut command, "COUNT", self.count);
        command.arg("WITHVALUES");
        command
    }
}

/// An alert as the server returned it: its fields as they are, with typed views on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceAlert(Hash);

impl PriceAlert {
    fn from_listed(value: Value) -> Result<Self> {
        Hash::from_listed("alert", value).map(Self)
    }

    /// The key of the hash: `DEL` of it ends the alert.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// A field's bytes; `None` if it is absent.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.bytes(name)
    }

    /// A field's text, empty where there is none or where it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_default()
    }

    /// The alert by the rules that the module itself applies.
    ///
    /// # Errors
    /// The first field that does not parse.
    pub fn alert(&self) -> Result<Alert> {
        Ok(Alert::read(|name| self.bytes(name))?)
    }

    /// Epoch ms of the tick that fired it, and its price as it was given; `None` while it waits.
    #[must_use]
    pub fn triggered(&self) -> Option<(i64, &str)> {
        let at = self.bytes(alert_field::TRIGGERED_AT).and_then(parse_count)?;
        Some((at, self.text(alert_field::TRIGGERED_PRICE)))
    }
}

/// `STRAT.ALERT` and `STRAT.ALERTS` on every async connection of the `redis` crate. Nothing is retried here, and while Redis
/// is away nothing is watched: an alert fires at the first tick at its level or beyond that Redis takes.
pub trait AlertCommands: ConnectionLike + Send + Sized {
    /// Arms an alert at `key` ([`strat_core::AlertKey::hash`]), or arms it again.
    fn strat_alert(&mut self, key: &str, spec: &AlertSpec) -> impl Future<Output = Result<()>> + Send {
        let command = spec.command(key);
        async move { run(self, &command).await.map(drop) }
    }

    /// A page of a user's alerts.
    fn strat_alerts(&mut self, query: &AlertQuery) -> impl Future<Output = Result<Page<PriceAlert>>> + Send {
        let command = query.command();
        async move { page(run(self, &command).await?, PriceAlert::from_listed) }
    }

    /// Ends an alert, or forgets one that has fired. Whether there was one.
    fn end_alert(&mut self, key: &str) -> impl Future<Output = Result<bool>> + Send {
        let mut command = redis::cmd("DEL");
        command.arg(key);
        async move { reply::flag(run(self, &command).await?, "DEL's reply") }
    }
}

impl<T: ConnectionLike + Send + Sized> AlertCommands for T {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::words;

    #[test]
    fn commands_have_the_modules_grammar() {
        let spec = AlertSpec::new("IBM", Condition::Above, "105.50");
        assert_eq!(words(&spec.command("k")), "STRAT.ALERT k IBM ABOVE 105.50");
        let spec = AlertSpec::new("IBM", Condition::Below, "9").expires_in(Duration::from_millis(1));
        assert_eq!(words(&spec.command("k")), "STRAT.ALERT k IBM BELOW 9 EX 1");
        let query = AlertQuery::of("alice").tag("t").cursor("c").count(5);
        assert_eq!(words(&query.command()), "STRAT.ALERTS alice TAG t CURSOR c COUNT 5 WITHVALUES");
    }

    #[test]
    fn a_listed_alert_is_read_by_the_modules_rules() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let flat =
            ["key", "user:a:alert:1", "symbol", "IBM", "condition", "ABOVE", "price", "5.50", "triggered_at", "7"];
        let alert = PriceAlert::from_listed(Value::Array(flat.map(bulk).to_vec())).unwrap();
        assert_eq!((alert.key(), alert.text("price"), alert.triggered()), ("user:a:alert:1", "5.50", Some((7, ""))));
        assert_eq!(alert.alert().unwrap().condition, Condition::Above);
        assert!(PriceAlert::from_listed(Value::Array(flat[2..].iter().map(|text| bulk(text)).collect())).is_err());
    }
}
