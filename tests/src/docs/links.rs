//! Links between pages lead to files that are there.

use crate::servers::paths;
use std::path::{Path, PathBuf};

fn markdown_below(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            markdown_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

/// Targets of `[text](target)`, outside of fenced blocks.
fn targets(markdown: &str) -> Vec<&str> {
    let mut inside = false;
    let mut targets = Vec::new();
    for line in markdown.lines() {
        inside ^= line.starts_with("```");
        if inside {
            continue;
        }
        targets.extend(line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target));
    }
    targets
}

/// Every page that people read.
fn pages() -> Vec<PathBuf> {
    let root = paths::root();
    let mut pages = Vec::new();
    markdown_below(&root.join("docs"), &mut pages);
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    pages
}

#[test]
fn links_between_pages_lead_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for target in targets(&text) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            if !page.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(seen > 20, "only {seen} links in {} pages", pages.len());
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// Words behind `make ` in fenced blocks, at the start of a line, and elsewhere between backticks.
fn targets_of_make(markdown: &str) -> Vec<&str> {
    let mut inside = false;
    let mut told = Vec::new();
    for line in markdown.lines() {
        inside ^= line.starts_with("```");
        let parts = line.split('`').enumerate().filter(|(at, _)| inside || at % 2 == 1).map(|(_, part)| part);
        told.extend(parts.filter_map(|part| part.strip_prefix("make ")?.split([' ', ';']).next()));
    }
    told.retain(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    told
}

#[test]
fn what_make_is_told_to_do_it_can() {
    let makefile = std::fs::read_to_string(paths::root().join("Makefile")).unwrap();
    let known: Vec<_> = makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in targets_of_make(&text) {
            assert!(known.contains(&target), "{}: there is no make {target}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen}");
}
