//! The checks.

use super::{Intent, Limits, RiskApproved};
use crate::decimal::{Money, Price};
use crate::order::wire_enum;
use std::fmt;

wire_enum! {
    /// What an entry was refused by, or waits for.
    Rule {
        /// Larger than an entry may be.
        MaxQuantity = "max_quantity",
        /// Worth more than an entry may be.
        MaxNotional = "max_notional",
        /// As many positions are open as may be.
        MaxOpenPositions = "max_open_positions",
        /// As many entries were sent within a minute as may be.
        MaxOrdersPerMinute = "max_orders_per_minute",
        /// The day has lost as much as it may.
        MaxDailyLoss = "max_daily_loss",
        /// The last price is too far from the one that the entry reckons with.
        PriceCollar = "price_collar",
    }
}

wire_enum! {
    /// Whose limits.
    Scope {
        /// Of the user alone.
        User = "user",
        /// Of all who trade through the broker's account.
        Account = "account",
    }
}

/// What the limits are held against, without the entry in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exposure {
    /// Last price of the symbol; `None` where there is no fresh one.
    pub last_price: Option<Price>,
    /// The price that the entry reckons with, where its strategy names one.
    pub reference_price: Option<Price>,
    /// Positions that are open, or that an approved entry is on its way for.
    pub open_positions: u64,
    /// Entries approved within the last minute.
    pub orders_last_minute: u64,
    /// The day's profit, realised and open, at its worst; below zero for a loss. `None` where it is not known.
    pub day_gain: Option<Money>,
}

/// Limits, and what they are held against.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// Whose.
    pub scope: Scope,
    /// The limits.
    pub limits: &'a Limits,
    /// How things are.
    pub exposure: &'a Exposure,
}

/// An entry that a rule refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The rule.
    pub rule: Rule,
    /// Whose limit.
    pub scope: Scope,
    /// The amount, and the limit.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "risk {} ({}): {}", self.rule, self.scope, self.why)
    }
}

/// Why an entry is not approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It is against a rule.
    Refused(Refused),
    /// What this rule needs to know is not known now: the entry waits.
    Unknown(Rule),
}

/// Approves an entry that keeps to all limits. A rule that is broken comes before one that cannot be judged yet.
///
/// # Errors
/// [`Denied`]: the first rule, in the order of [`Rule`], that is broken; else the first that cannot be judged.
pub fn approve(intent: Intent, checks: &[Check<'_>]) -> Result<RiskApproved<Intent>, Denied> {
    let mut unknown = None;
    for check in checks {
        for &rule in Rule::ALL {
            match check.judge(rule, &intent) {
                Judged::Kept => {}
                Judged::Unknown => unknown = unknown.or(Some(rule)),
                Judged::Broken(why) => return Err(Denied::Refused(Refused { rule, scope: check.scope, why })),
            }
        }
    }
    unknown.map_or_else(|| Ok(RiskApproved::new(intent)), |rule| Err(Denied::Unknown(rule)))
}

enum Judged {
    Kept,
    Broken(String),
    Unknown,
}

impl Judged {
    fn broken(broken: bool, why: impl FnOnce() -> String) -> Self {
        if broken { Self::Broken(why()) } else { Self::Kept }
    }
}

impl Check<'_> {
    fn judge(&self, rule: Rule, intent: &Intent) -> Judged {
        let (limits, exposure) = (self.limits, self.exposure);
        match rule {
            Rule::MaxQuantity => limits.max_quantity.map_or(Judged::Kept, |max| {
                Judged::broken(intent.quantity > max, || format!("{} is more than {max}", intent.quantity))
            }),
            Rule::MaxNotional => limits.max_notional.map_or(Judged::Kept, |max| {
                let Some(price) = exposure.last_price else { return Judged::Unknown };
                let notional = Money::of(price, intent.quantity).abs();
                Judged::broken(notional > max, || format!("{notional} at the last price {price} is more than {max}"))
            }),
            Rule::MaxOpenPositions => limits.max_open_positions.map_or(Judged::Kept, |max| {
                let open = exposure.open_positions;
                Judged::broken(open >= u64::from(max), || format!("{open} of {max} are open"))
            }),
            Rule::MaxOrdersPerMinute => limits.max_orders_per_minute.map_or(Judged::Kept, |max| {
                let sent = exposure.orders_last_minute;
                Judged::broken(sent >= u64::from(max), || format!("{sent} of {max} entries in the last minute"))
            }),
            Rule::MaxDailyLoss => limits.max_daily_loss.map_or(Judged::Kept, |max| {
                let Some(gain) = exposure.day_gain else { return Judged::Unknown };
                let loss = Money::ZERO - gain;
                Judged::broken(loss >= max, || format!("the day has lost {loss} of {max}"))
            }),
            Rule::PriceCollar => limits.price_collar_percent.map_or(Judged::Kept, |percent| self.collar(percent)),
        }
    }

    /// An entry at the market takes what price it finds, so it must not go while nobody knows which that is.
    fn collar(&self, percent: Price) -> Judged {
        let Some(last) = self.exposure.last_price else { return Judged::Unknown };
        let Some(reference) = self.exposure.reference_price else { return Judged::Kept };
        Judged::broken(!is_within(last, reference, percent), || {
            format!("the last price {last} is further than {percent}% from {reference}")
        })
    }
}

/// Whether `price` is no further from `reference` than `percent` of it. Exact.
fn is_within(price: Price, reference: Price, percent: Price) -> bool {
    let far = (i128::from(price.units()) - i128::from(reference.units())).abs();
    // Below 1.9·10¹⁹ · 10¹⁰ on the left, 9·10¹⁸ · 9·10¹⁸ on the right: both far inside i128.
    far * 100 * i128::from(crate::decimal::SCALE) <= i128::from(reference.units()).abs() * i128::from(percent.units())
}
