//! Settings of any text.

use super::*;
use crate::failure::render;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Write as _;

const SECRET: &str = "hunter2";

/// Values of every kind, and nearly.
fn value() -> impl Strategy<Value = String> {
    let words = [
        "",
        "0",
        "1",
        "10",
        "500",
        "-1",
        "99999999999999999999",
        "true",
        "max",
        "late",
        "sim",
        "bridge",
        "127.0.0.1:0",
        "[::1]:9",
        "h:1",
        "redis://h/",
        "unix:///s",
        "postgres://u@h/d",
        "http://h:1/p/",
        "http://h/?q",
        "A=1,B=2.50",
        "A=1",
        "IBM=5, M&M=0,",
        "info",
        "warn,strat=debug",
        "json",
        "/tmp/x",
        "[{",
        "a=b=c",
    ];
    prop_oneof![6 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,30}", 1 => "[a-z:/@=?&,0-9.\\[\\]-]{0,30}"]
}

fn load(toml: &[u8], values: Vec<(String, String)>) -> Result<Settings> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml).unwrap();
    Settings::load(&Overrides { file: Some(file.path().to_owned()), values }, |_| None).map(|(settings, _)| settings)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_a_setting_takes_it_gives_back(setting in any::<prop::sample::Index>(), value in value()) {
        let setting = setting.get(TABLE);
        let mut settings = Settings::default();
        match (setting.set)(&mut settings, &value) {
            Ok(()) if setting.secret == Secret::Whole => {
                let shown = (setting.get)(&settings);
                prop_assert!(value.is_empty() || !shown.contains(&value), "{} shows {shown}", setting.name);
            }
            Ok(()) => {
                let shown = (setting.get)(&settings);
                prop_assert_eq!((setting.set)(&mut settings, &shown), Ok(()), "{}", setting.name);
                prop_assert_eq!((setting.get)(&settings), shown, "{}", setting.name);
            }
            Err(why) => {
                prop_assert!(!why.is_empty());
                let error = load(b"", vec![(setting.name.to_owned(), value)]).unwrap_err();
                prop_assert!(render(&error).contains(setting.name), "{}", render(&error));
            }
        }
    }

    #[test]
    fn no_file_makes_it_panic_and_complaints_name_the_setting_or_the_file(
        bytes in vec(any::<u8>(), 0..60),
        lines in vec((prop::sample::select(vec!["engine", "feed", "redis", "x"]), "[a-z_]{0,8}|url|seed|symbols", value()), 0..5),
        bare in any::<bool>(),
    ) {
        let text: String = lines
            .iter()
            .map(|(table, name, value)| if bare { format!("{table}.{name} = {value}\n") } else { format!("{table}.{name} = {value:?}\n") })
            .collect();
        for file in [bytes, text.into_bytes()] {
            if let Err(error) = load(&file, Vec::new()) {
                let text = render(&error);
                prop_assert!(text.contains("setting") && text.contains("hint: "), "{text}");
            }
        }
    }

    /// Whatever stands around it: a password is often pasted as it is, with bytes that a URL does not allow.
    #[test]
    fn a_password_is_in_no_message(
        scheme in prop::sample::select(vec!["redis://", "redis+sentinel://", "postgres://", "http://", "https://", "tcp://", ""]),
        user in "[a-z]{0,5}",
        (before, after) in ("[a-z/?#%@:&= ]{0,5}", "[a-z/?#%@:= ]{0,5}"),
        rest in prop::sample::select(vec!["h:1/0", "h/db?x=1", "h1:1,h2:2/main?protocol=resp2", "h", "/tmp/a@b"]),
        in_query in any::<bool>(),
    ) {
        // With two slashes the user would be a scheme, and the password a user.
        let before = if scheme.is_empty() { before.trim_start_matches('/') } else { &before };
        let url = if in_query {
            format!("{scheme}{user}@h/db?sslmode=off&sentinel_password={SECRET}{after}&x={user}")
        } else {
            format!("{scheme}{user}:{before}{SECRET}{after}@{rest}")
        };
        for setting in TABLE.iter().filter(|setting| setting.secret != Secret::No) {
            let shown = match load(b"", vec![(setting.name.to_owned(), url.clone())]) {
                Ok(settings) => (setting.get)(&settings),
                Err(error) => render(&error),
            };
            prop_assert!(!shown.contains(SECRET), "{} {url}: {shown}", setting.name);
        }
    }
}
