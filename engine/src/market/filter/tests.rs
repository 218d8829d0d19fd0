use super::*;
use crate::feed::TradeId;
use crate::market::range::Range;
use crate::market::stamps::REMEMBERED;
use proptest::collection::vec;
use proptest::prelude::*;

const NOW_MS: i64 = 1_760_000_000_000;
const AHEAD: Duration = Duration::from_secs(10);

fn settings(max_jump_percent: u32) -> FilterSettings {
    FilterSettings { max_jump_percent, max_ahead: AHEAD }
}

fn live(max_jump_percent: u32) -> Filter {
    let mut filter = Filter::new(settings(max_jump_percent));
    filter.set_live(true);
    filter
}

fn now() -> Moment {
    Moment { at: Instant::now(), ms: NOW_MS }
}

/// A tick so many ms from now.
fn at(after_ms: i64, text: &str, id: Option<u64>) -> Tick {
    Tick {
        ts_ms: NOW_MS + after_ms,
        stamp: Stamp::Market,
        symbol: "IBM".into(),
        price: text.parse().unwrap(),
        price_text: text.to_owned(),
        size: None,
        id: id.map(TradeId::of_number),
    }
}

fn unstamped(text: &str) -> Tick {
    Tick { stamp: Stamp::Arrival, ..at(0, text, None) }
}

/// What is passed on, as prices, what is for candles alone behind a `+`; and the refusals by their labels.
fn judge(filter: &mut Filter, ticks: impl IntoIterator<Item = Tick>) -> (String, String) {
    let mut all = Vec::new();
    for tick in ticks {
        let Passed { ticks: (first, second), aside } = filter.pass(tick, now());
        all.extend(first.into_iter().chain(second).map(|tick| tick.price_text));
        all.extend(aside.map(|tick| format!("+{}", tick.price_text)));
    }
    let count = |why: &Refusal| Some((filter.refused().of(*why), why.as_str())).filter(|(count, _)| *count > 0);
    let refused: Vec<_> = Refusal::ALL.iter().filter_map(count).map(|(count, why)| format!("{count} {why}")).collect();
    (all.join(" "), refused.join(", "))
}

fn prices(percent: u32, prices: &[&str]) -> (String, String) {
    // Of a file, whose stamps say nothing about now.
    judge(&mut Filter::new(settings(percent)), prices.iter().map(|text| at(-1_000_000_000, text, None)))
}

#[test]
fn a_jump_is_believed_once_the_next_tick_confirms_it() {
    for (ticks, believed, refused) in [
        (&["100", "101", "99"][..], "100 101 99", ""),
        (&["100", "1", "100"], "100 100", "1 jump"),
        (&["100", "1", "1.05", "1"], "100 1 1.05 1", ""),
        (&["100", "110"], "100 110", ""),
        (&["100", "110.00000001"], "100", ""),
        (&["100", "89.99", "90"], "100 89.99 90", ""),
        // Two jumps that do not confirm each other.
        (&["100", "50", "200", "100"], "100 100", "2 jump"),
        (&["100", "50", "200", "201"], "100 200 201", "1 jump"),
    ] {
        assert_eq!(prices(10, ticks), (believed.to_owned(), refused.to_owned()), "{ticks:?}");
    }
}

#[test]
fn without_a_limit_everything_above_0_is_believed() {
    let said = prices(0, &["100", "0.00000001", "0", "-5", "90000000"]);
    assert_eq!(said, ("100 0.00000001 90000000".to_owned(), "2 price".to_owned()));
}

#[test]
fn a_price_of_0_neither_confirms_nor_counts_as_heard() {
    assert_eq!(prices(10, &["0", "100", "50", "0", "49"]), ("100 50 49".to_owned(), "2 price".to_owned()));
    assert_eq!(Filter::new(settings(0)).heard("IBM"), None);
}

#[test]
fn each_rule_of_stamps() {
    let (one, two) = (Some(1), Some(2));
    let cases: [(&str, Vec<Tick>, &str, &str); 10] = [
        ("late, which a candle may have", vec![at(0, "100", None), at(-1, "90", None)], "100 +90", "1 late"),
        (
            "several trades of a millisecond",
            vec![at(0, "100", one), at(0, "100", two), at(0, "99", None)],
            "100 100 99",
            "",
        ),
        ("a repeat by its name", vec![at(0, "1", one), at(0, "2", two), at(0, "1", one)], "1 2", "1 duplicate"),
        ("the same without names", vec![at(0, "1", None), at(0, "1", None)], "1 +1", "1 duplicate"),
        (
            "there and back within a millisecond",
            vec![at(0, "1", None), at(0, "2", None), at(0, "1", None)],
            "1 2 1",
            "",
        ),
        ("no stamp", vec![at(0, "1", None), unstamped("2"), unstamped("2"), at(0, "3", None)], "1 2 2 3", ""),
        ("no stamp first", vec![unstamped("2"), at(-9_000, "3", None)], "2 3", ""),
        ("ahead as far as may be", vec![at(10_000, "1", None), at(9_999, "2", None)], "1 +2", "1 late"),
        ("further ahead", vec![at(10_001, "1", None), at(-5, "2", None), at(-4, "3", None)], "2 3", "1 future"),
        ("of long ago, and then in order", vec![at(-1 << 50, "1", None), at(-1 << 49, "2", None)], "1 2", ""),
    ];
    for (what, ticks, passed, refused) in cases {
        assert_eq!(judge(&mut live(0), ticks), (passed.to_owned(), refused.to_owned()), "{what}");
    }
}

#[test]
fn a_file_has_a_clock_of_its_own() {
    let ticks = [at(1 << 40, "1", None), at(0, "2", None), at(0, "2", None)];
    assert_eq!(judge(&mut Filter::new(settings(0)), ticks), ("1 2 2".to_owned(), String::new()));
}

#[test]
fn a_jump_is_confirmed_by_another_trade_and_both_go_on_in_their_order() {
    let cases: [(&str, Vec<Tick>, &str, &str); 5] = [
        ("told twice", vec![at(0, "100", None), at(1, "50", Some(1)), at(1, "50", Some(1))], "100", "1 duplicate"),
        ("another", vec![at(0, "100", None), at(1, "50", Some(1)), at(1, "50", Some(2))], "100 50 50", ""),
        ("an earlier one", vec![at(0, "100", None), at(9, "50", None), at(5, "51", None)], "100 51 50", ""),
        ("a late one does not", vec![at(7, "100", None), at(9, "50", None), at(5, "51", None)], "100", "1 late"),
        (
            "its stamp counts once it is believed",
            vec![at(0, "9", None), at(5, "1", None), at(3, "9", None)],
            "9 9",
            "1 jump",
        ),
    ];
    for (what, ticks, passed, refused) in cases {
        assert_eq!(judge(&mut live(10), ticks), (passed.to_owned(), refused.to_owned()), "{what}");
    }
}

#[test]
fn what_is_kept_away_is_not_heard() {
    let mut filter = live(0);
    let start = Instant::now();
    let mut hear = |seconds, tick| {
        filter.pass(tick, Moment { at: start + Duration::from_secs(seconds), ms: NOW_MS });
        filter.heard("IBM").map(|heard| (heard - start).as_secs())
    };
    assert_eq!(hear(0, at(20_000, "1", None)), None);
    assert_eq!(hear(1, at(0, "1", None)), Some(1));
    // A market that says the same for ever is silent.
    assert_eq!(hear(2, at(0, "1", None)), Some(1));
    assert_eq!(hear(3, at(-1, "1", None)), Some(1));
    assert_eq!(hear(4, unstamped("1")), Some(4));
}

/// The rules again, over everything that was accepted so far.
#[derive(Default)]
struct Model {
    accepted: Vec<Tick>,
}

impl Model {
    fn judge(&mut self, tick: &Tick) -> Option<Refusal> {
        let why = self.refuse(tick);
        if why.is_none() && tick.stamp == Stamp::Market {
            self.accepted.push(tick.clone());
        }
        why
    }

    fn refuse(&self, tick: &Tick) -> Option<Refusal> {
        if tick.price <= Price::ZERO {
            return Some(Refusal::Price);
        }
        if tick.stamp == Stamp::Arrival {
            return None;
        }
        if tick.ts_ms - NOW_MS > 10_000 {
            return Some(Refusal::Future);
        }
        if self.accepted.iter().any(|known| known.ts_ms > tick.ts_ms) {
            return Some(Refusal::Late);
        }
        let same_ms: Vec<_> = self.accepted.iter().filter(|known| known.ts_ms == tick.ts_ms).collect();
        let told = match tick.id {
            Some(_) => {
                same_ms.iter().rev().take(REMEMBERED).any(|known| (known.price, known.id) == (tick.price, tick.id))
            }
            None => same_ms.last().is_some_and(|known| (known.price, known.id) == (tick.price, None)),
        };
        told.then_some(Refusal::Duplicate)
    }
}

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let stamp = prop_oneof![8 => -3..4_i64, 2 => -20_000..20_000_i64];
    let tick =
        (stamp, 0..5_i64, prop::option::of(0..4_u64), prop::bool::weighted(0.9)).prop_map(|(ms, price, id, market)| {
            let stamp = if market { Stamp::Market } else { Stamp::Arrival };
            Tick { stamp, ..at(ms, &price.to_string(), id) }
        });
    vec(tick, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn stamps_are_judged_like_by_somebody_who_remembers_everything(ticks in ticks()) {
        let (mut filter, mut model) = (live(0), Model::default());
        let mut newest_ms = i64::MIN;
        for tick in ticks {
            let before = filter.refused();
            let wanted = model.judge(&tick);
            let passed = filter.pass(tick.clone(), now());
            prop_assert_eq!(passed.ticks.0.is_some(), wanted.is_none(), "{:?}: {:?}", tick, wanted);
            for why in Refusal::ALL {
                let one = u64::from(wanted == Some(why));
                prop_assert_eq!(filter.refused().of(why), before.of(why) + one, "{:?}", why);
            }
            if let Some(passed) = passed.ticks.0.filter(|tick| tick.stamp == Stamp::Market) {
                prop_assert!(passed.ts_ms >= newest_ms, "the last price never goes back");
                newest_ms = passed.ts_ms;
            }
        }
    }

    #[test]
    fn with_a_limit_of_jumps_nothing_is_lost_uncounted_and_stamps_stay_in_order(ticks in ticks(), percent in 0..120_u32) {
        let mut filter = live(percent);
        let (mut passed, mut held) = (Vec::new(), 0);
        let given = ticks.len() as u64;
        for tick in ticks {
            let Passed { ticks: (first, second), aside } = filter.pass(tick, now());
            held = u64::from(filter.symbols.get("IBM").is_some_and(|symbol| symbol.held.is_some()));
            prop_assert!(aside.is_none() || first.is_none());
            passed.extend(first.into_iter().chain(second));
        }
        let refused: u64 = Refusal::ALL.into_iter().map(|why| filter.refused().of(why)).sum();
        prop_assert_eq!(passed.len() as u64 + refused + held, given);
        let stamps: Vec<_> = passed.iter().filter(|tick| tick.stamp == Stamp::Market).map(|tick| tick.ts_ms).collect();
        prop_assert!(stamps.is_sorted(), "{stamps:?}");
    }

    #[test]
    fn what_is_conflated_keeps_the_extremes_of_what_was_accepted_and_no_others(ticks in ticks()) {
        let mut filter = live(0);
        let passed: Vec<_> = ticks.into_iter().filter_map(|tick| filter.pass(tick, now()).ticks.0).collect();
        let Some((first, rest)) = passed.split_first() else { return Ok(()) };
        let mut range = Range::of(first);
        rest.iter().for_each(|tick| range.add(tick));
        let kept: Vec<_> = range.prices().map(|(price, _)| price).collect();
        let all = || passed.iter().map(|tick| tick.price);
        prop_assert_eq!((kept.iter().min().copied(), kept.iter().max().copied()), (all().min(), all().max()));
        prop_assert_eq!(kept.last().copied(), passed.last().map(|tick| tick.price));
    }
}
