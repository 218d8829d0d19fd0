//! Files of strategies that are nearly right.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn read_bytes(bytes: &[u8], skip_bad: bool) -> Result<StrategiesFile, TableError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.csv");
    std::fs::write(&path, bytes).unwrap();
    read(&path, skip_bad, &Calendars::load(None).unwrap())
}

fn value() -> impl Strategy<Value = String> {
    let words = [
        "",
        "alice",
        "s1",
        "IBM",
        "LONG",
        "SHORT",
        "10",
        "0",
        "-1",
        "1e5",
        "09:30",
        "24:00",
        "09:30:00",
        "15:00",
        "UTC",
        "America/New_York",
        "../../etc/passwd",
        "/etc/localtime",
        "XNYS",
        "99.50",
        "5%",
        "9223372036854775807",
        "RUNNING",
        "LEAVE",
    ];
    prop_oneof![6 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,20}"]
}

/// A line with what is needed, now and then something else.
fn line() -> impl Strategy<Value = Vec<String>> {
    let sound = |right: &'static str| prop_oneof![9 => Just(right.to_owned()), 1 => value()];
    let id = prop_oneof![9 => "[a-c]", 1 => value()];
    let head = (id.clone(), id, sound("IBM"), sound("LONG"), sound("10"), sound("09:30"), sound("15:00"), sound("UTC"));
    (head, vec(value(), 2)).prop_map(|((user, strategy, symbol, side, quantity, buy, sell, zone), more)| {
        [vec![user, strategy, symbol, side, quantity, buy, sell, zone], more].concat()
    })
}

fn file(extra: [&str; 2], lines: &[Vec<String>]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(REQUIRED.iter().chain(&extra)).unwrap();
    for line in lines {
        writer.write_record(line).unwrap();
    }
    writer.into_inner().unwrap()
}

fn extra() -> impl Strategy<Value = [&'static str; 2]> {
    let columns = ["stop_loss", "take_profit", "calendar", "on_stop", "trail", "note", "square_off_time", "status", ""];
    prop::sample::subsequence(columns.to_vec(), 2).prop_map(|columns| [columns[0], columns[1]])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_taken_is_sound_and_what_is_not_is_named(extra in extra(), lines in vec(line(), 0..6)) {
        let bytes = file(extra, &lines);
        let all = read_bytes(&bytes, true).unwrap();
        prop_assert_eq!(all.lines.len() as u64 + all.skipped, lines.len() as u64);
        let keys: BTreeSet<_> = all.lines.iter().map(StrategyLine::key).collect();
        prop_assert_eq!(keys.len(), all.lines.len(), "each once");
        for line in &all.lines {
            prop_assert!(StrategyKey::parse(&line.key()).is_some());
            prop_assert!(line.fields.iter().all(|(name, text)| field::check(name.as_bytes(), text.as_bytes()).is_ok()));
            let get = |name: &str| Some(line.text(name)).filter(|text| !text.is_empty()).map(str::as_bytes);
            prop_assert!(strat_core::Strategy::read(get).is_ok(), "{:?}", line);
        }
        match read_bytes(&bytes, false) {
            Ok(strict) => prop_assert_eq!(strict.lines, all.lines),
            Err(error) => {
                let text = error.to_string();
                let column = REQUIRED.iter().chain(&extra).any(|name| text.contains(&format!("column {name}: ")));
                prop_assert!(all.skipped > 0 && text.contains("s.csv, line ") && column, "{text}");
                prop_assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..120), rest in vec(any::<u8>(), 0..120)) {
        for bytes in [bytes, [file(["note", "stop_loss"], &[]), rest].concat()] {
            let _ = read_bytes(&bytes, true);
        }
    }

    #[test]
    fn a_strategy_that_is_written_is_read_back(
        (user, strategy) in ("[A-Za-z0-9_.@-]{1,20}", "[A-Za-z0-9_.@-]{1,20}"),
        side in prop::sample::select(vec!["LONG", "SHORT"]),
        quantity in 1..1_000_000u32,
        (hour, minute) in (0..12u8, 0..60u8),
        stop_loss in prop::option::of(1..1_000_000u32),
        note in "[!-~\u{e9}][ -~\u{e9}]{0,10}[!-~\u{e9}]",
    ) {
        let stop_loss = stop_loss.map_or_else(String::new, |units| format!("{}.{:02}", units / 100, units % 100));
        let (buy, sell) = (format!("{hour:02}:{minute:02}"), format!("{:02}:{minute:02}:59", hour + 12));
        let quantity = quantity.to_string();
        let line = [&*user, &*strategy, "M&M", side, &*quantity, &*buy, &*sell, "Asia/Kolkata", &*note, &*stop_loss];
        let line = line.map(str::to_owned);
        let read = read_bytes(&file(["note", "stop_loss"], &[line.to_vec()]), false);
        let read = read.map_err(|why| TestCaseError::fail(why.to_string()))?.lines.remove(0);
        prop_assert_eq!((&read.user, &read.strategy), (&user, &strategy));
        for (name, text) in REQUIRED.iter().chain(&["note", "stop_loss"]).zip(line).skip(2) {
            prop_assert_eq!(read.text(name), text, "{}", name);
        }
    }
}
