//! Excerpts in the cookbook are what stands in the scripts, which other tests run; transcripts answer as printed.

use crate::servers::paths;
use crate::transcript;

/// Fenced blocks with the file named in a comment before each, if one is.
fn excerpts(markdown: &str) -> Vec<(Option<&str>, String)> {
    let (mut found, mut source, mut block) = (Vec::new(), None, None::<String>);
    for line in markdown.lines() {
        if line.starts_with("```") {
            match block.take() {
                Some(text) => found.push((source.take(), text)),
                None => block = Some(String::new()),
            }
        } else if let Some(text) = &mut block {
            text.push_str(line);
            text.push('\n');
        } else if let Some(name) = line.strip_prefix("<!-- examples/").and_then(|rest| rest.strip_suffix(" -->")) {
            source = Some(name);
        }
    }
    found
}

#[test]
fn excerpts_stand_in_the_scripts_that_run() {
    for (page, least) in [("python.md", 7), ("node.md", 5), ("shell.md", 3)] {
        let markdown = std::fs::read_to_string(paths::root().join("docs/cookbook").join(page)).unwrap();
        let mut seen = 0;
        for (source, text) in excerpts(&markdown) {
            let Some(source) = source else { continue };
            let script = std::fs::read_to_string(paths::root().join("examples").join(source)).unwrap();
            assert!(script.contains(&text), "{page}: this is not in examples/{source}:\n{text}");
            seen += 1;
        }
        assert!(seen >= least, "{page}: only {seen} excerpts");
        transcript::check(page, &markdown);
    }
}
