//! Whatever the journal says, the shadow goes on, and a reading puts it right.

use super::*;
use crate::store::hostile::foreign;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_read_anew_counts_and_what_is_gone_leaves_nothing_behind(
        entries in vec(foreign(), 0..12),
        (units, now_ms) in (any::<i64>(), any::<i64>()),
        mend in any::<bool>(),
    ) {
        let (mut shadow, mut fired) = (Shadow::default(), Vec::new());
        for (number, entry) in entries.iter().enumerate() {
            shadow.apply(entry);
            if number % 3 == 2 {
                shadow.cross("IBM", (Price::from_units(units), "1"), now_ms, &mut fired);
                shadow.due(now_ms, &mut fired);
            }
        }
        shadow.forget_marks();
        let held = [("symbol", "IBM"), ("quantity", "10"), ("position", "BOUGHT")];
        let fields = held.into_iter().chain([("stop_loss", "9"), ("version", "3")]);
        let hash = strat_client::Strategy::new("user:a:strategy:s", fields);
        if mend {
            shadow.put_hash("user:a:strategy:s", Some(&hash));
            let mut fresh = Shadow::default();
            fresh.put_hash("user:a:strategy:s", Some(&hash));
            shadow.put_hash("user:a:strategy:t", None);
            prop_assert_eq!((shadow.stats(), shadow.open_symbols()), (fresh.stats(), fresh.open_symbols()));
            let mut exits = Vec::new();
            shadow.cross("IBM", (Price::from_units(1), "0.00000001"), 1, &mut exits);
            prop_assert_eq!(exits.len(), 1, "its stop is watched");
        }
        for key in shadow.keys() {
            shadow.put_hash(&key, None);
        }
        prop_assert_eq!((shadow.stats(), shadow.open_symbols()), (ShadowStats::default(), vec![]));
        prop_assert!(shadow.entries_in_flight(9).is_empty());
    }
}
