use crate::broker::kite::session::*;
use crate::broker::kite::time;
use crate::clock::ReplayClock;
use secrecy::{ExposeSecret as _, SecretString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

const LOGIN: &str = "2026-11-23 08:05:00";

fn at(text: &str) -> i64 {
    time::read(text).unwrap()
}

fn session(path: &Path, now: &str) -> (Session, Arc<ReplayClock>) {
    let clock = Arc::new(ReplayClock::at(at(now)));
    (Session::new(path, "key", Arc::clone(&clock) as _), clock)
}

#[test]
fn the_checksum_is_what_kite_computes() {
    // `printf keyrequestsecret | sha256sum`
    assert_eq!(
        checksum("key", "request", &SecretString::from("secret")),
        "e4465f58be6159d2a7f087f4292515e9d631b4f91e056b53e6f14456222ff709"
    );
}

#[test]
fn a_token_is_kept_for_its_owner_alone_and_good_until_six() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kite.json");
    let (session, clock) = session(&path, LOGIN);
    assert_eq!(session.token().unwrap_err(), NoToken::Missing(path.clone()));
    assert_eq!(keep(&path, "key", "first", at(LOGIN)).unwrap(), "2026-11-24 06:00 in India");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    assert_eq!(session.token().unwrap().expose_secret(), "first");
    assert_eq!(session.standing(), Standing::Good);
    clock.set(at("2026-11-24 05:00:00"));
    assert_eq!(session.standing(), Standing::EndsSoon("2026-11-24 06:00 in India".to_owned()));
    assert!(session.token().is_ok(), "announced, and still good");
    let announced = session.standing().complaint().unwrap();
    assert!(announced.text.contains("strat-engine kite login") && !announced.urgent);
    clock.set(at("2026-11-24 06:00:00"));
    let ended = NoToken::Expired("2026-11-24 06:00 in India".to_owned());
    assert_eq!(session.token().unwrap_err(), ended);
    assert_eq!(session.standing(), Standing::Without(ended));
    assert!(session.standing().complaint().unwrap().urgent);
    keep(&path, "key", "the second one", at("2026-11-24 06:30:00")).unwrap();
    assert_eq!(session.token().unwrap().expose_secret(), "the second one", "taken without a restart");
}

#[test]
fn a_token_that_kite_refuses_is_complained_about_until_there_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kite.json");
    let (session, _) = session(&path, LOGIN);
    keep(&path, "key", "first", at(LOGIN)).unwrap();
    let first = session.token().unwrap();
    session.judged(&first, false);
    assert_eq!(session.standing(), Standing::Without(NoToken::Refused));
    assert!(session.token().is_ok(), "no exit waits for one odd answer");
    session.judged(&first, true);
    assert_eq!(session.standing(), Standing::Good);
    session.judged(&first, false);
    keep(&path, "key", "another", at(LOGIN)).unwrap();
    assert_eq!(session.token().unwrap().expose_secret(), "another");
    assert_eq!(session.standing(), Standing::Good);
}

#[test]
fn a_file_that_is_not_safe_or_not_ours_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kite.json");
    let (session, _) = session(&path, LOGIN);
    keep(&path, "key", "topsecret", at(LOGIN)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(session.token().unwrap_err(), NoToken::Open(path.clone()));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, r#"{"access_token":"topsecret"}"#).unwrap();
    let why = session.token().unwrap_err().to_string();
    assert!(why.contains("holds no access token") && !why.contains("topsecret"), "{why}");
    keep(&path, "other key", "topsecret", at(LOGIN)).unwrap();
    assert_eq!(session.token().unwrap_err(), NoToken::OtherKey(path.clone()));
    assert!(keep(Path::new("/nonexistent/kite.json"), "key", "t", 0).is_err());
}
