//! Figures of the comparison are those of the measurements.

use crate::servers::paths;

#[test]
fn each_figure_of_the_comparison_was_measured() {
    let read = |name: &str| std::fs::read_to_string(paths::root().join("docs").join(name)).unwrap();
    let (comparison, benchmarks) = (read("comparison-lua.md"), read("benchmarks.md"));
    let is_figure = |word: &&str| word.contains('.') && word.parse::<f64>().is_ok();
    // Versions of servers are no measurements.
    let figures: Vec<_> = comparison
        .lines()
        .filter(|line| !line.contains("Redis 7.0"))
        .flat_map(|line| line.split(|c: char| !c.is_ascii_digit() && c != '.'))
        .map(|word| word.trim_matches('.'))
        .filter(is_figure)
        .collect();
    assert!(figures.len() >= 9, "{figures:?}");
    for figure in figures {
        assert!(benchmarks.contains(figure), "{figure} is not in docs/benchmarks.md");
    }
}
