//! Decimals, read with other eyes: as digits, padded and parsed as one whole number.

/// Decimal places of prices and quantities.
const PLACES: usize = 8;
const SCALE: i128 = 100_000_000;

/// In units of 10⁻⁸; `None` for what is no plain decimal, or has more places.
pub(crate) fn units(text: &str) -> Option<i128> {
    let (whole, part) = split(text)?;
    (part.len() <= PLACES).then(|| join(text, whole, part))?
}

/// The same without the places that are too many.
pub(crate) fn units_cut(text: &str) -> Option<i128> {
    let (whole, part) = split(text)?;
    join(text, whole, part.get(..PLACES).unwrap_or(part))
}

/// The same rounded half away from zero.
pub(crate) fn units_rounded(text: &str) -> Option<i128> {
    let (_, part) = split(text)?;
    let up = part.as_bytes().get(PLACES).is_some_and(|digit| (b'5'..=b'9').contains(digit));
    let away = if text.starts_with('-') { -1 } else { 1 };
    Some(units_cut(text)? + if up { away } else { 0 })
}

/// What was paid by what was bought, rounded half up.
pub(crate) fn average(quote: &str, quantity: &str) -> Option<i128> {
    let (quote, quantity) = (units(quote)?, units(quantity)?);
    (quantity > 0).then(|| (2 * quote * SCALE + quantity) / (2 * quantity))
}

fn split(text: &str) -> Option<(&str, &str)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (plain(whole) && plain(part)).then_some((whole, part))
}

fn join(text: &str, whole: &str, part: &str) -> Option<i128> {
    let units: i128 = format!("{whole}{part:0<PLACES$}").parse().ok()?;
    Some(if text.starts_with('-') { -units } else { units })
}

#[test]
fn decimals_are_read_by_their_digits() {
    for (text, exact, cut, rounded) in [
        ("1.5", Some(150_000_000), Some(150_000_000), Some(150_000_000)),
        ("-0.00000001", Some(-1), Some(-1), Some(-1)),
        ("0.000000015", None, Some(1), Some(2)),
        ("-0.000000015", None, Some(-1), Some(-2)),
        ("7", Some(700_000_000), Some(700_000_000), Some(700_000_000)),
        ("1e2", None, None, None),
        ("1.", None, None, None),
        (".5", None, None, None),
        ("+1", None, None, None),
        ("", None, None, None),
    ] {
        assert_eq!((units(text), units_cut(text), units_rounded(text)), (exact, cut, rounded), "{text}");
    }
    assert_eq!([average("2", "3"), average("1", "3"), average("1", "0")], [Some(66_666_667), Some(33_333_333), None]);
}
