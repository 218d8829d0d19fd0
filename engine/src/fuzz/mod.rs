//! What comes over the wires of brokers and feeds, damaged. Each wire's decoder reads mutations of the documented messages:
//! it must not panic, and a price or quantity that it reads must be the one that a second decoder reads from the same bytes.
//!
//! | variable | meaning |
//! |---|---|
//! | `STRAT_FUZZ_SECONDS` | how long, each wire; 1 by default |
//! | `STRAT_FUZZ_SEED` | repeat a run |
//! | `STRAT_FUZZ_INPUT` | a file to read instead: what a failed run wrote |
//!
//! Whatever was found is kept in `tests/corpus/wires`, in files whose names begin with the wire's.

pub(crate) mod decimal;
pub(crate) mod json;
mod mutate;

use crate::clock::{Clock as _, LiveClock};
use mutate::Mutator;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Messages between two looks at the clock.
const ROUND: usize = 64;

/// What became of a message: how many prices it held, all of them right; or what is wrong.
pub(crate) type Verdict = Result<usize, String>;

/// Reads the corpus as it is, which holds prices, and then mutations of it.
pub(crate) fn run(wire: &str, documented: Vec<Vec<u8>>, check: impl Fn(&[u8]) -> Verdict) {
    let judge = |message: &[u8]| {
        let caught = catch_unwind(AssertUnwindSafe(|| check(message)));
        caught.unwrap_or_else(|_| Err("it panics".to_owned()))
    };
    if let Some(file) = std::env::var_os("STRAT_FUZZ_INPUT") {
        let said = judge(&std::fs::read(&file).unwrap());
        return assert!(said.is_ok(), "{said:?}");
    }
    let seed = number("STRAT_FUZZ_SEED").unwrap_or(LiveClock.now_ms().unsigned_abs() % 1_000_000_000);
    let limit = Duration::from_secs(number("STRAT_FUZZ_SECONDS").unwrap_or(1));
    let fail = |message: &[u8], why: &str| fail(wire, seed, message, why);
    for message in &documented {
        match judge(message) {
            Ok(prices) => assert!(prices > 0, "{wire}: no price in {}", String::from_utf8_lossy(message)),
            Err(why) => fail(message, &why),
        }
    }
    let corpus: Vec<_> = documented.into_iter().chain(found(wire)).collect();
    for message in &corpus {
        let _ = judge(message).map_err(|why| fail(message, &why));
    }
    let (mut mutator, started) = (Mutator::new(seed), Instant::now());
    let (mut messages, mut with_prices, mut prices) = (0_u64, 0_u64, 0_usize);
    while started.elapsed() < limit {
        for _ in 0..ROUND {
            let message = mutator.message(&corpus);
            match judge(&message) {
                Ok(held) => {
                    messages += 1;
                    with_prices += u64::from(held > 0);
                    prices += held;
                }
                Err(why) => fail(&message, &why),
            }
        }
    }
    assert!(with_prices > 0 && with_prices < messages, "{wire}: {with_prices} of {messages} have prices");
    let words = format!("fuzz {wire}: seed {seed}, {messages} messages, {with_prices} of them with {prices} prices");
    let _ = writeln!(std::io::stderr().lock(), "\n*** {words} ***");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}: '{text}'")))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What was found on this wire before.
fn found(wire: &str) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(root().join("tests/corpus/wires")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(wire)));
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Writes the message down, so that it can be read again.
fn fail(wire: &str, seed: u64, message: &[u8], why: &str) {
    let folder = root().join("target/fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{wire}-{seed}.bin"));
    std::fs::write(&file, message).unwrap();
    let shown = String::from_utf8_lossy(message);
    panic!(
        "{wire}, seed {seed}: {why}\nread it again with STRAT_FUZZ_INPUT={}\n{shown}\n{message:02x?}",
        file.display()
    );
}
