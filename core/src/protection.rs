//! Market protection: how far from the last price a market order may trade, and by which steps that widens.
//!
//! An exit whose stop was gapped over goes out at once. Without a bound it may fill at whatever an emptied order book
//! offers; with a bound it may not fill at all. So the bound widens with each attempt that died unfilled, and where the
//! steps are used up a person hears of it. The exit itself is sent again and again, at the widest step.

use crate::decimal::Price;
use std::fmt;
use std::str::FromStr;

/// Most steps of a [`Ladder`].
pub const STEPS_MAX: usize = 8;
/// 100 %, in basis points.
const WHOLE: i128 = 10_000;
/// How the last step says that any price will do.
const MARKET: &str = "market";

/// A distance from the last price, in basis points: more than none, less than all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protection(u16);

impl Protection {
    /// In basis points.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// In whole percent, rounded up: for brokers that take no fractions.
    #[must_use]
    pub const fn whole_percent(self) -> u16 {
        self.0.div_ceil(100)
    }

    /// The worst price that is still taken: rounded away from `reference`, for an exit that trades is worth more than
    /// the last unit of 10⁻⁸. `None` where there is no such price: a reference of 0 or below has no distance in percent.
    #[must_use]
    pub fn limit(self, reference: Price, buys: bool) -> Option<Price> {
        let units = i128::from(reference.units());
        if units <= 0 {
            return None;
        }
        let distance = (units * i128::from(self.0) + WHOLE - 1) / WHOLE;
        let limit = if buys { units + distance } else { units - distance };
        i64::try_from(limit).ok().filter(|units| *units > 0).map(Price::from_units)
    }
}

/// The nearest multiple of a venue's tick size, in units of 10⁻⁸, that takes no less than `limit` does: up for whoever buys,
/// down for whoever sells. A size of 0 or below is none.
#[must_use]
pub fn outward(limit: Price, tick_units: i64, buys: bool) -> Price {
    let over = limit.units().rem_euclid(tick_units.max(1));
    let down = limit.units() - over;
    let up = if over > 0 { down.saturating_add(tick_units) } else { down };
    Price::from_units(if buys { up } else { down })
}

impl FromStr for Protection {
    type Err = String;

    /// A percentage of at most two decimals: `0.5`, `2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let price: Price = text.parse().map_err(|_| format!("'{text}' is no percentage"))?;
        let points = price.units() / (crate::decimal::SCALE / 100);
        let exact = price.units() % (crate::decimal::SCALE / 100) == 0;
        match u16::try_from(points) {
            Ok(points) if exact && points > 0 && i128::from(points) < WHOLE => Ok(Self(points)),
            _ => Err(format!("'{text}' is no percentage from 0.01 to 99.99 of at most two decimals")),
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = i64::from(self.0) * (crate::decimal::SCALE / 100);
        write!(f, "{}", Price::from_units(units))
    }
}

/// The steps of an exit's protection, one for each attempt; each is wider than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ladder {
    steps: [Option<Protection>; STEPS_MAX],
    count: usize,
    /// Beyond the steps any price will do; else the last step stays.
    then_market: bool,
}

impl Ladder {
    /// No step: a market order trades at any price, or as the broker's own settings have it.
    pub const NONE: Self = Self { steps: [None; STEPS_MAX], count: 0, then_market: false };

    /// Whether there is no step.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.count == 0
    }

    /// How far the `attempt`-th attempt of an exit may trade from the last price, counted from 0. `None`: at any price.
    #[must_use]
    pub fn step(&self, attempt: u64) -> Option<Protection> {
        let at = usize::try_from(attempt).unwrap_or(usize::MAX);
        if at >= self.count && self.then_market {
            return None;
        }
        self.steps[at.min(self.count.saturating_sub(1))]
    }

    /// Whether every step was tried before the `attempt`-th attempt: it is time for a person.
    #[must_use]
    pub fn is_used_up(&self, attempt: u64) -> bool {
        !self.is_none() && usize::try_from(attempt).is_ok_and(|at| at >= self.count)
    }
}

impl FromStr for Ladder {
    type Err = String;

    /// Percentages, each wider than the one before; `market` may follow: `1,2,5` or `0.5,2,market`. Empty: no step.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut ladder = Self::NONE;
        for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            if ladder.then_market {
                return Err(format!("'{MARKET}' is the last step"));
            }
            if part == MARKET && !ladder.is_none() {
                ladder.then_market = true;
                continue;
            }
            let step: Protection = part.parse()?;
            if ladder.count == STEPS_MAX {
                return Err(format!("more than {STEPS_MAX} steps"));
            }
            if ladder.count > 0 && ladder.steps[ladder.count - 1] >= Some(step) {
                return Err(format!("'{part}' is no wider than the step before"));
            }
            ladder.steps[ladder.count] = Some(step);
            ladder.count += 1;
        }
        Ok(ladder)
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps: Vec<String> = self.steps.iter().flatten().map(ToString::to_string).collect();
        steps.extend(self.then_market.then(|| MARKET.to_owned()));
        f.write_str(&steps.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ladder(text: &str) -> Ladder {
        text.parse().unwrap()
    }

    #[test]
    fn each_attempt_takes_the_next_step_and_the_last_one_stays() {
        let steps = |text: &str| -> Vec<String> {
            let ladder = ladder(text);
            (0..4).map(|attempt| ladder.step(attempt).map_or("any".to_owned(), |step| step.to_string())).collect()
        };
        assert_eq!(steps("0.5, 2,5"), ["0.5", "2", "5", "5"]);
        assert_eq!(steps("1,2,market"), ["1", "2", "any", "any"]);
        assert_eq!(steps(""), ["any"; 4]);
        let used_up = |text: &str| (0..4).map(|attempt| ladder(text).is_used_up(attempt)).collect::<Vec<_>>();
        assert_eq!(used_up("1,2"), [false, false, true, true]);
        assert_eq!(used_up(""), [false; 4]);
    }

    #[test]
    fn a_ladder_that_does_not_widen_is_refused() {
        for wrong in ["0", "100", "1,1", "2,1", "1,", "market", "1,market,2", "x", "0.001", "-1", "1,2,3,4,5,6,7,8,9"] {
            assert!(wrong.parse::<Ladder>().is_err(), "{wrong}");
        }
        for right in ["", "0.01", "99.99", "1,2,3,4,5,6,7,8", "1,2,market"] {
            assert_eq!(ladder(right).to_string(), right);
        }
    }

    #[test]
    fn a_limit_is_as_far_as_the_step_says() {
        let one: Protection = "1".parse().unwrap();
        let limit = |price: &str, buys| one.limit(price.parse().unwrap(), buys).map(|limit| limit.to_string());
        assert_eq!(limit("2500", false), Some("2475".to_owned()));
        assert_eq!(limit("2500", true), Some("2525".to_owned()));
        assert_eq!(["1", "0.01", "1.01"].map(|step| step.parse::<Protection>().unwrap().whole_percent()), [1, 1, 2]);
        assert_eq!(limit("0.00000001", false), None, "nothing is left of it");
        assert_eq!((limit("0", true), limit("-3", false)), (None, None));
    }

    #[test]
    fn a_price_is_rounded_to_what_takes_no_less() {
        let rounded = |text: &str, tick, buys| outward(text.parse().unwrap(), tick, buys).to_string();
        let cent = crate::decimal::SCALE / 100;
        assert_eq!([rounded("9.871", cent, true), rounded("9.871", cent, false)], ["9.88", "9.87"]);
        assert_eq!([rounded("9.87", cent, true), rounded("9.87", cent, false)], ["9.87", "9.87"]);
        assert_eq!(rounded("9.87000001", 0, true), "9.87000001");
    }

    proptest! {
        #[test]
        fn a_wider_step_takes_a_worse_price(units in 1_i64..900_000_000_000_000_000, near in 1_u16..9_998, buys in any::<bool>()) {
            let reference = Price::from_units(units);
            let (near, wide) = (Protection(near), Protection(near + 1));
            let Some((first, second)) = near.limit(reference, buys).zip(wide.limit(reference, buys)) else { return Ok(()) };
            if buys {
                prop_assert!(reference < first && first <= second);
            } else {
                prop_assert!(reference > first && first >= second);
            }
            // No nearer than was asked for, and no further than one unit.
            let moved = i128::from((first.units() - units).abs()) * WHOLE;
            let asked = i128::from(units) * i128::from(near.0);
            prop_assert!(moved >= asked && moved < asked + WHOLE);
        }
    }
}
