use super::*;
use crate::decimal::{Money, Price, Quantity};
use crate::order::Leg;
use proptest::prelude::*;

fn q(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn p(text: &str) -> Price {
    text.parse().unwrap()
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

fn intent(quantity: &str) -> Intent {
    Intent { client_order_id: "X".to_owned(), symbol: "IBM".to_owned(), quantity: q(quantity) }
}

fn judged(limits: &[(&str, &str)], quantity: &str, exposure: Exposure) -> String {
    let limits = Limits::NONE.with(limits.iter().copied()).unwrap();
    match approve(intent(quantity), &[Check { scope: Scope::User, limits: &limits, exposure: &exposure }]) {
        Ok(_) => "approved".to_owned(),
        Err(Denied::Unknown(rule)) => format!("unknown {rule}"),
        Err(Denied::Refused(refused)) => refused.to_string(),
    }
}

/// Everything is known and nothing has happened.
fn calm() -> Exposure {
    Exposure { last_price: Some(p("100")), day_gain: Some(Money::ZERO), ..Exposure::default() }
}

#[test]
fn each_rule_lets_its_limit_pass_and_nothing_beyond_it() {
    let at = |change: fn(&mut Exposure)| {
        let mut exposure = calm();
        change(&mut exposure);
        exposure
    };
    for (limit, quantity, exposure, outcome) in [
        (("max_quantity", "10"), "10", calm(), "approved"),
        (("max_quantity", "10"), "10.00000001", calm(), "risk max_quantity (user): 10.00000001 is more than 10"),
        (("max_notional", "1000"), "10", calm(), "approved"),
        (
            ("max_notional", "1000"),
            "10.00000001",
            calm(),
            "risk max_notional (user): 1000.000001 at the last price 100 is more than 1000",
        ),
        (("max_open_positions", "2"), "1", at(|e| e.open_positions = 1), "approved"),
        (
            ("max_open_positions", "2"),
            "1",
            at(|e| e.open_positions = 2),
            "risk max_open_positions (user): 2 of 2 are open",
        ),
        (("max_open_positions", "0"), "1", calm(), "risk max_open_positions (user): 0 of 0 are open"),
        (("max_orders_per_minute", "3"), "1", at(|e| e.orders_last_minute = 2), "approved"),
        (
            ("max_orders_per_minute", "3"),
            "1",
            at(|e| e.orders_last_minute = 3),
            "risk max_orders_per_minute (user): 3 of 3 entries in the last minute",
        ),
        (("max_daily_loss", "500"), "1", at(|e| e.day_gain = Money::parse("-499.9999999999999999").ok()), "approved"),
        (
            ("max_daily_loss", "500"),
            "1",
            at(|e| e.day_gain = Money::parse("-500").ok()),
            "risk max_daily_loss (user): the day has lost 500 of 500",
        ),
        (("max_daily_loss", "500"), "1", at(|e| e.day_gain = Money::parse("900").ok()), "approved"),
        (
            ("price_collar_percent", "2.5"),
            "1",
            at(|e| e.reference_price = Some(Price::from_units(9_756_097_562))),
            "approved",
        ),
        (
            ("price_collar_percent", "2.5"),
            "1",
            at(|e| e.reference_price = Some(Price::from_units(9_756_097_560))),
            "risk price_collar (user): the last price 100 is further than 2.5% from 97.5609756",
        ),
        (("price_collar_percent", "2.5"), "1", calm(), "approved"),
    ] {
        assert_eq!(judged(&[limit], quantity, exposure), outcome, "{limit:?} {quantity}");
    }
}

#[test]
fn what_is_not_known_is_waited_for_unless_another_rule_refuses_anyway() {
    let dark = Exposure { open_positions: 5, ..Exposure::default() };
    assert_eq!(judged(&[("max_notional", "1")], "1", dark), "unknown max_notional");
    assert_eq!(judged(&[("max_daily_loss", "1")], "1", dark), "unknown max_daily_loss");
    assert_eq!(judged(&[("price_collar_percent", "1")], "1", dark), "unknown price_collar");
    let both = [("max_notional", "1"), ("max_open_positions", "5")];
    assert_eq!(judged(&both, "1", dark), "risk max_open_positions (user): 5 of 5 are open");
    assert_eq!(judged(&[], "1000000", dark), "approved");
}

#[test]
fn the_accounts_limits_hold_besides_the_users() {
    let (user, account) = (Limits::NONE, Limits::NONE.with([("max_open_positions", "1")]).unwrap());
    let (quiet, busy) = (calm(), Exposure { open_positions: 1, ..calm() });
    let checks = [
        Check { scope: Scope::User, limits: &user, exposure: &quiet },
        Check { scope: Scope::Account, limits: &account, exposure: &busy },
    ];
    let denied = approve(intent("1"), &checks).unwrap_err();
    assert!(matches!(denied, Denied::Refused(refused) if refused.scope == Scope::Account), "the account is full");
}

#[test]
fn one_users_limits_lie_over_everybodys() {
    let all = Limits::NONE.with([("max_quantity", "10"), ("max_daily_loss", "500.50")]).unwrap();
    let own =
        all.with([("max_quantity", "none"), ("max_open_positions", "3"), ("on_daily_loss", "square_off")]).unwrap();
    assert_eq!(
        LIMIT_NAMES.map(|name| own.text(name)),
        ["none", "none", "3", "none", "500.5", "none", "square_off"].map(str::to_owned)
    );
    assert!(!own.are_none() && Limits::NONE.with([("on_daily_loss", "square_off")]).unwrap().are_none());
    for (name, text) in [
        ("max_quantity", "0"),
        ("max_quantity", "1e5"),
        ("max_notional", "-1"),
        ("max_daily_loss", "nan"),
        ("max_open_positions", "-1"),
        ("max_open_positions", "+1"),
        ("max_orders_per_minute", "4294967296"),
        ("price_collar_percent", "0"),
        ("on_daily_loss", "panic"),
        ("max_everything", "1"),
    ] {
        let refused = all.with([(name, text)]).unwrap_err();
        assert!(refused.starts_with(&format!("{name} '{text}' ")), "{refused}");
    }
}

#[derive(Debug, Clone, PartialEq)]
struct AnOrder(Leg, Intent);

impl Order for AnOrder {
    fn leg(&self) -> Leg {
        self.0
    }
    fn intent(&self) -> Intent {
        self.1.clone()
    }
}

#[test]
fn an_approval_covers_its_own_order_and_no_other() {
    let approved = approve(intent("5"), &[]).unwrap();
    assert_eq!(approved.get(), &intent("5"));
    assert!(approved.cover(AnOrder(Leg::Entry, intent("5"))).is_some());
    assert!(approved.cover(AnOrder(Leg::Entry, intent("6"))).is_none());
    assert!(approved.cover(AnOrder(Leg::Entry, Intent { symbol: "TCS".to_owned(), ..intent("5") })).is_none());
    assert!(approved.cover(AnOrder(Leg::Entry, Intent { client_order_id: "Y".to_owned(), ..intent("5") })).is_none());
}

prop_compose! {
    fn exposures()(
        last in proptest::option::of(1_i64..20_000_000_000),
        reference in proptest::option::of(1_i64..20_000_000_000),
        open_positions in 0_u64..6,
        orders_last_minute in 0_u64..6,
        gain in proptest::option::of(-2_000_i64..2_000),
    ) -> Exposure {
        Exposure {
            last_price: last.map(Price::from_units),
            reference_price: reference.map(Price::from_units),
            open_positions,
            orders_last_minute,
            day_gain: gain.map(|gain| money(&gain.to_string())),
        }
    }
}

prop_compose! {
    fn limits()(
        quantity in proptest::option::of(1_u32..20),
        notional in proptest::option::of(1_u32..3_000),
        open in proptest::option::of(0_u32..6),
        orders in proptest::option::of(0_u32..6),
        loss in proptest::option::of(1_u32..2_000),
        collar in proptest::option::of(1_u32..100),
    ) -> Limits {
        let given = [
            ("max_quantity", quantity),
            ("max_notional", notional),
            ("max_open_positions", open),
            ("max_orders_per_minute", orders),
            ("max_daily_loss", loss),
            ("price_collar_percent", collar),
        ];
        let given = given.map(|(name, value)| (name, value.map_or_else(|| "none".to_owned(), |value| value.to_string())));
        Limits::NONE.with(given.iter().map(|(name, value)| (*name, value.as_str()))).unwrap()
    }
}

/// The same rules with other eyes: one line each, over plain integers.
fn keeps(limits: &Limits, quantity: i128, e: &Exposure) -> bool {
    let price = e.last_price.map(|price| i128::from(price.units()));
    let (hundred_units, one) = (10_i128.pow(10), 10_i128.pow(16));
    let amount = |money: Money| money.to_string().split('.').next().unwrap().parse::<i128>().unwrap();
    limits.max_quantity.is_none_or(|max| quantity <= i128::from(max.units()))
        && limits.max_notional.is_none_or(|max| price.is_some_and(|price| quantity * price <= amount(max) * one))
        && limits.max_open_positions.is_none_or(|max| e.open_positions < u64::from(max))
        && limits.max_orders_per_minute.is_none_or(|max| e.orders_last_minute < u64::from(max))
        && limits.max_daily_loss.is_none_or(|max| e.day_gain.is_some_and(|gain| amount(gain) > -amount(max)))
        && limits.price_collar_percent.is_none_or(|percent| {
            let reference = e.reference_price.map(|price| i128::from(price.units()));
            price.is_some_and(|price| {
                reference.is_none_or(|at| (price - at).abs() * hundred_units <= at * i128::from(percent.units()))
            })
        })
}

proptest! {
    #[test]
    fn an_entry_passes_exactly_where_every_limit_is_kept(limits in limits(), exposure in exposures(), units in 1_i64..3_000_000_000) {
        let intent = Intent { quantity: Quantity::from_units(units), ..intent("1") };
        let outcome = approve(intent, &[Check { scope: Scope::User, limits: &limits, exposure: &exposure }]);
        prop_assert_eq!(outcome.is_ok(), keeps(&limits, i128::from(units), &exposure), "{:?}", outcome);
    }

    #[test]
    fn no_limit_and_no_exposure_stops_an_exit(limits in limits(), exposure in exposures(), units in 1_i64..3_000_000_000) {
        let intent = Intent { quantity: Quantity::from_units(units), ..intent("1") };
        let _ = approve(intent.clone(), &[Check { scope: Scope::User, limits: &limits, exposure: &exposure }]);
        let cleared = Cleared::exit(AnOrder(Leg::Exit, intent.clone()));
        prop_assert_eq!(cleared.map(|cleared| cleared.intent()), Some(intent.clone()));
        prop_assert!(Cleared::exit(AnOrder(Leg::Entry, intent)).is_none(), "an entry does not pass for an exit");
    }

    #[test]
    fn limits_are_read_as_they_are_written(limits in limits(), text in "\\PC{0,12}") {
        let texts: Vec<_> = LIMIT_NAMES.iter().map(|name| (*name, limits.text(name))).collect();
        let again = Limits::NONE.with(texts.iter().map(|(name, text)| (*name, text.as_str())));
        prop_assert_eq!(again, Ok(limits.clone()));
        for name in LIMIT_NAMES {
            let _ = limits.with([(name, text.as_str())]);
        }
    }
}
