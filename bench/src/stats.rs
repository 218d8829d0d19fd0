//! Medians and spreads. Nothing here assumes that a machine is quiet.

use serde::{Deserialize, Serialize};

/// The middle of the values and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Self {
        assert!(!values.is_empty() && values.iter().all(|value| value.is_finite()), "values to compare: {values:?}");
        let sorted = sorted(values);
        Self { median: middle(&sorted), min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The middle value, or the mean of the two in the middle.
fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// The smallest value that `percent` of all values do not exceed.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    assert!(!values.is_empty(), "a percentile needs values");
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(median: f64, min: f64, max: f64) -> Spread {
        Spread { median, min, max }
    }

    #[test]
    fn one_wild_run_moves_the_end_and_not_the_median() {
        assert_eq!(Spread::of(&[2.0]), spread(2.0, 2.0, 2.0));
        assert_eq!(Spread::of(&[1.0, 900.0, 3.0]), spread(3.0, 1.0, 900.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(Spread::of(&[5.0, 1.0, 2.0, 0.001, 3.0]), spread(2.0, 0.001, 5.0));
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<_> = (1..=100).rev().map(f64::from).collect();
        for (percent, expected) in [(0.0, 1.0), (50.0, 50.0), (99.0, 99.0), (99.1, 100.0), (100.0, 100.0)] {
            assert!((percentile(&hundred, percent) - expected).abs() < 1e-9, "{percent}");
        }
        assert!((percentile(&[7.0], 99.0) - 7.0).abs() < 1e-9);
    }

    #[test]
    #[should_panic(expected = "values to compare")]
    fn a_run_without_time_is_not_a_measurement() {
        let _ = Spread::of(&[1.0, f64::INFINITY]);
    }
}
