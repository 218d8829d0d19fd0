use super::*;
use proptest::prelude::*;

fn reading(used_bytes: u64, evicted_total: u64) -> MemoryReading {
    let max_bytes = Some(1_000);
    MemoryReading { used_bytes, resident_bytes: used_bytes, max_bytes, policy: "noeviction".to_owned(), evicted_total }
}

fn changes(
    watch: &mut MemoryWatch,
    reading: &MemoryReading,
    thresholds: &MemoryThresholds,
) -> Vec<(MemoryKind, Level)> {
    let (next, events) = watch.after(reading, thresholds, 0);
    *watch = next;
    events.into_iter().map(|event| (event.kind, event.to)).collect()
}

#[test]
fn a_level_rises_at_once_and_falls_past_the_margin() {
    let (mut watch, thresholds) = (MemoryWatch::default(), MemoryThresholds::default());
    for (used, expected) in [
        (749, None),
        (750, Some(Level::Warn)),
        (749, None),
        (900, Some(Level::Critical)),
        (860, None),
        (849, Some(Level::Warn)),
        (700, None),
        (699, Some(Level::Normal)),
        (990, Some(Level::Critical)),
        (10, Some(Level::Normal)),
    ] {
        let found = changes(&mut watch, &reading(used, 0), &thresholds);
        assert_eq!(found, Vec::from_iter(expected.map(|level| (MemoryKind::Used, level))), "{used}");
    }
}

#[test]
fn without_a_limit_use_is_not_judged_unless_one_is_given() {
    let unlimited = MemoryReading { max_bytes: None, ..reading(999, 0) };
    let thresholds = MemoryThresholds::default();
    assert!(changes(&mut MemoryWatch::default(), &unlimited, &thresholds).is_empty());
    let given = MemoryThresholds { limit_bytes: Some(1_000), ..thresholds };
    assert_eq!(changes(&mut MemoryWatch::default(), &unlimited, &given), [(MemoryKind::Used, Level::Critical)]);
}

#[test]
fn fragmentation_of_a_small_server_says_nothing() {
    let thresholds = MemoryThresholds::default();
    let small = MemoryReading { resident_bytes: 5_000, max_bytes: None, ..reading(1_000, 0) };
    assert!(changes(&mut MemoryWatch::default(), &small, &thresholds).is_empty());
    let large = MemoryReading { used_bytes: 100 << 20, resident_bytes: 160 << 20, ..small };
    assert_eq!(changes(&mut MemoryWatch::default(), &large, &thresholds), [(MemoryKind::Fragmentation, Level::Warn)]);
}

#[test]
fn evictions_count_from_the_first_reading_and_over_a_restart() {
    let (mut watch, thresholds) = (MemoryWatch::default(), MemoryThresholds::default());
    for (total, expected) in
        [(50, None), (50, None), (53, Some(Level::Warn)), (60, None), (60, Some(Level::Normal)), (2, Some(Level::Warn))]
    {
        let found = changes(&mut watch, &reading(1, total), &thresholds);
        assert_eq!(found, Vec::from_iter(expected.map(|level| (MemoryKind::Evictions, level))), "{total}");
    }
}

#[test]
fn thresholds_in_the_wrong_order_are_refused() {
    let default = MemoryThresholds::default();
    assert!(default.check().is_ok());
    for wrong in [
        MemoryThresholds { used_warn: 90, ..default.clone() },
        MemoryThresholds { used_warn: 5, ..default.clone() },
        MemoryThresholds { fragmentation_critical: 100, ..default.clone() },
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
}

#[test]
fn the_event_has_the_shape_of_all_events() {
    let event = MemoryEvent { kind: MemoryKind::Used, from: Level::Normal, to: Level::Warn, value: 76, at_ms: 0 };
    assert_eq!(
        event.to_json(),
        r#"{"type":"MEMORY_USED","timestamp":"1970-01-01T00:00:00.000Z","strategy_id":"","data":{"from":"NORMAL","to":"WARN","value":76}}"#
    );
}

proptest! {
    #[test]
    fn a_level_never_lies_below_its_value_nor_far_above(values in proptest::collection::vec(0_u64..300, 1..50)) {
        let mut level = Level::Normal;
        for value in values {
            let next = level.next(value, (75, 90), 5);
            prop_assert!(next >= Level::of(value, (75, 90)));
            prop_assert!(next <= Level::of(value + 5, (75, 90)));
            level = next;
        }
    }
}
