use super::*;
use crate::failure::render;
use std::io::Write as _;

fn load(toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let values = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let overrides = Overrides { file: Some(file.path().to_owned()), values };
    let env = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
    Settings::load(&overrides, env).map(|(settings, _)| settings)
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let toml =
        "[engine]\nconcurrency = 2\n[paper]\nledger = \"/a\"\nlatency_ms = 5\n[feed]\nsymbols = [\"INFY=1500.5\"]\n";
    let settings =
        load(toml, &[("STRAT_PAPER_LEDGER", "/b"), ("STRAT_ENGINE_CONCURRENCY", "3")], &[("engine.concurrency", "4")])
            .unwrap();
    assert_eq!((settings.concurrency, settings.paper_ledger.as_path()), (4, Path::new("/b")));
    assert_eq!(settings.paper.latency, Duration::from_millis(5));
    assert_eq!(settings.feed.symbols[0].1.to_string(), "1500.5");
}

#[test]
fn an_error_names_setting_source_cause_and_next_step() {
    let message = |toml: &str, env: &[(&str, &str)]| render(&load(toml, env, &[]).unwrap_err());
    let bad = message("", &[("STRAT_HTTP_ADDR", "nowhere")]);
    assert!(bad.contains("setting http.addr from STRAT_HTTP_ADDR: 'nowhere' is not an address"), "{bad}");
    assert!(bad.contains("hint: ") && bad.contains("127.0.0.1:8710"), "{bad}");
    let unknown = message("[papers]\nledger = \"x\"\n", &[]);
    assert!(unknown.contains("setting papers.ledger") && unknown.contains("did you mean paper.ledger?"), "{unknown}");
    let secret = message("", &[("REDIS_URL", "http://u:hunter2@h")]);
    assert!(!secret.contains("hunter2"), "{secret}");
    assert!(message("feed = 1.5", &[]).contains("put it between quotes"));
    assert!(message("= =", &[]).contains("is not TOML"));
}

#[test]
fn every_default_passes_its_own_check() {
    let mut settings = Settings::default();
    for setting in TABLE {
        let value = (setting.get)(&settings);
        assert_eq!((setting.set)(&mut settings, &value), Ok(()), "{} = {value}", setting.name);
        assert_eq!((setting.get)(&settings), value, "{}", setting.name);
        let derived = format!("STRAT_{}", setting.name.replace('.', "_").to_uppercase());
        // Whatever is about Redis has the name that the client reads as well.
        let shared = setting.secret == Secret::InUrl || setting.name.starts_with("redis.");
        assert!(setting.env == derived || shared, "{}", setting.env);
    }
}

#[test]
fn the_bridge_is_checked_before_anything_is_sent_to_it() {
    let bridge = [
        ("STRAT_BROKER_KIND", "bridge"),
        ("STRAT_BROKER_URL", "http://[::1]:8720/alpaca/"),
        ("STRAT_BROKER_CLASS", "queryable"),
        ("STRAT_BROKER_TIMEOUT_MS", "800"),
        ("STRAT_BROKER_SETTLE_MS", "2500"),
    ];
    let broker = load("", &bridge, &[]).unwrap().broker;
    assert_eq!((broker.kind, broker.url.as_str()), (BrokerKind::Bridge, "http://[::1]:8720/alpaca"));
    assert_eq!(broker.class, crate::broker::Idempotency::Queryable);
    assert_eq!((broker.timeout.as_millis(), broker.settle.as_millis()), (800, 2_500));
    for (name, value, complaint) in [
        ("broker.kind", "robinhood", "is not paper or bridge or alpaca or kite or binance"),
        ("broker.class", "A", "is not dedupes or queryable or none"),
        ("broker.timeout_ms", "10", "is not a whole number from 50 to 60000"),
        ("broker.url", "https://h/", "must start with http://"),
        ("broker.url", "http://", "is not"),
        ("broker.url", "http://h/?a=1", "is not of the form"),
        ("broker.url", "http://me:hunter2@h/", "carries a login"),
        ("broker.url", "http://me:/hunter2@h/", "carries a login"),
    ] {
        let message = render(&load("", &[], &[(name, value)]).unwrap_err());
        assert!(message.contains(complaint) && message.contains(name), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}
