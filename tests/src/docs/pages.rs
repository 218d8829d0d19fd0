//! Pages that are made from the code. `make docs` (`STRAT_WRITE_DOCS=1`) writes them; without it a page that is not up to
//! date fails, so that nobody documents by hand what the code says otherwise.

use super::{cli, commands, configuration};
use crate::servers::paths;
use std::path::Path;

/// Put at the top of each.
pub(super) const NOTE: &str = "<!-- Made from the code by `make docs`; change it there. -->\n";

/// Every page and its text.
fn all() -> Vec<(String, String)> {
    let mut pages = commands::pages();
    pages.push(("docs/configuration.md".to_owned(), configuration::settings()));
    pages.push(("docs/cli.md".to_owned(), cli::page()));
    pages.push(("docs/fields.md".to_owned(), configuration::fields()));
    pages
}

/// Where two texts part, for a message.
fn first_difference(committed: &str, made: &str) -> String {
    let mut lines = committed.lines().zip(made.lines()).enumerate();
    match lines.find(|(_, (committed, made))| committed != made) {
        Some((at, (committed, made))) => format!("line {}:\n  it says  {committed}\n  the code {made}", at + 1),
        None => format!("{} lines, the code makes {}", committed.lines().count(), made.lines().count()),
    }
}

#[test]
fn pages_made_from_the_code_are_up_to_date() {
    let root = paths::root();
    let writes = std::env::var("STRAT_WRITE_DOCS").is_ok_and(|value| value == "1");
    let mut stale = Vec::new();
    for (name, made) in all() {
        let path = root.join(&name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        if committed == made {
            continue;
        }
        if writes {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, made).unwrap();
        } else {
            stale.push(format!("{name}, {}", first_difference(&committed, &made)));
        }
    }
    assert!(stale.is_empty(), "not up to date; run: make docs, and commit what it wrote\n{}", stale.join("\n"));
}

#[test]
fn no_page_of_a_command_that_is_gone_is_left() {
    let made: Vec<_> = all().into_iter().map(|(name, _)| name).collect();
    let folder = paths::root().join("docs/commands");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = Path::new("docs/commands").join(entry.unwrap().file_name()).display().to_string();
        assert!(made.contains(&name), "{name} is made by nothing: delete it");
    }
}
