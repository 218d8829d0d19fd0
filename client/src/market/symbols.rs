//! Which symbols have a price.

use super::Market;
use crate::error::Result;
use redis::aio::ConnectionLike;
use redis::cmd;
use std::collections::BTreeSet;
use strat_core::key::is_symbol;

/// Keys that one `SCAN` looks at, about.
const SCAN_COUNT: usize = 1_000;

/// Symbols that have a last price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbols {
    /// Sorted.
    pub symbols: BTreeSet<String>,
    /// Whether all keys were looked at. If not, there may be more.
    pub complete: bool,
}

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// The symbols that have a last price now, found by `SCAN`: the strat module's prices are among them, and those that
    /// have run out are not. An index would have to be written by everybody who writes a price, and read against the prices
    /// all the same.
    ///
    /// Looks at all keys of the database, a thousand in each round trip, up to [`super::MarketSettings::scan_max`]: for a
    /// page or a start, not for every tick.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn symbols(&self) -> Result<Symbols> {
        let start = [&self.settings.prefix, "price:"].concat();
        let pattern = [&escaped(&start), "*"].concat();
        let mut found = Symbols { symbols: BTreeSet::new(), complete: false };
        let mut cursor = 0_u64;
        for _ in 0..self.settings.scan_max.div_ceil(SCAN_COUNT) {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT).arg("TYPE").arg("string");
            let (next, keys): (u64, Vec<Vec<u8>>) = self.link.command(&scan).await?;
            let keys = keys.iter().filter_map(|key| std::str::from_utf8(key).ok()?.strip_prefix(start.as_str()));
            found.symbols.extend(keys.filter(|symbol| is_symbol(symbol)).map(str::to_owned));
            cursor = next;
            if cursor == 0 {
                found.complete = true;
                break;
            }
        }
        Ok(found)
    }
}

/// As a pattern that matches the text itself.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_by_the_letter() {
        assert_eq!(escaped("{a*b?[c]\\}price:"), "{a\\*b\\?\\[c\\]\\\\}price:");
    }
}
