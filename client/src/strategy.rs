//! A strategy as the server returned it.

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::reply;
use redis::Value;
use strat_core::field::parse_count;
use strat_core::{Action, Position, Price, Quantity, Side, Status};

/// The fields of a strategy's hash, byte for byte as the server keeps them, with typed views on top.
///
/// `"2500.00"` stays `"2500.00"`. The typed views go through the rules of [`strat_core`], so that client, engine and
/// module read the same hash the same way; the hash itself may hold what does not parse, if somebody wrote it by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy(Hash);

impl Strategy {
    /// From a key and its fields.
    #[must_use]
    pub fn new<N: Into<String>, V: Into<Vec<u8>>>(
        key: impl Into<String>,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self(Hash { key: key.into(), fields })
    }

    /// From `STRAT.GET`'s reply.
    pub(crate) fn from_reply(key: &str, value: Value) -> Result<Self> {
        Hash::from_reply("strategy", key, value).map(Self)
    }

    /// From a member of `STRAT.LIST WITHVALUES`.
    pub(crate) fn from_listed(value: Value) -> Result<Self> {
        Hash::from_listed("strategy", value).map(Self)
    }

    /// The key of the hash.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// All fields as the server gave them, in its order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// A field's bytes; `None` if it is absent.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.bytes(name)
    }

    /// A field's text; `None` if it is absent or not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// A field's text, empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The live state by the rules that the module itself applies.
    ///
    /// # Errors
    /// The first field that does not parse; the module does not guard such a strategy.
    pub fn state(&self) -> Result<strat_core::Strategy> {
        Ok(strat_core::Strategy::read(|name| self.bytes(name))?)
    }

    /// Exchange symbol, empty where it is missing.
    #[must_use]
    pub fn symbol(&self) -> &str {
        self.text("symbol")
    }

    /// Version of the hash; 0 where somebody wrote it without one.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.count("version").unwrap_or(0).unsigned_abs()
    }

    /// A whole number such as `cycle`, `buy_at` or `updated_at`; `None` if absent, empty or not one.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<i64> {
        self.bytes(name).and_then(parse_count)
    }

    /// A price such as `stop_loss` or `entry_price`; `None` if absent or empty.
    ///
    /// # Errors
    /// [`Error::BadReply`] naming a field that is not an exact decimal.
    pub fn price(&self, name: &str) -> Result<Option<Price>> {
        self.parsed(name, |text| Price::parse(text.as_bytes()).ok())
    }

    /// A quantity such as `quantity` or `filled_quantity`; `None` if absent or empty.
    ///
    /// # Errors
    /// [`Error::BadReply`] naming a field that is not an exact decimal.
    pub fn quantity(&self, name: &str) -> Result<Option<Quantity>> {
        self.parsed(name, |text| Quantity::parse(text.as_bytes()).ok())
    }

    /// LONG where nothing else is said.
    ///
    /// # Errors
    /// [`Error::BadReply`] for an unknown word.
    pub fn side(&self) -> Result<Side> {
        Ok(self.parsed("side", Side::parse)?.unwrap_or(Side::Long))
    }

    /// RUNNING where nothing else is said.
    ///
    /// # Errors
    /// [`Error::BadReply`] for an unknown word.
    pub fn status(&self) -> Result<Status> {
        Ok(self.parsed("status", Status::parse)?.unwrap_or(Status::Running))
    }

    /// NONE where nothing else is said.
    ///
    /// # Errors
    /// [`Error::BadReply`] for an unknown word.
    pub fn position(&self) -> Result<Position> {
        Ok(self.parsed("position", Position::parse)?.unwrap_or(Position::None))
    }

    /// The enqueued action, if any.
    ///
    /// # Errors
    /// [`Error::BadReply`] for an unknown word.
    pub fn pending(&self) -> Result<Option<Action>> {
        self.parsed("pending", Action::parse)
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(bytes) = self.bytes(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        std::str::from_utf8(bytes).ok().and_then(parse).map(Some).ok_or_else(|| {
            Error::BadReply(reply::one_line(&format!(
                "field {name} of {} is '{}'",
                self.key(),
                String::from_utf8_lossy(bytes)
            )))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    const FIELDS: [(&str, &str); 6] = [
        ("symbol", "IBM"),
        ("quantity", "10"),
        ("stop_loss", "2500.00"),
        ("version", "3"),
        ("side", "SHORT"),
        ("take_profit", ""),
    ];

    #[test]
    fn resp2_and_resp3_give_the_same_strategy() {
        let flat = Value::Array(FIELDS.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect());
        let map = Value::Map(FIELDS.iter().map(|(name, value)| (bulk(name), bulk(value))).collect());
        let (two, three) = (Strategy::from_reply("k", flat).unwrap(), Strategy::from_reply("k", map).unwrap());
        assert_eq!(two, three);
        assert_eq!(two.text("stop_loss"), "2500.00");
        assert_eq!(two.price("stop_loss").unwrap(), Some("2500".parse().unwrap()));
        assert_eq!(two.price("take_profit").unwrap(), None);
        assert_eq!((two.side().unwrap(), two.version()), (Side::Short, 3));
        assert_eq!(two.state().unwrap().stop_loss, Some("2500".parse().unwrap()));
    }

    #[test]
    fn a_listed_strategy_brings_its_key() {
        let map = Value::Map(vec![(bulk("key"), bulk("user:a:strategy:s")), (bulk("symbol"), bulk("IBM"))]);
        let strategy = Strategy::from_listed(map).unwrap();
        assert_eq!((strategy.key(), strategy.symbol(), strategy.get("key")), ("user:a:strategy:s", "IBM", None));
        assert!(Strategy::from_listed(Value::Map(vec![(bulk("symbol"), bulk("IBM"))])).is_err());
    }

    #[test]
    fn a_name_that_is_not_utf_8_leaves_the_strategy_readable() {
        let odd = || [(Value::BulkString(vec![b'x', 0xff]), bulk("1")), (bulk("symbol"), bulk("IBM"))];
        let strategy = Strategy::from_reply("k", Value::Map(odd().to_vec())).unwrap();
        assert_eq!((strategy.symbol(), strategy.get("x\u{fffd}")), ("IBM", Some("1")));
        let listed = [(bulk("key"), bulk("k"))].into_iter().chain(odd()).collect();
        assert_eq!(Strategy::from_listed(Value::Map(listed)).unwrap(), strategy);
    }

    #[test]
    fn what_was_written_by_hand_is_shown_and_only_its_typed_view_fails() {
        let strategy =
            Strategy::new("k", [("symbol", b"IBM".to_vec()), ("note", vec![0xff]), ("stop_loss", b"abc".to_vec())]);
        assert_eq!((strategy.get("note"), strategy.bytes("note")), (None, Some(&[0xff][..])));
        assert!(strategy.price("stop_loss").is_err() && strategy.state().is_err());
    }
}
