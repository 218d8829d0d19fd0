//! Which order of Kite's order book is ours.
//!
//! Kite keeps a tag with an order and makes nothing of it: it is not unique, and the same order sent twice is two. Our tag is
//! the client order id itself: 20 characters, which is all that Kite takes, of 100 bits of a SHA-256 over strategy, cycle, leg
//! and attempt. Among a million orders two have the same one with a chance of less than one in 10¹⁸. So another order under
//! our tag was made by somebody's hand, or sent twice; either way **it is never taken for ours and never for absent**: tag,
//! instrument, side and quantity have to be what was sent.

use super::order::Listed;
use crate::broker::OrderSide;
use strat_core::{ExecType, Quantity};

/// An order that is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) tag: &'a str,
    pub(super) exchange: &'a str,
    pub(super) tradingsymbol: &'a str,
    /// Side and quantity, where this engine has sent it since it was started. The tag of an order implies the side.
    pub(super) sent: Option<(OrderSide, Quantity)>,
}

/// Finds it; `None` where no order carries its tag.
///
/// # Errors
/// Where one does that is not what was sent, or several do: only a person can say what that is.
pub(super) fn find<'a>(book: &'a [Listed], wanted: Wanted<'_>) -> Result<Option<&'a Listed>, String> {
    let tagged: Vec<_> = book.iter().filter(|order| order.tag == wanted.tag).collect();
    choose(&tagged, wanted)
}

/// As [`find`], among the orders of the tag.
///
/// # Errors
/// As [`find`].
pub(super) fn choose<'a>(tagged: &[&'a Listed], wanted: Wanted<'_>) -> Result<Option<&'a Listed>, String> {
    if let Some(other) = tagged.iter().find(|order| !is_of(order, wanted)) {
        return Err(format!(
            "order {} at Kite carries the tag of another order, {}: look at it there",
            other.order_id, wanted.tag
        ));
    }
    // A repeat that Kite refused changes nothing.
    let alive: Vec<_> = tagged.iter().filter(|order| !came_to_nothing(order)).collect();
    match (alive.as_slice(), tagged) {
        ([one], _) => Ok(Some(**one)),
        ([], dead) => Ok(dead.iter().copied().max_by_key(|order| order.ts_ms)),
        (several, _) => {
            Err(format!("{} orders at Kite carry the tag {}: end all but one of them there", several.len(), wanted.tag))
        }
    }
}

fn is_of(order: &Listed, wanted: Wanted<'_>) -> bool {
    order.exchange == wanted.exchange
        && order.tradingsymbol == wanted.tradingsymbol
        && wanted.sent.is_none_or(|(side, quantity)| order.side == side && order.quantity == quantity)
}

fn came_to_nothing(order: &Listed) -> bool {
    order.cum_qty == Quantity::ZERO && matches!(order.status, ExecType::Rejected | ExecType::Canceled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "RQLYHBRGYJ746S3R2CEM";

    fn order(id: &str, status: ExecType, filled: i64) -> Listed {
        Listed {
            order_id: id.to_owned(),
            variety: "regular".to_owned(),
            exchange: "NSE".to_owned(),
            tradingsymbol: "INFY".to_owned(),
            tag: TAG.to_owned(),
            side: OrderSide::Buy,
            quantity: Quantity::from_units(10),
            status,
            cum_qty: Quantity::from_units(filled),
            avg_px: None,
            text: String::new(),
            ts_ms: id.parse().unwrap(),
        }
    }

    fn wanted(sent: Option<(OrderSide, i64)>) -> Wanted<'static> {
        let sent = sent.map(|(side, units)| (side, Quantity::from_units(units)));
        Wanted { tag: TAG, exchange: "NSE", tradingsymbol: "INFY", sent }
    }

    fn found(book: &[Listed]) -> Result<Option<&str>, String> {
        find(book, wanted(Some((OrderSide::Buy, 10)))).map(|found| found.map(|order| order.order_id.as_str()))
    }

    #[test]
    fn tag_instrument_side_and_quantity_make_a_match() {
        let ours = order("1", ExecType::New, 0);
        let others = Listed { tag: "AAAAAAAAAAAAAAAAAAAA".to_owned(), ..ours.clone() };
        assert_eq!(found(&[others.clone(), ours.clone()]), Ok(Some("1")));
        assert_eq!(found(&[others]), Ok(None));
        for other in [
            Listed { tradingsymbol: "TCS".to_owned(), ..ours.clone() },
            Listed { exchange: "BSE".to_owned(), ..ours.clone() },
            Listed { side: OrderSide::Sell, ..ours.clone() },
            Listed { quantity: Quantity::from_units(11), ..ours.clone() },
        ] {
            assert!(found(std::slice::from_ref(&other)).is_err(), "neither ours nor absent: {other:?}");
            assert!(found(&[ours.clone(), other]).is_err());
        }
        let book = [order("1", ExecType::New, 0)];
        assert!(find(&book, wanted(Some((OrderSide::Sell, 10)))).is_err());
        assert!(find(&book, wanted(None)).unwrap().is_some(), "after a restart the tag tells the side");
    }

    #[test]
    fn two_orders_under_one_tag_are_for_a_person() {
        use ExecType::{Canceled, Fill, New, PartialFill, Rejected};
        let two = |first, second| found_id(&[first, second]);
        assert!(two(order("1", New, 0), order("2", New, 0)).is_err());
        assert!(two(order("1", Fill, 10), order("2", PartialFill, 3)).is_err());
        assert!(two(order("1", Fill, 10), order("2", Canceled, 3)).is_err());
        for dead in [Rejected, Canceled] {
            assert_eq!(
                two(order("1", Fill, 10), order("2", dead, 0)),
                Ok(Some("1".into())),
                "a repeat that was refused"
            );
            assert_eq!(two(order("1", dead, 0), order("2", New, 0)), Ok(Some("2".into())));
            assert_eq!(
                two(order("1", dead, 0), order("2", Rejected, 0)),
                Ok(Some("2".into())),
                "the later of two dead ones"
            );
        }
    }

    fn found_id(book: &[Listed]) -> Result<Option<String>, String> {
        found(book).map(|id| id.map(str::to_owned))
    }
}
