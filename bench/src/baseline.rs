//! The last accepted figures: `bench/baseline.json`.

use crate::report::{Report, Row};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use strat_harness::servers::paths;

/// Change of an instruction count that fails, in parts of one.
const COUNT_TOLERANCE: f64 = 0.02;
/// Change of a ratio that is worth a look. Ratios of times are not exact, so it fails nothing.
const RATIO_TOLERANCE: f64 = 0.15;

/// Figures by scale and row, and instruction counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// Medians by scale, then row.
    #[serde(default)]
    figures: BTreeMap<String, BTreeMap<String, f64>>,
    /// Instructions by scale, then case.
    #[serde(default)]
    instructions: BTreeMap<String, BTreeMap<String, u64>>,
}

fn path() -> PathBuf {
    paths::root().join("bench/baseline.json")
}

impl Baseline {
    /// What was accepted last; nothing where there is no file.
    pub(crate) fn read() -> Self {
        let Ok(text) = std::fs::read_to_string(path()) else { return Self::default() };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path().display()))
    }

    pub(crate) fn write(&self) {
        std::fs::write(path(), serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
    }

    pub(crate) fn figure(&self, scale: &str, id: &str) -> Option<f64> {
        self.figures.get(scale)?.get(id).copied()
    }

    /// With what was measured in place of what was accepted; what was not measured stays.
    pub(crate) fn accept(mut self, report: &Report) -> Self {
        let rounded = |value: f64| (value * 10_000.0).round() / 10_000.0;
        let figures = report.rows.iter().filter_map(|row| Some((row.id.clone(), rounded(row.value?.median))));
        self.figures.entry(report.scale.clone()).or_default().extend(figures);
        if !report.instructions.is_empty() {
            self.instructions.entry(report.scale.clone()).or_default().extend(report.instructions.clone());
        }
        self
    }

    /// Figures that are worse than accepted, in words, so that somebody looks.
    pub(crate) fn slower(&self, report: &Report) -> Vec<String> {
        let worse = |row: &Row| {
            let (was, now) = (self.figure(&report.scale, &row.id)?, row.value?.median);
            let goal = row.goal?;
            (goal.margin(now) < goal.margin(was) * (1.0 - RATIO_TOLERANCE))
                .then(|| format!("{} is {now:.3}, was {was:.3}", row.id))
        };
        report.rows.iter().filter_map(worse).collect()
    }

    /// Instruction counts that changed, either way: a gain is accepted too, or it is lost again unseen.
    pub(crate) fn changed_counts(&self, report: &Report) -> Vec<String> {
        let Some(accepted) = self.instructions.get(&report.scale) else { return Vec::new() };
        let changed = |(case, now): (&String, &u64)| {
            let was = *accepted.get(case)?;
            let change = (*now as f64 - was as f64) / was.max(1) as f64;
            (change.abs() > COUNT_TOLERANCE).then(|| {
                format!(
                    "instructions of {case}: {now}, accepted {was} ({:+.1} %); if that is meant, make bench-accept",
                    change * 100.0
                )
            })
        };
        report.instructions.iter().filter_map(changed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Goal;
    use crate::stats::Spread;

    fn report(median: f64, instructions: u64) -> Report {
        let value = Spread { median, min: median, max: median };
        let rows = vec![
            Row::figure("at_least", "a", "x", Some(Goal::AtLeast(1.0)), value),
            Row::figure("at_most", "b", "x", Some(Goal::AtMost(1.0)), value),
        ];
        let instructions = BTreeMap::from([("parse".to_owned(), instructions)]);
        Report { scale: "quick".to_owned(), rows, instructions, ..Report::default() }
    }

    #[test]
    fn a_count_may_move_by_two_percent_and_no_more() {
        let baseline = Baseline::default().accept(&report(1.0, 1_000));
        for (count, failures) in [(1_000, 0), (1_020, 0), (980, 0), (1_021, 1), (979, 1)] {
            assert_eq!(baseline.changed_counts(&report(1.0, count)).len(), failures, "{count}");
        }
        let message = &baseline.changed_counts(&report(1.0, 1_100))[0];
        assert!(message.contains("1100") && message.contains("1000") && message.contains("+10.0 %"), "{message}");
        assert!(Baseline::default().changed_counts(&report(1.0, 5)).is_empty(), "nothing accepted yet");
    }

    #[test]
    fn a_ratio_is_told_where_it_got_worse_for_its_goal() {
        let baseline = Baseline::default().accept(&report(1.0, 1));
        assert_eq!(baseline.slower(&report(0.9, 1)), Vec::<String>::new(), "within the noise");
        assert_eq!(baseline.slower(&report(0.8, 1)), ["at_least is 0.800, was 1.000"]);
        assert_eq!(baseline.slower(&report(1.3, 1)), ["at_most is 1.300, was 1.000"]);
    }

    #[test]
    fn accepting_a_part_keeps_the_rest() {
        let baseline = Baseline::default().accept(&report(1.0, 7));
        let part = Report { scale: "quick".to_owned(), ..Report::default() };
        assert_eq!(baseline.clone().accept(&part), baseline);
        let full = Report { scale: "full".to_owned(), ..report(2.0, 9) };
        let both = baseline.accept(&full);
        assert_eq!((both.figure("quick", "at_least"), both.figure("full", "at_least")), (Some(1.0), Some(2.0)));
    }

    #[test]
    fn the_accepted_figures_in_the_repository_are_readable() {
        let _ = Baseline::read();
    }
}
