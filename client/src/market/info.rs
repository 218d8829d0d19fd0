//! What is known of a symbol: how finely it is priced, where it trades.

use super::Market;
use super::bounds::{check_count, ttl_ms};
use crate::error::{Error, Result};
use redis::aio::ConnectionLike;
use redis::{Pipeline, pipe};
use std::collections::BTreeMap;
use strat_core::{Code, Price, Quantity, Refusal};

const INFO: &str = "symbol:info:";
/// Further fields of a symbol.
const OTHERS_MAX: usize = 32;
/// Longest name or text of a field, bytes.
const TEXT_BYTES_MAX: usize = 256;
/// Fields that have a place of their own.
const NAMED: [&str; 4] = ["tick_size", "lot_size", "exchange", "currency"];

/// Information about a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolInfo {
    /// Prices are multiples of this; above 0.
    pub tick_size: Price,
    /// Quantities are multiples of this; above 0.
    pub lot_size: Quantity,
    /// Where it trades, as its feed calls it.
    pub exchange: String,
    /// Code of the currency that its price is in.
    pub currency: String,
    /// Whatever else is known: name, ISIN, expiry, ... At most 32 fields; names and texts have at most 256 bytes.
    pub other: BTreeMap<String, String>,
}

impl SymbolInfo {
    fn check(&self) -> Result<()> {
        check_count("further fields of a symbol", self.other.len(), OTHERS_MAX)?;
        let refuse = |what: String| Err(Refusal::new(Code::BadField, what).into());
        if self.tick_size <= Price::ZERO || self.lot_size <= Quantity::ZERO {
            return refuse(format!("tick size {} and lot size {} must be above 0", self.tick_size, self.lot_size));
        }
        if let Some(name) = self.other.keys().find(|name| name.is_empty() || NAMED.contains(&name.as_str())) {
            return refuse(format!("field '{name}' is empty or has a place of its own; choose another name"));
        }
        let others = self.other.iter().flat_map(|(name, text)| [name, text]);
        match others.chain([&self.exchange, &self.currency]).find(|text| text.len() > TEXT_BYTES_MAX) {
            Some(text) => refuse(format!("a text has {} bytes, at most {TEXT_BYTES_MAX} are taken", text.len())),
            None => Ok(()),
        }
    }

    fn read(mut fields: BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            tick_size: fields.remove("tick_size")?.parse().ok()?,
            lot_size: fields.remove("lot_size")?.parse().ok()?,
            exchange: fields.remove("exchange")?,
            currency: fields.remove("currency")?,
            other: fields,
        })
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// Stores what is known of a symbol, in place of what was, for [`super::MarketSettings::info_ttl`]. In one round trip, all
    /// or nothing; may be repeated.
    ///
    /// # Errors
    /// `BADFIELD` naming what is not acceptable; whatever the server or the connection says.
    pub async fn set_symbol_info(&self, symbol: &str, info: &SymbolInfo) -> Result<()> {
        info.check()?;
        let key = self.info_key(symbol)?;
        let mut pipeline = pipe();
        pipeline.atomic().cmd("DEL").arg(&key).ignore();
        let set = pipeline.cmd("HSET").arg(&key);
        set.arg("tick_size").arg(info.tick_size.to_string()).arg("lot_size").arg(info.lot_size.to_string());
        set.arg("exchange").arg(&info.exchange).arg("currency").arg(&info.currency);
        for (name, text) in &info.other {
            set.arg(name).arg(text);
        }
        set.ignore();
        pipeline.cmd("PEXPIRE").arg(&key).arg(ttl_ms(self.settings.info_ttl)).ignore();
        self.link.pipeline(&pipeline).await
    }

    /// What is known of a symbol; `None` where nothing is.
    ///
    /// # Errors
    /// As [`Market::symbol_infos`].
    pub async fn symbol_info(&self, symbol: &str) -> Result<Option<SymbolInfo>> {
        Ok(self.symbol_infos(&[symbol]).await?.pop().flatten())
    }

    /// What is known of many symbols, in their order and in one round trip.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none and for more than [`super::MarketSettings::batch_max`]; [`Error::BadReply`]
    /// where a key holds something else; whatever the server or the connection says.
    pub async fn symbol_infos(&self, symbols: &[&str]) -> Result<Vec<Option<SymbolInfo>>> {
        check_count("symbols of one call", symbols.len(), self.settings.batch_max)?;
        if symbols.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(symbols.len());
        for symbol in symbols {
            pipeline.cmd("HGETALL").arg(self.info_key(symbol)?);
        }
        let replies: Vec<BTreeMap<String, String>> = self.link.pipeline(&pipeline).await?;
        let read = |(symbol, fields): (&&str, BTreeMap<_, _>)| {
            let bad = || Error::BadReply(format!("the information about {symbol}: a field is missing or no number"));
            if fields.is_empty() { Ok(None) } else { SymbolInfo::read(fields).ok_or_else(bad).map(Some) }
        };
        symbols.iter().zip(replies).map(read).collect()
    }

    fn info_key(&self, symbol: &str) -> Result<String> {
        // `symbol:info:strategies` is the module's set of the strategies of a symbol called info.
        if symbol == "strategies" {
            return Err(Refusal::new(Code::BadField, "symbol 'strategies' cannot have information").into());
        }
        self.key(INFO, symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_come_back_is_refused() {
        let good = SymbolInfo {
            tick_size: "0.05".parse().unwrap(),
            lot_size: "1".parse().unwrap(),
            exchange: "NSE".into(),
            currency: "INR".into(),
            other: BTreeMap::from([("name".into(), "Reliance Industries".into())]),
        };
        good.check().unwrap();
        let bad: [fn(&mut SymbolInfo); 6] = [
            |info| info.tick_size = Price::ZERO,
            |info| info.lot_size = "-1".parse().unwrap(),
            |info| info.exchange = "x".repeat(257),
            |info| info.other = BTreeMap::from([("currency".into(), "USD".into())]),
            |info| info.other = BTreeMap::from([(String::new(), "x".into())]),
            |info| info.other = (0..33).map(|n| (n.to_string(), String::new())).collect(),
        ];
        for (n, change) in bad.iter().enumerate() {
            let mut info = good.clone();
            change(&mut info);
            assert_eq!(info.check().unwrap_err().code(), Some(Code::BadField), "{n}");
        }
    }
}
