//! Decimals for the calculation, apart from the product's own: whole numbers of 10⁻⁸ and 10⁻¹⁶.

/// Decimal places of prices and quantities.
pub const PRICE_PLACES: u32 = 8;
/// Decimal places of their products.
pub const MONEY_PLACES: u32 = 16;

/// `text` as a whole number of 10^-places; panics on what is not a plain decimal or has more places.
pub fn units(text: &str, places: u32) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    assert!(!whole.is_empty() && plain(whole) && plain(fraction), "'{text}' is not a plain decimal");
    assert!(fraction.len() <= places as usize, "'{text}' has more than {places} decimals");
    let all = format!("{whole}{fraction:0<width$}", width = places as usize);
    sign * all.parse::<i128>().unwrap()
}

/// The shortest text of a whole number of 10^-places.
pub fn text(units: i128, places: u32) -> String {
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = places as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places as usize);
    let sign = if units < 0 { "-" } else { "" };
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// The shortest text of the same number.
pub fn normal(given: &str) -> String {
    text(units(given, MONEY_PLACES), MONEY_PLACES)
}

#[test]
fn decimals_keep_every_digit() {
    assert_eq!(units("2500.00", 8), 250_000_000_000);
    assert_eq!(text(units("-0.05", 8), 8), "-0.05");
    assert_eq!(normal("10.5000"), "10.5");
    assert_eq!(text(units("0.00000001", 8) * units("3", 8), 16), "0.00000003");
}
