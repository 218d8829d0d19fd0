//! The prices that end a position, for the calculation.

use super::calc::Plan;
use super::decimal::{PRICE_PLACES, units};

/// A whole, in 10⁻⁸ percent.
const WHOLE: i128 = 100 * 100_000_000;

/// How far the stop stays behind the best price.
#[derive(Debug, Clone, Copy)]
enum Trail {
    /// In 10⁻⁸ of the price.
    Absolute(i128),
    /// In 10⁻⁸ percent of the best price.
    Percent(i128),
}

/// What a strategy watches while it holds its position.
#[derive(Debug)]
pub struct Levels {
    long: bool,
    stop: Option<i128>,
    trail: Option<Trail>,
    target: Option<i128>,
}

impl Levels {
    /// As the strategy gives them; an empty text is none.
    pub fn of(plan: &Plan) -> Self {
        let level = |text: &str| (!text.is_empty()).then(|| units(text, PRICE_PLACES));
        let trail = match plan.trail.strip_suffix('%') {
            Some(percent) => level(percent).map(Trail::Percent),
            None => level(&plan.trail).map(Trail::Absolute),
        };
        Self { long: plan.long, stop: level(&plan.stop_loss), trail, target: level(&plan.take_profit) }
    }

    /// The better of two prices.
    pub fn best(&self, a: i128, b: i128) -> i128 {
        if self.long { a.max(b) } else { a.min(b) }
    }

    /// Why `price` ends the position, if it does; `best` is the best price since entry, this one included. The stops
    /// are judged before the target.
    pub fn reached(&self, best: i128, price: i128) -> Option<&'static str> {
        let lost = |level: i128| if self.long { price <= level } else { price >= level };
        let won = |level: i128| if self.long { price >= level } else { price <= level };
        let trailing = self.trail.map(|trail| self.behind(best, trail));
        if self.stop.is_some_and(lost) || trailing.is_some_and(lost) {
            return Some("STOPLOSS");
        }
        self.target.is_some_and(won).then_some("TAKEPROFIT")
    }

    /// Where the trailing stop lies. A percentage that does not come to whole units is rounded away from the price.
    fn behind(&self, best: i128, trail: Trail) -> i128 {
        let distance = match trail {
            Trail::Absolute(units) => units,
            Trail::Percent(percent) => {
                let exact = best.abs() * percent;
                exact / WHOLE + i128::from(exact % WHOLE > 0)
            }
        };
        if self.long { best - distance } else { best + distance }
    }
}

/// The corners, each by hand.
#[cfg(test)]
mod tests {
    use super::*;

    fn levels(long: bool, trail: &str) -> Levels {
        Levels::of(&Plan { trail: trail.to_owned(), ..Plan::example(long) })
    }

    /// Where the stop lies behind a best price, both in 10⁻⁸, found by trying prices.
    fn stop(long: bool, trail: &str, best: i128) -> i128 {
        let levels = levels(long, trail);
        let worse = |n: i128| if long { best - n } else { best + n };
        (0..2_000).map(worse).find(|price| levels.reached(best, *price).is_some()).expect("within 2,000 units")
    }

    #[test]
    fn an_absolute_trail_keeps_its_distance() {
        assert_eq!(stop(true, "0.00000007", 1_000), 993);
        assert_eq!(stop(false, "0.00000007", 1_000), 1_007);
        assert_eq!(stop(true, "0.00000007", -5), -12);
    }

    #[test]
    fn a_percentage_is_rounded_up_whichever_the_side_and_the_sign() {
        // Exact: 15.
        assert_eq!(stop(true, "1.5%", 1_000), 985);
        assert_eq!(stop(false, "1.5%", 1_000), 1_015);
        assert_eq!(stop(true, "1.5%", -1_000), -1_015);
        assert_eq!(stop(false, "1.5%", -1_000), -985);
        // 15.015, 0.015 and just above 15.
        assert_eq!(stop(true, "1.5%", 1_001), 985);
        assert_eq!(stop(false, "1.5%", 1_001), 1_017);
        assert_eq!(stop(true, "1.5%", 1), 0);
        assert_eq!(stop(true, "1.50000001%", 1_000), 984);
        assert_eq!(stop(true, "99.99999999%", 1_000), 0);
    }

    #[test]
    fn no_trail_is_no_stop() {
        assert_eq!(levels(true, "").reached(1_000, -1_000_000), None);
        assert_eq!(levels(true, "5").best(3, 4), 4);
        assert_eq!(levels(false, "5").best(3, 4), 3);
    }

    #[test]
    fn any_stop_is_judged_before_the_target() {
        let plan = |stop: &str| Plan {
            stop_loss: stop.to_owned(),
            take_profit: "0.00000900".to_owned(),
            trail: "0.00000100".to_owned(),
            ..Plan::example(true)
        };
        assert_eq!(Levels::of(&plan("")).reached(1_000, 900), Some("STOPLOSS"));
        assert_eq!(Levels::of(&plan("")).reached(1_000, 901), Some("TAKEPROFIT"));
        assert_eq!(Levels::of(&plan("0.00000901")).reached(1_000, 901), Some("STOPLOSS"));
    }
}
