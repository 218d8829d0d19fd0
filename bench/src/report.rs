//! What was measured: rows with their goals, as JSON, as text and as Markdown.

use crate::load::Compared;
use crate::stats::Spread;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What a figure must reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    /// By how many times the goal is met; below 1 it is missed.
    pub(crate) fn margin(self, value: f64) -> f64 {
        match self {
            Self::AtLeast(least) => value / least,
            Self::AtMost(most) => most / value,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", short(least)),
            Self::AtMost(most) => format!("≤ {}", short(most)),
        }
    }
}

/// One figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Stable name, also in the baseline.
    pub(crate) id: String,
    pub(crate) what: String,
    /// `x` for a ratio.
    pub(crate) unit: String,
    /// None: for orientation, or not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
    /// None: not measured, see the note.
    pub(crate) value: Option<Spread>,
    /// The same by CPU time of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<Spread>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) note: String,
}

impl Row {
    /// A ratio of paired runs.
    pub(crate) fn ratio(id: &str, what: &str, goal: Option<f64>, compared: Compared) -> Self {
        let row = Self::figure(id, what, "x", goal.map(Goal::AtLeast), compared.wall);
        Self { cpu: Some(compared.cpu), ..row }
    }

    /// Any other figure.
    pub(crate) fn figure(id: &str, what: &str, unit: &str, goal: Option<Goal>, value: Spread) -> Self {
        let (id, what, unit) = (id.to_owned(), what.to_owned(), unit.to_owned());
        Self { id, what, unit, goal, value: Some(value), cpu: None, note: String::new() }
    }

    /// What could not be measured here, and why.
    pub(crate) fn missing(id: &str, what: &str, goal: Goal, why: &str) -> Self {
        let (id, what, note) = (id.to_owned(), what.to_owned(), why.to_owned());
        Self { id, what, unit: "x".to_owned(), goal: Some(goal), value: None, cpu: None, note }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match (self.value, self.goal) {
            (None, _) => "not measured",
            (_, None) => "",
            (Some(value), Some(goal)) if goal.met(value.median) => "reached",
            _ => "MISSED",
        }
    }
}

/// Everything of one run of the harness.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) scale: String,
    pub(crate) machine: String,
    pub(crate) rows: Vec<Row>,
    /// Instructions of core's hot paths.
    pub(crate) instructions: std::collections::BTreeMap<String, u64>,
}

impl Report {
    /// Adds a row, and shows it at once: a run is long.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!(
            "  {:18} {:>10}  {} {}",
            row.id,
            row.value.map_or("-".to_owned(), |v| short(v.median)),
            row.verdict(),
            row.note
        );
        self.rows.push(row);
    }

    /// A table in Markdown; lined up, so that it reads as text too. `baseline` gives a row's last accepted median.
    pub(crate) fn table(&self, baseline: impl Fn(&Row) -> Option<f64>) -> String {
        let head = ["figure", "goal", "median", "min..max", "by CPU time", "accepted", ""].map(str::to_owned);
        let mut lines = vec![head];
        for row in &self.rows {
            let range = |spread: Spread| format!("{}..{}", short(spread.min), short(spread.max));
            let unit = if row.unit == "x" { "" } else { &row.unit };
            lines.push([
                row.what.clone(),
                row.goal.map_or_else(String::new, Goal::text),
                row.value
                    .map_or("-".to_owned(), |value| format!("{} {unit}", short(value.median)).trim_end().to_owned()),
                row.value.map_or_else(String::new, range),
                row.cpu.map_or_else(String::new, |cpu| short(cpu.median)),
                baseline(row).map_or_else(String::new, short),
                [row.verdict(), &row.note].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": "),
            ]);
        }
        lined_up(&lines)
    }
}

fn lined_up<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            widths.iter().for_each(|width| text.push_str(&format!("|-{}-", "-".repeat(*width))));
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits that mean something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal, median: f64) -> Row {
        Row::figure("a", "what it is", "x", Some(goal), Spread { median, min: 0.5, max: 2.0 })
    }

    #[test]
    fn a_goal_is_met_from_its_side() {
        for (goal, median, verdict) in [
            (Goal::AtLeast(1.1), 1.1, "reached"),
            (Goal::AtLeast(1.1), 1.09, "MISSED"),
            (Goal::AtMost(3.0), 3.0, "reached"),
            (Goal::AtMost(3.0), 3.1, "MISSED"),
        ] {
            assert_eq!(row(goal, median).verdict(), verdict, "{goal:?} {median}");
        }
        assert_eq!(Row::missing("a", "b", Goal::AtMost(1.0), "no data").verdict(), "not measured");
        assert!((Goal::AtMost(3.0).margin(1.5) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_report_reads_back_from_its_json() {
        let mut report = Report { scale: "quick".to_owned(), ..Report::default() };
        report.rows = vec![row(Goal::AtLeast(1.1), 1.5), Row::missing("b", "c", Goal::AtMost(1.0), "no data")];
        let text = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(read.rows[0].goal, Some(Goal::AtLeast(1.1)));
    }

    #[test]
    fn every_line_of_the_table_is_as_wide_as_the_others() {
        let report =
            Report { rows: vec![row(Goal::AtLeast(1.1), 1.5), row(Goal::AtMost(1e6), 123_456.0)], ..Report::default() };
        let table = report.table(|_| Some(1.0));
        let widths: Vec<_> = table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() == 4 && widths.iter().all(|width| *width == widths[0]), "{table}");
    }
}
