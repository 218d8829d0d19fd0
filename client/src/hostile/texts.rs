//! Texts: URLs, what a server says about itself, published events.

use super::values::bytes;
use crate::config::Config;
use crate::error::Error;
use crate::sentinel::parse_url;
use crate::{Notice, events, server};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;
use strat_core::EventType;
use strat_core::event::Event;

const SECRET: &str = "hunter2";

/// Pieces of URLs in any order, a password among them.
fn nearly_url() -> impl Strategy<Value = String> {
    let scheme = ["redis://", "redis+sentinel://", "rediss+sentinel://", "unix://", "redis+unix://", "/", ""];
    let piece = [
        SECRET,
        ":",
        "@",
        "/",
        ",",
        "?",
        "&",
        "=",
        "[",
        "]",
        "h",
        "h:1",
        "[::1]:5",
        "main",
        "0",
        "%",
        "%40",
        "%zz",
        "#",
        "sentinel_password=",
        "sentinel_user=",
        "protocol=",
        "resp2",
        "db=",
        "pass=",
        "\u{e9}",
        " ",
        "99999",
        "-1",
    ];
    (prop::sample::select(scheme.to_vec()), vec(prop::sample::select(piece.to_vec()), 0..14))
        .prop_map(|(scheme, pieces)| format!("{scheme}{}", pieces.concat()))
}

/// As `%XX`, every byte of it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_url_makes_it_panic_and_no_complaint_repeats_a_password(url in nearly_url(), other in "\\PC{0,60}") {
        for url in [url, other.clone(), format!("redis+sentinel://{other}")] {
            if let Some(Err(why)) = parse_url(&url) {
                prop_assert!(!why.contains(SECRET), "{url}: {why}");
            }
            match Config::from_url(&url) {
                Err(why) => prop_assert!(!why.to_string().contains(SECRET), "{url}: {why}"),
                Ok(config) => drop(config.address()),
            }
        }
    }

    #[test]
    fn a_sentinel_url_reads_back(
        hosts in vec(("[a-z0-9.-]{1,12}", prop::option::of(1..=u16::MAX)), 1..5),
        v6 in any::<bool>(),
        service in "[A-Za-z0-9._-]{1,20}",
        db in prop::option::of(0..100u32),
        user in prop::option::of("\\PC{1,12}"),
        password in prop::option::of("\\PC{1,12}"),
    ) {
        let suffix = |port: Option<u16>| port.map_or_else(String::new, |port| format!(":{port}"));
        let place = |host: &str, port: Option<u16>| format!("{host}{}", suffix(port));
        let mut listed: Vec<_> = hosts.iter().map(|(host, port)| place(host, *port)).collect();
        let mut wanted: Vec<_> = hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(26_379))).collect();
        if v6 {
            listed.push(place("[fe80::1]", hosts[0].1));
            wanted.push(("fe80::1".to_owned(), hosts[0].1.unwrap_or(26_379)));
        }
        let db = db.map_or_else(String::new, |db| db.to_string());
        let options = [("sentinel_user", &user), ("sentinel_password", &password)];
        let options = options.map(|(name, value)| value.as_deref().map(|value| format!("{name}={}", encoded(value))));
        let options = options.into_iter().flatten().collect::<Vec<_>>().join("&");
        let url = format!("redis+sentinel://{}/{service}/{db}?{options}", listed.join(","));
        let read = parse_url(&url).unwrap();
        let read = read.map_err(proptest::test_runner::TestCaseError::fail)?;
        prop_assert_eq!((read.service, read.sentinels), (service, wanted));
        prop_assert_eq!((read.user, read.password), (user, password));
        prop_assert_eq!(read.server, format!("redis://localhost/{db}"));
    }

    #[test]
    fn no_bytes_published_make_it_panic(payload in bytes(), cut in any::<prop::sample::Index>()) {
        let event = Event::new(EventType::SlTriggered, 0, "s1", serde_json::Map::new());
        let line = event.to_json();
        prop_assert_eq!(events::read(line.as_bytes()).ok(), Some(Notice::Event(event)));
        for payload in [&payload[..], &line.as_bytes()[..cut.index(line.len())], &[line.as_bytes(), &payload].concat()] {
            if let Err(Error::BadReply(why)) = events::read(payload) {
                prop_assert!(why.starts_with("an event's JSON"), "{why}");
                prop_assert!(why.chars().count() <= 400 && !why.chars().any(char::is_control), "{why:?}");
            }
        }
    }

    #[test]
    fn what_a_server_says_of_itself_reads_back(
        counts in prop::array::uniform8(0..=i64::MAX),
        (memory, version, patch) in ("[0-9.]{1,6}[BKMG]", "[0-9]\\.[0-9]\\.[0-9]{1,2}", 0..100u8),
        garbage in "[a-z_:\r\n0-9#. -]{0,80}|\\PC{0,40}",
        cut in any::<prop::sample::Index>(),
    ) {
        let (wanted, _) = crate::VERSION.rsplit_once('.').unwrap();
        let module = format!("{wanted}.{patch}");
        let counts = counts.map(i64::unsigned_abs);
        let [clients, uptime, strategies, armed, fired, drains, draining, unparseable] = counts;
        let info = format!(
            "# Server\r\nredis_version:{version}\r\nuptime_in_seconds:{uptime}\r\n# Clients\r\nconnected_clients:{clients}\r\n\
            used_memory_human:{memory}\r\nstrat_version:{module}\r\nstrat_strategies:{strategies}\r\nstrat_armed:{armed}\r\n\
            strat_fired:{fired}\r\nstrat_drains:{drains}\r\nstrat_draining:{draining}\r\nstrat_unparseable:{unparseable}\r\n"
        );
        let health = server::read_health(&info, Duration::ZERO).unwrap();
        let read = [health.connected_clients, health.uptime_in_seconds, health.strategies, health.armed];
        let more = [health.fired, health.drains, health.draining, health.unparseable];
        prop_assert_eq!([read, more].concat(), counts);
        prop_assert_eq!((health.used_memory_human, health.redis_version, health.module_version), (memory, version, module));
        let half = &info[..cut.index(info.len())];
        for info in [&garbage, half, &format!("{half}{garbage}")] {
            if let Err(Error::BadReply(why)) = server::read_health(info, Duration::ZERO) {
                let names = ["redis_version", "uptime", "clients", "memory", "strat"];
                prop_assert!(names.iter().any(|name| why.contains(name)), "{why}");
            }
        }
    }
}
