use super::*;
use crate::feed::Stamp;
use crate::guard::shadow::Shadow;
use proptest::collection::vec;
use proptest::prelude::{Strategy as Generate, *};

fn tick(text: &str, ts_ms: i64) -> Tick {
    let (price, price_text) = (text.parse().unwrap(), text.to_owned());
    Tick { ts_ms, stamp: Stamp::Market, symbol: "IBM".into(), price, price_text, size: None, id: None }
}

fn texts(range: &Range) -> Vec<&str> {
    range.prices().map(|(_, text)| text).collect()
}

fn of(path: &[&str]) -> Range {
    let mut range = Range::of(&tick(path[0], 1));
    (2..).zip(&path[1..]).for_each(|(ts_ms, text)| range.add(&tick(text, ts_ms)));
    range
}

#[test]
fn prices_come_in_their_order_and_a_fall_inside_is_kept() {
    let range = of(&["100", "104", "110", "106", "103", "108"]);
    assert_eq!((texts(&range), range.ts_ms), (vec!["100", "110", "103", "108"], 6));
    assert_eq!(texts(&of(&["100", "90", "120"])), ["100", "90", "120"]);
    assert_eq!(texts(&of(&["100", "120", "90"])), ["100", "120", "90"]);
}

#[test]
fn a_repeated_price_adds_nothing_and_the_text_is_the_newest() {
    assert_eq!(texts(&of(&["100", "100.0", "100.00"])), ["100.00"]);
    assert_eq!(texts(&of(&["100", "105", "105", "103", "103", "104"])), ["100", "105", "103", "104"]);
}

#[test]
fn what_was_not_sent_comes_before_what_came_meanwhile() {
    for (older, newer, together) in [
        (&["90"][..], &["99"][..], &["90", "99"][..]),
        (&["100", "110"], &["103", "108"], &["100", "110", "103", "108"]),
        // The cut was no turn.
        (&["100", "110"], &["115", "103"], &["100", "115", "103"]),
        (&["100", "110"], &["110.0", "120"], &["100", "120"]),
        (&["100", "110", "105"], &["101", "102"], &["100", "110", "101", "102"]),
    ] {
        let mut range = of(newer);
        range.ts_ms = 9;
        range.prepend(of(older));
        assert_eq!((texts(&range), range.ts_ms), (together.to_vec(), 9));
    }
}

#[test]
fn one_price_takes_the_room_of_one_and_many_that_of_the_bound() {
    let mut range = of(&["100"]);
    assert_eq!(range.points.capacity(), 1);
    for step in 0..1_000 {
        range.add(&tick(["1", "2", "3", "1", "4"][step % 5], 1));
    }
    assert!(range.points.len() <= POINTS_MAX && range.points.capacity() <= POINTS_MAX);
}

#[test]
fn the_smallest_swing_goes_first() {
    let path = ["50", "60", "40", "61", "39", "62", "55", "56", "38", "63", "37", "64", "36", "65", "35", "66"];
    let mut range = of(&path);
    assert_eq!(texts(&range), path);
    range.add(&tick("34", 17));
    let kept = path.iter().filter(|text| !["55", "56"].contains(text)).chain([&"34"]);
    assert_eq!(texts(&range), kept.copied().collect::<Vec<_>>());
}

#[test]
fn the_largest_percentage_is_kept_beside_the_largest_amounts() {
    // A half and a doubling at the bottom; amounts ten times as large at the top.
    let bottom = ["11", "10", "21", "11", "13"];
    let top = (0..40).map(|step| (if step % 2 == 0 { 1_000 + step } else { 900 - step }).to_string());
    let path: Vec<String> = bottom.map(str::to_owned).into_iter().chain(top).collect();
    let range = of(&path.iter().map(String::as_str).collect::<Vec<_>>());
    let kept = texts(&range);
    for needed in ["21", "11", "10", "1038", "861"] {
        assert!(kept.contains(&needed), "{needed} is not in {kept:?}");
    }
}

/// Units of a price. Steps near each other, and prices so far apart that amounts and percentages disagree.
fn units() -> impl Generate<Value = i64> {
    prop_oneof![4 => 1..40_i64, 2 => 1_000..1_100_i64, 2 => 1..2_000_i64, 1 => 1..9_000_000_000_000_000_000_i64]
}

/// A path of prices.
fn path() -> impl Generate<Value = Vec<i64>> {
    let walk = vec(-9..10_i64, 1..300).prop_map(|steps| {
        let sum = |price: &mut i64, step: i64| {
            *price = (*price + step).max(1);
            Some(*price)
        };
        steps.into_iter().scan(100, sum).collect()
    });
    // Swings that only grow, and that only shrink: none lies inside its neighbours.
    let spiral = (2..60_i64, any::<bool>()).prop_map(|(turns, grows)| {
        let swing = |turn| if grows { turn } else { turns - turn };
        (0..turns).map(|turn| 100 + swing(turn) * if turn % 2 == 0 { 1 } else { -1 }).collect()
    });
    prop_oneof![3 => vec(units(), 1..80), 2 => walk, 1 => spiral.boxed()]
}

/// What is kept of a path that was cut after every so many ticks, each piece unsent as the next begins. Texts count ticks.
fn keep(path: &[i64], piece: usize) -> Range {
    let mut ticks = path.iter().enumerate().map(|(number, units)| Tick {
        price: Price::from_units(*units),
        price_text: number.to_string(),
        ..tick("1", number as i64)
    });
    let mut whole: Option<Range> = None;
    while let Some(first) = ticks.next() {
        let mut newer = Range::of(&first);
        ticks.by_ref().take(piece).for_each(|tick| newer.add(&tick));
        if let Some(older) = whole.take() {
            newer.prepend(older);
        }
        whole = Some(newer);
    }
    whole.unwrap()
}

fn kept(range: &Range) -> Vec<i64> {
    range.prices().map(|(price, _)| price.units()).collect()
}

/// First price, turns and last price, the plain way.
fn turning_points(path: &[i64]) -> Vec<i64> {
    let mut path = path.to_vec();
    path.dedup();
    let turns = path.windows(3).filter(|three| (three[0] < three[1]) != (three[1] < three[2])).map(|three| three[1]);
    let last = path.last().filter(|_| path.len() > 1).copied();
    path.first().copied().into_iter().chain(turns).chain(last).collect()
}

/// Largest fall and rise, by amount, and as fractions of the price where they begin.
fn moves(path: &[i64]) -> ([i128; 2], [(i128, i128); 2]) {
    let (mut amounts, mut fractions) = ([0; 2], [(0, 1); 2]);
    for (at, from) in path.iter().enumerate() {
        for to in &path[at..] {
            let by = i128::from(*to) - i128::from(*from);
            let (which, by) = (usize::from(by > 0), by.abs());
            amounts[which] = by.max(amounts[which]);
            if by * fractions[which].1 > fractions[which].0 * i128::from(*from) {
                fractions[which] = (by, i128::from(*from));
            }
        }
    }
    (amounts, fractions)
}

/// 100 percent, in units.
const WHOLE: i128 = 10_000_000_000;

type Rule = (Side, Vec<(&'static str, String)>);

/// What strategies may have said, each just as far away as the path reaches, or a unit further.
fn rules(path: &[i64], best: i64) -> Vec<Rule> {
    let (low, high) = (i128::from(*path.iter().min().unwrap()), i128::from(*path.iter().max().unwrap()));
    let (amounts, fractions) = moves(path);
    let best = i128::from(best);
    let sides = [(Side::Long, low, high, best - low), (Side::Short, -high, -low, high - best)];
    let percents = fractions.map(|(by, of)| by * WHOLE / of);
    let mut rules: Vec<Rule> = Vec::new();
    for ((side, worst, win, behind), (amount, percent)) in sides.into_iter().zip(amounts.into_iter().zip(percents)) {
        let text = |units: i128| Price::from_units(units as i64).to_string();
        for more in [0, 1] {
            let (stop, target, best) = ((worst - more).abs(), (win + more).abs(), text(best));
            let all = [
                (stop, vec![("stop_loss", text(stop))]),
                (target, vec![("take_profit", text(target))]),
                (amount + more, vec![("trail", text(amount + more))]),
                (behind + more, vec![("trail", text(behind + more)), ("trail_ref", best)]),
                (percent + more, vec![("trail", format!("{}%", text(percent + more)))]),
            ];
            // None is nothing, and no percentage is the whole.
            let valid = |units: i128, rule: &[(_, String)]| units > 0 && (units < WHOLE || !rule[0].1.ends_with('%'));
            rules.extend(all.into_iter().filter(|(units, rule)| valid(*units, rule)).map(|(_, rule)| (side, rule)));
        }
    }
    rules
}

/// Which of the rules a path fires.
fn exits(rules: &[Rule], prices: &[i64]) -> Vec<String> {
    let mut shadow = Shadow::default();
    for (number, (side, rule)) in rules.iter().enumerate() {
        let position = strat_core::Position::opened(*side).as_str();
        let base = [("symbol", "IBM"), ("quantity", "10"), ("side", side.as_str()), ("position", position)];
        let fields = base.into_iter().chain([("trail_from", "1")]).map(|(name, value)| (name, value.to_owned()));
        let key = format!("user:a:strategy:s{number}");
        let hash = strat_client::Strategy::new(key.clone(), fields.chain(rule.iter().cloned()));
        shadow.put_hash(&key, Some(&hash));
    }
    assert_eq!((shadow.stats().invalid, shadow.stats().strategies), (0, rules.len()), "{rules:?}");
    let mut fired = Vec::new();
    for units in prices {
        let price = Price::from_units(*units);
        shadow.cross("IBM", (price, &price.to_string()), 1, &mut fired);
    }
    let mut keys: Vec<_> = fired.into_iter().map(|exit| exit.key).collect();
    keys.sort();
    keys
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn low_high_last_and_the_largest_moves_are_those_of_the_path(path in path(), piece in 0..90_usize) {
        let range = keep(&path, piece);
        let points = kept(&range);
        prop_assert!(points.len() <= POINTS_MAX && range.points.capacity() <= POINTS_MAX);
        prop_assert_eq!(&points, &turning_points(&points), "each point turns");
        prop_assert_eq!((points.iter().min(), points.iter().max()), (path.iter().min(), path.iter().max()));
        prop_assert_eq!((points.last(), range.ts_ms), (path.last(), path.len() as i64 - 1));
        let ((amounts, fractions), (all, all_fractions)) = (moves(&points), moves(&path));
        prop_assert_eq!(amounts, all);
        for ((by, of), (all_by, all_of)) in fractions.into_iter().zip(all_fractions) {
            prop_assert_eq!(by * all_of, all_by * of, "{:?}", points);
        }
    }

    #[test]
    fn points_are_ticks_of_the_path_by_time(path in path(), piece in 0..90_usize) {
        let range = keep(&path, piece);
        let numbers: Vec<usize> = range.prices().map(|(_, text)| text.parse().unwrap()).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{:?}", numbers);
        prop_assert_eq!(numbers.iter().map(|number| path[*number]).collect::<Vec<_>>(), kept(&range));
        prop_assert_eq!(numbers.last(), Some(&(path.len() - 1)));
    }

    #[test]
    fn while_they_fit_the_points_are_all_that_turn(path in vec(units(), 1..60), piece in 0..90_usize) {
        let mut path = path;
        while turning_points(&path).len() > POINTS_MAX {
            path.pop();
        }
        prop_assert_eq!(kept(&keep(&path, piece)), turning_points(&path));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_the_path_fires_its_points_fire(path in path(), piece in 0..90_usize, best in 1..2_000_i64) {
        let rules = rules(&path, best);
        let all = exits(&rules, &path);
        // Its lowest and highest price are stops and targets.
        prop_assert!(all.len() >= 4 && all.len() < rules.len(), "{:?} of {:?}", all, rules);
        prop_assert_eq!(exits(&rules, &kept(&keep(&path, piece))), all, "{:?}", rules);
    }
}
