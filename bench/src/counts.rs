//! Instruction counts of core's hot paths, by callgrind: the same on a busy machine as on an idle one.

use std::collections::BTreeMap;
use std::process::Command;
use strat_harness::servers::paths::in_path;

/// Instructions of each case of `hot.rs`; empty, and said so, where valgrind is missing.
pub(crate) fn measure(strategies: usize) -> BTreeMap<String, u64> {
    let Some(valgrind) = in_path("valgrind") else {
        eprintln!("  instructions: SKIPPED, valgrind is missing (scripts/setup.sh bench)");
        return BTreeMap::new();
    };
    let dir = strat_harness::servers::process::temp_dir();
    let file = dir.path().join("counts");
    let out = format!("--callgrind-out-file={}", file.display());
    let mut command = Command::new(valgrind);
    // Only what runs between the call and the return of a case is counted.
    command.args(["--tool=callgrind", &out, "--toggle-collect=*hot::case_*"]);
    command.arg(std::env::current_exe().unwrap()).args(["--hot", &strategies.to_string()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let counts = parse(&std::fs::read_to_string(&file).unwrap());
    assert!(counts.len() >= 9, "callgrind found only {counts:?}");
    counts.iter().for_each(|(case, count)| eprintln!("  {case:18} {count:>12} instructions"));
    counts
}

/// Instructions of each function `case_*`, with what it called: of callgrind's lines of its own costs and of its calls
/// the last number is the cost.
fn parse(profile: &str) -> BTreeMap<String, u64> {
    let mut names: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let mut case = None;
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=") {
            // `(7) name` where it comes first, `(7)` from then on.
            let (id, name) = function.split_once(' ').map_or((function, None), |(id, name)| (id, Some(name)));
            let known = names.entry(id).or_insert_with(|| name.and_then(case_name));
            case = *known;
        } else if let Some(function) = line.strip_prefix("cfn=") {
            if let Some((id, name)) = function.split_once(' ') {
                names.entry(id).or_insert_with(|| case_name(name));
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
            && let (Some(case), Some(cost)) = (case, line.split(' ').nth(1))
        {
            *counts.entry(case.to_owned()).or_insert(0) += cost.parse::<u64>().unwrap_or(0);
        }
    }
    counts
}

fn case_name(function: &str) -> Option<&str> {
    let name = function.split("hot::case_").nth(1)?;
    name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_counts_its_own_lines_and_its_calls() {
        let profile = "events: Ir\nfn=(1) bench::hot::case_a\n20 5\n+3 2\nfi=(9) lib.rs\n7 1\n\
                       cfn=(2) core::parse\ncalls=3 10\n+1 30\n\nfn=(2)\n10 30\n\nfn=(3) bench::hot::case_b'2\n* 4\nfn=(1)\n20 100\n\
                       totals: 172\n";
        let expected = BTreeMap::from([("a".to_owned(), 138), ("b".to_owned(), 4)]);
        assert_eq!(parse(profile), expected);
    }
}
