//! A strategy after some of its fields were written, without a look at the hash.

use super::{Fields, Position, Reader, Status, Strategy};
use crate::order::Action;

impl Strategy {
    /// What [`Strategy::read`] would make of the hash once these fields are written; `None` where only the whole hash
    /// tells: a field that says what it is (symbol, side, quantity), an open position whose quantity is not given with
    /// it, or a value that does not parse.
    #[must_use]
    pub fn after(&self, fields: &Fields) -> Option<Self> {
        let mut after = self.clone();
        let (mut moved, mut is_filled) = (false, false);
        for (name, value) in fields {
            let reader = Reader { get: |_: &str| Some(value.as_bytes()) };
            match name.as_str() {
                "symbol" | "side" | "quantity" | "on_stop" => return None,
                "stop_loss" => after.stop_loss = reader.price(name).ok()?,
                "take_profit" => after.take_profit = reader.price(name).ok()?,
                "trail" => after.trail = reader.offset(name).ok()?,
                "trail_ref" => after.trail_ref = reader.price(name).ok()?,
                "trail_from" => after.trail_from = reader.count(name).ok()?,
                "status" => after.status = reader.word(name, Status::parse).ok()?.unwrap_or(Status::Running),
                "position" => {
                    after.position = reader.word(name, Position::parse).ok()?.unwrap_or(Position::None);
                    moved |= after.position.is_open() != self.position.is_open();
                }
                "filled_quantity" => {
                    after.filled = reader.quantity(name).ok()??;
                    is_filled = true;
                }
                "pending" => after.pending = reader.word(name, Action::parse).ok()?,
                "working" => after.working = reader.word(name, Action::parse).ok()?,
                "exit_quantity" => after.exited = reader.quantity(name).ok()?.unwrap_or_default(),
                "prior_exit_quantity" => after.prior_exit.0 = reader.quantity(name).ok()?.unwrap_or_default(),
                "prior_exit_price" => after.prior_exit.1 = reader.price(name).ok()?.unwrap_or_default(),
                "entry_price" => after.entry_price = reader.price(name).ok()?,
                "exit_price" => after.exit_price = reader.price(name).ok()?,
                "attempt" => after.attempt = reader.bounded(name).ok()?,
                "retry_at" => after.retry_at = reader.count(name).ok()?,
                "retry_action" => after.retry_action = reader.word(name, Action::parse).ok()?,
                "buy_at" => after.buy_at = reader.count(name).ok()?,
                "sell_at" => after.sell_at = reader.count(name).ok()?,
                "cycle" => after.cycle = reader.bounded(name).ok()?,
                "cycle_at" => after.cycle_at = reader.count(name).ok()?,
                "version" => after.version = reader.bounded(name).ok()?,
                "updated_at" => after.updated_at = reader.count(name).ok()?.unwrap_or(0),
                _ => {}
            }
        }
        (!moved || is_filled).then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::super::FIELDS_READ;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, Strategy as Generate, prop, prop_assert_eq, proptest};
    use std::collections::BTreeMap;

    /// What mostly parses.
    fn values(name: &str) -> &'static [&'static str] {
        match name {
            "symbol" => &["IBM", "X"],
            "side" => &["LONG", "SHORT"],
            "status" => &["RUNNING", "STOPPED", ""],
            "position" => &["NONE", "BOUGHT", "SHORTED", "SOLD", ""],
            "pending" | "working" | "retry_action" => &["BUY", "SELL", "STOPLOSS", ""],
            "on_stop" => &["LEAVE", ""],
            "trail" => &["5", "1.5%", "", "100%"],
            _ => &["1", "7", "12", "0", "", "12.5", "x"],
        }
    }

    fn field() -> impl Generate<Value = (String, String)> {
        prop::sample::select(&FIELDS_READ[..]).prop_flat_map(|name| {
            prop::sample::select(values(name)).prop_map(move |value| (name.to_owned(), value.to_owned()))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn what_is_told_is_what_the_hash_says(before in vec(field(), 0..10), fields in vec(field(), 0..5)) {
            let needed = [("symbol", "IBM"), ("quantity", "10")].map(|(name, text)| (name.to_owned(), text.to_owned()));
            let mut hash: BTreeMap<String, String> = before.into_iter().chain(needed).collect();
            let read = |hash: &BTreeMap<String, String>| Strategy::read(|name| hash.get(name).map(String::as_bytes));
            let Ok(known) = read(&hash) else { return Ok(()) };
            // A field may come twice; the later counts.
            let told = known.after(&fields);
            hash.extend(fields);
            if let Some(told) = told {
                prop_assert_eq!(Ok(told), read(&hash));
            }
        }
    }
}
