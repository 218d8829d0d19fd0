//! What may happen next.

use super::*;
use proptest::prelude::{Just, prop_oneof};
use proptest::strategy::Strategy as Generate;

pub(super) fn step() -> impl Generate<Value = Step> {
    let updates: Vec<Vec<(&str, &str)>> = vec![
        vec![("status", "STOPPED")],
        vec![("status", "STOPPED"), ("on_stop", "LEAVE")],
        vec![("status", "RUNNING")],
        vec![("status", "RUNNING"), ("on_stop", "SQUAREOFF")],
        vec![("stop_loss", "")],
        vec![("take_profit", "104.5"), ("stop_loss", "96")],
        vec![("quantity", "7")],
        vec![("note", "x")],
        vec![("side", "LONG")],
        vec![("cycle", "3")],
        vec![("buy_at", ""), ("sell_at", "")],
    ];
    let ends = vec![ExecType::Canceled, ExecType::Rejected, ExecType::Expired];
    prop_oneof![
        6 => (92_i64..108).prop_map(Step::Tick),
        4 => select(vec![1, 100, 600, 4_000]).prop_map(Step::Wait),
        8 => (0_usize..3).prop_map(Step::Claim),
        2 => (0_usize..3).prop_map(Step::Rude),
        1 => ((1_i64..4), proptest::bool::ANY).prop_map(|(quantity, ends)| Step::Entry(quantity, ends)),
        1 => select(Action::ALL.to_vec()).prop_map(Step::Hand),
        3 => Just(Step::Accept),
        4 => (1_i64..6).prop_map(Step::Part),
        3 => Just(Step::Fill),
        2 => select(ends).prop_map(Step::End),
        1 => (0_i64..10).prop_map(Step::Stale),
        1 => Just(Step::Crash),
        1 => Just(Step::Restore),
        2 => select(updates).prop_map(Step::Update),
        2 => proptest::bool::ANY.prop_map(Step::Again),
    ]
}

/// What may happen next where an exit works beside its entry: mostly fills.
pub(super) fn beside() -> impl Generate<Value = Step> {
    prop_oneof![
        3 => (1_i64..4).prop_map(Step::Part),
        2 => Just(Step::Fill),
        2 => ((1_i64..4), proptest::bool::weighted(0.3)).prop_map(|(quantity, ends)| Step::Entry(quantity, ends)),
        2 => (0_usize..3).prop_map(Step::Rude),
        3 => step(),
    ]
}
