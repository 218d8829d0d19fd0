//! Filters against the documentation's rules, and against arithmetic with other eyes.

use crate::broker::binance::filters::{Asked, Rules, read};
use proptest::prelude::*;
use serde_json::{Value, json};
use strat_core::{Price, Quantity};

/// The shape of the documentation, with the filters that a real pair has.
pub(super) fn info(filters: &Value) -> Value {
    json!({
        "timezone": "UTC", "serverTime": 1_565_246_363_776_i64,
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        ],
        "exchangeFilters": [],
        "symbols": [{
            "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8, "quoteAsset": "USDT",
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"], "icebergAllowed": true, "filters": filters,
            "permissionSets": [["SPOT", "MARGIN"]],
        }],
    })
}

pub(super) fn usual() -> Value {
    json!([
        {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "107.03900000", "stepSize": "0.00000000"},
        {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "5", "bidMultiplierDown": "0.2",
         "askMultiplierUp": "5", "askMultiplierDown": "0.2", "avgPriceMins": 5},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": true,
         "maxNotional": "9000000.00000000", "applyMaxToMarket": false, "avgPriceMins": 5},
        {"filterType": "SOMETHING_NEW", "limit": {"a": [1]}},
    ])
}

fn rules(filters: &Value) -> Rules {
    read(info(filters).to_string().as_bytes()).unwrap().rules.remove(0).1
}

fn verdict(rules: &Rules, quantity: &str, price: Option<&str>, average: Option<&str>) -> String {
    let asked = Asked {
        quantity: quantity.parse().unwrap(),
        price: price.map(|text| text.parse().unwrap()),
        average: average.map(|text| text.parse().unwrap()),
    };
    rules.check(&asked).map_or_else(|refusal| refusal.to_string(), |()| "passes".to_owned())
}

#[test]
fn a_refusal_names_the_filter_and_the_value() {
    let rules = rules(&usual());
    for (quantity, price, average, words) in [
        ("0.001", None, Some("60000"), "passes"),
        ("0.00000999", None, None, "filter LOT_SIZE: quantity 0.00000999 is below minQty 0.00001"),
        ("9000.00001", Some("1"), None, "filter LOT_SIZE: quantity 9000.00001 is above maxQty 9000"),
        ("0.000015", None, None, "filter LOT_SIZE: quantity 0.000015 is no multiple of stepSize 0.00001"),
        ("107.03901", None, None, "filter MARKET_LOT_SIZE: quantity 107.03901 is above maxQty 107.039"),
        ("107.03901", Some("1"), None, "passes"),
        (
            "0.00008",
            None,
            Some("60000.01"),
            "filter NOTIONAL: 0.00008 at 60000.01 is worth 4.8000008, below minNotional 5",
        ),
        ("0.00008", None, None, "passes"),
        ("100", None, Some("100000"), "passes"),
        ("100", Some("100000"), None, "filter NOTIONAL: 100 at 100000 is worth 10000000, above maxNotional 9000000"),
        ("1", Some("10.005"), None, "filter PRICE_FILTER: price 10.005 is no multiple of tickSize 0.01"),
        ("1", Some("0.001"), None, "filter PRICE_FILTER: price 0.001 is below minPrice 0.01"),
        ("1", Some("1000000.01"), None, "filter PRICE_FILTER: price 1000000.01 is above maxPrice 1000000"),
    ] {
        assert_eq!(verdict(&rules, quantity, price, average), words, "{quantity} {price:?} {average:?}");
    }
}

#[test]
fn the_older_filter_of_worth_binds_market_orders_where_it_says_so() {
    for (binds, words) in [(true, "filter MIN_NOTIONAL: 1 at 9 is worth 9, below minNotional 10"), (false, "passes")] {
        let filters =
            json!([{"filterType": "MIN_NOTIONAL", "minNotional": "10", "applyToMarket": binds, "avgPriceMins": 5}]);
        let rules = rules(&filters);
        assert_eq!((verdict(&rules, "1", None, Some("9")).as_str(), rules.wants_average()), (words, binds));
    }
}

#[test]
fn a_symbol_that_does_not_trade_is_refused() {
    let mut told = info(&usual());
    told["symbols"][0]["status"] = json!("HALT");
    let halted = read(told.to_string().as_bytes()).unwrap();
    assert_eq!(verdict(&halted.rules[0].1, "1", None, None), "filter status: the symbol is HALT, not TRADING");
    assert_eq!(halted.weight_per_minute, Some(6_000));
    let mut told = info(&usual());
    told["symbols"][0]["orderTypes"] = json!(["LIMIT"]);
    let limited = read(told.to_string().as_bytes()).unwrap();
    assert_eq!(verdict(&limited.rules[0].1, "1", None, None), "filter orderTypes: the symbol takes no MARKET orders");
}

#[test]
fn a_filter_of_another_form_is_an_error_and_a_limit_beyond_everything_is_none() {
    for wrong in [
        json!([{"filterType": "LOT_SIZE", "minQty": 1, "maxQty": "2", "stepSize": "1"}]),
        json!([{"filterType": "LOT_SIZE", "maxQty": "2", "stepSize": "1"}]),
        json!([{"filterType": "LOT_SIZE", "minQty": "1e-5", "maxQty": "2", "stepSize": "1"}]),
        json!([{"minQty": "1"}]),
    ] {
        assert!(read(info(&wrong).to_string().as_bytes()).is_err(), "{wrong}");
    }
    let vast = json!([{"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "99999999999999.00", "stepSize": "1.00"}]);
    assert_eq!(verdict(&rules(&vast), "80000000000", None, None), "passes");
}

proptest! {
    /// Multiples of the step pass and nothing else does: by digits, not by the same division.
    #[test]
    fn steps_are_exact(whole in 0_u32..100_000, decimals in 0_u32..=99_999_999, places in 0_usize..=8) {
        let step = if places == 0 { "1".to_owned() } else { format!("0.{:0>places$}", 1) };
        let filters = json!([{"filterType": "LOT_SIZE", "minQty": "0", "maxQty": "0", "stepSize": step}]);
        let quantity = format!("{whole}.{decimals:08}");
        let multiple = quantity.split_once('.').unwrap().1[places..].bytes().all(|digit| digit == b'0');
        let asked = Asked { quantity: quantity.parse().unwrap(), price: None, average: None };
        prop_assert_eq!(rules(&filters).check(&asked).is_ok(), multiple, "{} by {}", quantity, step);
    }

    #[test]
    fn no_order_makes_a_filter_panic(quantity in any::<i64>(), price in any::<i64>(), limit in any::<bool>()) {
        let price = Price::from_units(price);
        let asked = Asked {
            quantity: Quantity::from_units(quantity),
            price: limit.then_some(price),
            average: (!limit).then_some(price),
        };
        let _ = rules(&usual()).check(&asked);
    }
}
