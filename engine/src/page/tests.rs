use super::*;
use std::collections::BTreeSet;
use std::path::Path as FilePath;

fn all() -> impl Iterator<Item = &'static File> {
    FILES.iter().chain([&INDEX, &DOCS])
}

/// What a module or the page names as `"./x.js"` or `"/page/x"`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter_map(|word| word.strip_prefix("./").or_else(|| word.strip_prefix("/page/")))
}

#[test]
fn every_file_of_the_folder_is_in_the_program_and_every_name_leads_to_one() {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let there: BTreeSet<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let embedded: BTreeSet<_> = all().map(|file| file.name.into()).collect();
    assert_eq!(there, embedded);
    let mut count = 0;
    for file in all().filter(|file| !file.name.ends_with(".css")) {
        for name in named(file.text) {
            count += 1;
            assert!(FILES.iter().any(|other| other.name == name), "{} names {name}", file.name);
        }
    }
    assert!(count > 20, "the names are found: {count}");
}

#[test]
fn nothing_is_written_that_the_policy_forbids() {
    for file in all() {
        for word in
            ["style=\"", " onclick=", "<style", "innerHTML", "insertAdjacentHTML", "eval(", ".style.", "https://"]
        {
            assert!(!file.text.contains(word), "{} has {word}", file.name);
        }
    }
    for (page, script) in [(INDEX, "main.js"), (DOCS, "docs.js")] {
        let own = format!("<script type=\"module\" src=\"/page/{script}\"></script>");
        assert_eq!((page.text.matches("<script").count(), page.text.matches(&own).count()), (1, 1));
    }
    for word in ["unsafe", "*", "http", "data:"] {
        assert!(!POLICY.contains(word), "{word}");
    }
}

#[test]
fn a_browser_that_has_a_file_is_not_sent_it_again() {
    let first = INDEX.answer(&HeaderMap::new());
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(first.headers()[CONTENT_SECURITY_POLICY], POLICY);
    let mut asked = HeaderMap::new();
    asked.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
    assert_eq!(INDEX.answer(&asked).status(), StatusCode::NOT_MODIFIED);
    asked.insert(IF_NONE_MATCH, "\"other\"".parse().unwrap());
    assert_eq!(INDEX.answer(&asked).status(), StatusCode::OK);
    for file in FILES {
        assert_ne!(file.content_type(), "text/plain; charset=utf-8", "{}", file.name);
    }
}
