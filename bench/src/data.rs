//! Strategies and ticks. Every strategy is a long position with a stop below 2500 and a target above 2600; prices stay
//! between, so close to the best levels that every look-up has to compare, and differ from tick to tick.

use crate::wire::encode;
use strat_core::StrategyKey;

/// Units of a price in a hundredth.
const CENT: i64 = 1_000_000;
/// The best stop, and the worst one is at least this far below it. In hundredths.
const BEST_STOP: i64 = 250_000;
const DEPTH: i64 = 100_000;
/// The best target.
const BEST_TARGET: i64 = 260_000;
/// Exits by time are far away.
const BUY_AT_MS: i64 = 4_000_000_000_000;
const SELL_AT_MS: i64 = 4_100_000_000_000;
/// Users share the strategies.
const USERS: usize = 1_000;

/// What a strategy of a dataset has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Stop, target and two times.
    Full,
    /// A stop only.
    Stop,
    /// A trailing stop of the same distance only.
    Trail,
}

/// So many strategies over so many symbols.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dataset {
    pub(crate) strategies: usize,
    pub(crate) symbols: usize,
    pub(crate) shape: Shape,
}

/// A price in hundredths as text.
pub(crate) fn text(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The same in units of 10⁻⁸.
pub(crate) fn units(hundredths: i64) -> String {
    (hundredths * CENT).to_string()
}

/// A symbol's name.
pub(crate) fn symbol(index: usize) -> String {
    if index == 0 { "RELIANCE".to_owned() } else { format!("SYM{index}") }
}

/// User and id of a strategy.
pub(crate) fn ids(number: usize) -> (String, String) {
    (format!("user{}", number % USERS), format!("s{number}"))
}

/// Key of a strategy's hash.
pub(crate) fn key(number: usize) -> String {
    let (user, strategy) = ids(number);
    StrategyKey { prefix: "", user: &user, strategy: &strategy }.hash()
}

impl Dataset {
    pub(crate) const fn full(strategies: usize, symbols: usize) -> Self {
        Self { strategies, symbols, shape: Shape::Full }
    }

    /// The symbol that a strategy trades.
    pub(crate) fn symbol_of(&self, number: usize) -> usize {
        number % self.symbols
    }

    /// Place of a strategy in the order of levels: neighbours by number are not neighbours by price.
    fn rank(&self, number: usize) -> usize {
        // Prime to the powers of ten that benchmarks use, so that it is a permutation of them.
        (number * 7_919 + 13) % self.strategies
    }

    fn depth(&self, rank: usize) -> i64 {
        (rank as i64) * DEPTH / (self.strategies as i64).max(DEPTH.min(self.strategies as i64))
    }

    /// A strategy's stop, in hundredths: as many levels as there are hundredths, the strategies spread evenly.
    pub(crate) fn stop(&self, number: usize) -> i64 {
        BEST_STOP - self.depth(self.rank(number))
    }

    /// Its target.
    pub(crate) fn target(&self, number: usize) -> i64 {
        BEST_TARGET + self.depth(self.rank(number))
    }

    /// The price that crosses the stops of the first `count` by rank, and no other.
    pub(crate) fn crossing(&self, count: usize) -> i64 {
        BEST_STOP - self.depth(count - 1)
    }

    /// Fields and values of a strategy.
    pub(crate) fn fields(&self, number: usize) -> Vec<(&'static str, String)> {
        let (user, id) = ids(number);
        let mut fields = vec![
            ("id", id),
            ("user_id", user),
            ("symbol", symbol(self.symbol_of(number))),
            ("side", "LONG".to_owned()),
            ("quantity", "10".to_owned()),
            ("buy_time", "09:15:00".to_owned()),
            ("sell_time", "15:15:00".to_owned()),
            ("timezone", "Asia/Kolkata".to_owned()),
            ("status", "RUNNING".to_owned()),
            ("position", "BOUGHT".to_owned()),
            ("entry_price", text(BEST_STOP)),
            ("filled_quantity", "10".to_owned()),
            ("pending", String::new()),
            ("cycle", "1".to_owned()),
            ("version", "1".to_owned()),
            ("updated_at", "1760000000000".to_owned()),
        ];
        match self.shape {
            Shape::Full => fields.extend([
                ("stop_loss", text(self.stop(number))),
                ("take_profit", text(self.target(number))),
                ("buy_at", BUY_AT_MS.to_string()),
                ("sell_at", SELL_AT_MS.to_string()),
            ]),
            Shape::Stop => fields.push(("stop_loss", text(self.stop(number)))),
            // As the module's own commands leave it: it follows from some moment on.
            Shape::Trail => {
                fields.push(("trail", text(BEST_STOP - self.stop(number) + 100)));
                fields.push(("trail_from", (1 + number / 1_000).to_string()));
            }
        }
        fields
    }

    /// Commands that write the hashes and the sets that belong to them, into a server without the module.
    pub(crate) fn write(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        let mut wire = Vec::new();
        for number in range {
            let key = key(number);
            let fields = self.fields(number);
            let pairs = fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
            encode(&mut wire, [b"HSET".as_slice(), key.as_bytes()].into_iter().chain(pairs));
            let (user, strategy) = ids(number);
            let member = format!("{user}:{strategy}");
            encode(&mut wire, ["SADD", "active_strategies", &member]);
            let set = format!("symbol:{}:strategies", symbol(self.symbol_of(number)));
            encode(&mut wire, ["SADD", &set, &member]);
        }
        wire
    }

    /// Commands that arm the same levels for the Lua function.
    pub(crate) fn arm_lua(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        let mut wire = Vec::new();
        for number in range {
            let (symbol, key) = (symbol(self.symbol_of(number)), key(number));
            encode(&mut wire, ["ZADD", &format!("falls:{symbol}"), &units(self.stop(number)), &key]);
            encode(&mut wire, ["ZADD", &format!("rises:{symbol}"), &units(self.target(number)), &key]);
        }
        wire
    }
}

/// Prices between the best levels, none the same as the one before: a walk with steps of up to half a percent.
pub(crate) fn quiet_prices(count: usize) -> Vec<i64> {
    let mut rng = strat_harness::rng::Rng::new(9_15);
    let mut price = BEST_STOP + 5_000;
    let step = |rng: &mut strat_harness::rng::Rng| rng.between(1, 1_200) * if rng.chance(50) { 1 } else { -1 };
    (0..count)
        .map(|_| {
            let moved = price + step(&mut rng);
            // Back inside where the walk would leave the gap.
            price = if (BEST_STOP + 1..BEST_TARGET).contains(&moved) { moved } else { 2 * price - moved };
            price
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_storms_price_crosses_exactly_as_many_stops_as_asked() {
        for (strategies, count) in [(1, 1), (1_000, 100), (100_000, 20_000), (1_000_000, 100_000), (1_000_000, 300_000)]
        {
            let data = Dataset::full(strategies, 1);
            let price = data.crossing(count);
            let crossed = (0..strategies).filter(|number| data.stop(*number) >= price).count();
            assert_eq!(crossed, count, "of {strategies}");
        }
    }

    #[test]
    fn quiet_prices_move_each_time_and_cross_nothing() {
        let prices = quiet_prices(20_000);
        assert!(prices.windows(2).all(|pair| pair[0] != pair[1]));
        let data = Dataset::full(1_000, 1);
        let stop = (0..1_000).map(|n| data.stop(n)).max().unwrap();
        let target = (0..1_000).map(|n| data.target(n)).min().unwrap();
        assert_eq!((stop, target), (BEST_STOP, BEST_TARGET), "the best levels are the edges of the gap");
        assert!(prices.iter().all(|price| (stop + 1..target).contains(price)));
        let near = prices.iter().filter(|price| **price < stop + 500 || **price > target - 500).count();
        assert!(near > 200, "the walk comes close to the levels: {near}");
    }

    #[test]
    fn every_strategy_has_a_key_and_levels_of_its_own_and_is_valid() {
        let data = Dataset::full(10_000, 100);
        let keys: BTreeSet<_> = (0..10_000).map(key).collect();
        assert_eq!(keys.len(), 10_000);
        let fields = data.fields(77);
        let value = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
        let strategy = strat_core::Strategy::read(value).unwrap();
        assert_eq!(strategy.arming().triggers(), 2);
        assert!(strategy.arming().exit_due.is_some());
    }

    #[test]
    fn a_price_has_two_decimals_and_its_units_agree() {
        for hundredths in [250_005, 100, 99, 260_000] {
            let price = strat_core::Price::parse(text(hundredths).as_bytes()).unwrap();
            assert_eq!(price.units().to_string(), units(hundredths));
        }
    }
}
