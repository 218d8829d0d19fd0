//! The plot: how many times each goal is met, on a logarithmic axis, with the spread of the runs.

use crate::report::{Report, Row, short};
use std::fmt::Write as _;

const LEFT: f64 = 420.0;
const WIDTH: f64 = 520.0;
const LINE: f64 = 24.0;
const TOP: f64 = 56.0;
/// Ends of the axis: a tenth and a hundred times the goal.
const ENDS: (f64, f64) = (0.1, 100.0);

/// An SVG of every row that has a goal.
pub(crate) fn svg(report: &Report) -> String {
    let rows: Vec<_> = report.rows.iter().filter(|row| row.goal.is_some()).collect();
    let height = TOP + LINE * rows.len() as f64 + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-weight=\"bold\">strat: figure against goal ({})</text>\n",
        LEFT + WIDTH + 20.0,
        escape(&format!("{}, {}", report.scale, report.machine))
    );
    for (at, label) in [(0.1, "0.1"), (1.0, "goal"), (10.0, "10 ×"), (100.0, "100 ×")] {
        let (x, colour) = (place(at), if (at - 1.0).abs() < 1e-9 { "#333" } else { "#ccc" });
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{height:.0}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#555\">{label}</text>",
            TOP - 8.0
        );
    }
    rows.iter().enumerate().for_each(|(number, row)| svg.push_str(&bar(row, TOP + LINE * number as f64)));
    svg + "</svg>\n"
}

fn bar(row: &Row, y: f64) -> String {
    let label =
        format!("<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>", LEFT - 8.0, y + 16.0, escape(&row.what));
    let (Some(value), Some(goal)) = (row.value, row.goal) else {
        return format!("{label}<text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#888\">not measured</text>\n", y + 16.0);
    };
    let margin = |figure: f64| place(goal.margin(figure));
    let (from, to) = (place(1.0).min(margin(value.median)), place(1.0).max(margin(value.median)));
    let colour = if row.verdict() == "reached" { "#3a7d44" } else { "#b3392f" };
    let (low, high) = (margin(value.min).min(margin(value.max)), margin(value.min).max(margin(value.max)));
    format!(
        "{label}<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" fill=\"{colour}\"/>\
         <line x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"black\"/>\
         <text x=\"{:.1}\" y=\"{:.0}\">{}</text>\n",
        y + 5.0,
        (to - from).max(1.0),
        y + 12.0,
        y + 12.0,
        to.max(high) + 5.0,
        y + 16.0,
        escape(&format!("{} {}", short(value.median), if row.unit == "x" { "×" } else { &row.unit }))
    )
}

/// Place of a margin on the axis; what lies outside stands at its end.
fn place(margin: f64) -> f64 {
    let (low, high) = (ENDS.0.ln(), ENDS.1.ln());
    let share = (margin.max(1e-9).ln().clamp(low, high) - low) / (high - low);
    LEFT + share * (WIDTH - 70.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Goal;
    use crate::stats::Spread;

    #[test]
    fn the_plot_shows_every_goal_and_nothing_of_markup() {
        let value = Spread { median: 1.2, min: 0.9, max: 1e12 };
        let rows = vec![
            Row::figure("a", "a <b> & c", "ms", Some(Goal::AtMost(3.0)), value),
            Row::missing("d", "absent", Goal::AtLeast(1.0), "why"),
            Row::figure("e", "no goal", "x", None, value),
        ];
        let svg = svg(&Report { rows, ..Report::default() });
        assert!(svg.contains("a &lt;b&gt; &amp; c") && svg.contains("1.20 ms") && svg.contains("not measured"));
        assert!(!svg.contains("no goal") && !svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }

    #[test]
    fn the_goal_stands_between_worse_and_better() {
        assert!(place(0.5) < place(1.0) && place(1.0) < place(2.0) && place(1e9) < LEFT + WIDTH);
    }
}
