//! The redis-cli transcripts of a page, run line by line on one fresh server and compared as printed.
//!
//! Blocks are fenced as `console`. Commands stand behind `127.0.0.1:6379> ` or, for the shell, behind
//! `$ redis-cli `. What differs from run to run (13-digit times, tokens and stream ids, epochs) is
//! compared by its form, and put into later commands where it is used again. `...` at the end of a
//! line stands for the rest of it; alone on a line, for any lines.

use crate::servers::{Redis, paths};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

const PROMPT: &str = "127.0.0.1:6379> ";
const SHELL: &str = "$ redis-cli ";
/// What stands before commands for redis-cli.
const PROMPTS: &[&str] = &[PROMPT, SHELL];
/// Ends the answer of a command; no README prints it.
const MARKER: &str = "strat-transcript-end";

/// A command and the answer printed below it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: String,
    expected: Vec<String>,
}

impl Step {
    /// The lines of the answer, without empty ones.
    pub(crate) fn expected(&self) -> Vec<String> {
        self.expected.iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }
}

/// The steps of all `console` blocks, each command behind one of these prompts.
pub(crate) fn steps(markdown: &str, prompts: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = prompts.iter().find_map(|prompt| line.strip_prefix(prompt)) {
            steps.push(Step { command: command.to_owned(), expected: Vec::new() });
        } else {
            let step = steps.last_mut().unwrap_or_else(|| panic!("'{line}' stands before any command"));
            step.expected.push(line.to_owned());
        }
    }
    steps
}

/// Whether a word differs from run to run: a time, a token, a stream id, an epoch.
fn varies(word: &str) -> bool {
    let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    match word.split_once('-') {
        Some((ms, n)) => digits(ms, 13) && !n.is_empty() && (n.bytes().all(|byte| byte.is_ascii_digit()) || is_id(n)),
        None => digits(word, 13) || is_id(word),
    }
}

/// Whether it is the random part of an epoch.
fn is_id(word: &str) -> bool {
    word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Words and what stands between them.
fn pieces(line: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces
}

/// Compares an answer with the printed one and learns which varying word stands for which.
pub(crate) fn same(expected: &[String], found: &[String], known: &mut BTreeMap<String, String>) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((any, rest)) if any == "..." => (0..=found.len()).any(|skip| same(rest, &found[skip..], known)),
        Some((line, rest)) => found
            .split_first()
            .is_some_and(|(first, others)| same_line(line, first, known) && same(rest, others, known)),
    }
}

fn same_line(expected: &str, found: &str, known: &mut BTreeMap<String, String>) -> bool {
    let (open, expected) = expected.strip_suffix("...").map_or((false, expected), |start| (true, start));
    let (expected, found) = (pieces(expected), pieces(found));
    if expected.len() > found.len() || (!open && expected.len() != found.len()) {
        return false;
    }
    expected.iter().zip(&found).enumerate().all(|(index, (expected, found))| {
        if varies(expected) && varies(found) {
            known.insert((*expected).to_owned(), (*found).to_owned());
            return true;
        }
        expected == found || (open && index + 1 == expected.len() && found.starts_with(expected))
    })
}

/// Runs one command in the way an interactive redis-cli prints it; `-3 ` in front speaks RESP3.
fn run(redis: &Redis, command: &str) -> Vec<String> {
    let mut cli = Command::new(paths::redis_cli());
    let (protocol, command) = command.strip_prefix("-3 ").map_or(("-2", command), |rest| ("-3", rest));
    cli.args(["--no-raw", protocol]).arg("-s").arg(redis.socket()).env_remove("REDISCLI_AUTH");
    let mut child = cli.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let script = format!("{command}\nECHO {MARKER}\n");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = text.split_once(&format!("\"{MARKER}\"")).unwrap_or_else(|| panic!("{command}: {text}{errors}")).0;
    answer.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Runs the transcripts of a page, and fails where one answers otherwise.
pub(crate) fn check(page: &str, markdown: &str) {
    let redis = Redis::start();
    let mut known = BTreeMap::new();
    for step in &steps(markdown, PROMPTS) {
        let command: String =
            pieces(&step.command).iter().map(|word| known.get(*word).map_or(*word, String::as_str)).collect();
        let found = run(&redis, &command);
        let expected = step.expected();
        assert!(
            same(&expected, &found, &mut known),
            "{page}: {}\nprints\n{}\nbut the answer is\n{}",
            step.command,
            expected.join("\n"),
            found.join("\n"),
        );
    }
}

#[test]
fn the_readmes_transcript_answers_as_printed() {
    let readme = paths::root().join("README.md");
    let markdown = std::fs::read_to_string(&readme).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
    let steps = steps(&markdown, PROMPTS);
    assert!(steps.len() >= 8, "only {} commands in {}", steps.len(), readme.display());
    for verb in ["STRAT.SET", "STRAT.SLCHECK"] {
        assert!(steps.iter().any(|step| step.command.starts_with(verb)), "no {verb} in the README's transcript");
    }
    check("README.md", &markdown);
}

#[test]
fn the_comparison_tells_apart_what_differs() {
    let check = |expected: &str, found: &str| {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        same(&lines(expected), &lines(found), &mut BTreeMap::new())
    };
    assert!(check("(integer) 1", "(integer) 1"));
    assert!(!check("(integer) 1", "(integer) 2"));
    assert!(!check("(integer) 1", "(integer) 1\n(integer) 2"));
    assert!(!check("\"2500.00\"", "\"2500.0\""));
    assert!(check("\"1760000000000-0\"", "\"1795232955228-1\""));
    assert!(!check("\"1760000000000-0\"", "\"1795232955228\"x"));
    assert!(check("\"1760000000000-00112233445566ff\"", "\"1795232955228-db23119358a68a3f\""));
    assert!(check("1) \"a\"\n...", "1) \"a\"\n2) \"b\"\n3) \"c\""));
    assert!(check("(error) BUSY ...", "(error) BUSY the strategy holds"));
    assert!(!check("(error) BUSY ...", "(error) BADFIELD"));
    let parsed = steps(
        "text\n```console\n127.0.0.1:6379> PING\nPONG\n$ redis-cli GET a\n(nil)\n```\nPONG\n```sh\n127.0.0.1:6379> X\n```",
        PROMPTS,
    );
    let commands: Vec<_> = parsed.iter().map(|step| (step.command.as_str(), step.expected.join("|"))).collect();
    assert_eq!(commands, [("PING", "PONG".to_owned()), ("GET a", "(nil)".to_owned())]);
}
