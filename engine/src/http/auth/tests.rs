use super::*;
use crate::token::Role;
use std::time::Duration;
use strat_client::resilience::{Breaker, BreakerSettings, Guarded};
use strat_client::{Config, Connection};

const OPERATOR: &str = "an-operator-token";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn access(operator: &str, jwt_secret: &str, is_loopback: bool) -> Access {
    let settings = HttpSettings {
        token: SecretString::from(operator.to_owned()),
        jwt_secret: SecretString::from(jwt_secret.to_owned()),
        ..HttpSettings::default()
    };
    let nowhere = Connection::lazy(&Config::from_url("redis://127.0.0.1:1/").unwrap()).unwrap();
    let redis = Guarded::around(nowhere, Breaker::new(BreakerSettings::default()).unwrap()).unwrap();
    let listening = if is_loopback { "127.0.0.1" } else { "192.0.2.1" };
    Access::new(&settings, listening.parse().unwrap(), redis).unwrap()
}

fn headers(more: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = [("host", "localhost:8710")].into_iter().chain(more.iter().copied());
    pairs.map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

fn asks(access: &Access, more: &[(&'static str, &str)]) -> Result<Who, Problem> {
    access.identify(&headers(more), "127.0.0.1".parse().unwrap(), true)
}

#[test]
fn a_page_that_was_led_here_names_itself() {
    for host in ["localhost", "localhost:8710", "127.0.0.1:8710", "127.1.2.3", "[::1]:8710", "[::1]"] {
        assert!(is_this_machine(host), "{host}");
    }
    for host in ["", "evil.example:8710", "localhost.evil.example", "10.0.0.1:8710", "[::2]:1", "127.0.0.1.evil"] {
        assert!(!is_this_machine(host), "{host}");
    }
}

#[tokio::test]
async fn without_a_secret_only_this_machine_asks_and_no_foreign_page() {
    let open = access("", "", true);
    assert!(matches!(asks(&open, &[]), Ok(Who::Address(_))));
    assert!(asks(&open, &[("origin", "http://localhost:8710")]).is_ok(), "the engine's own page");
    for origin in ["http://localhost:3000", "https://localhost:8710", "http://evil.example", "null"] {
        assert!(asks(&open, &[("origin", origin)]).is_err(), "{origin}");
    }
    let led_here = [("host", "evil.example:8710"), ("origin", "http://evil.example:8710")];
    assert!(open.identify(&headers(&led_here), "127.0.0.1".parse().unwrap(), true).is_err());
    assert!(asks(&access("", "", false), &[]).is_err());
}

#[tokio::test]
async fn with_a_secret_nobody_asks_without_a_token() {
    let (alice, _) = Keys::new(&SecretString::from(SECRET.to_owned()))
        .issue("alice", Role::User, Duration::from_secs(60), jsonwebtoken::get_current_timestamp())
        .unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    for is_loopback in [true, false] {
        let both = access(OPERATOR, SECRET, is_loopback);
        assert!(matches!(asks(&both, &[("authorization", &bearer(OPERATOR))]), Ok(Who::Operator)));
        assert!(matches!(asks(&both, &[("authorization", &bearer(&alice))]), Ok(Who::Token { .. })));
        for given in
            ["", "Bearer ", "Bearer an-operator-tokeN", "Bearer an-operator-toke", "Basic an-operator-token", &alice]
        {
            assert!(asks(&both, &[("authorization", given)]).is_err(), "{given}");
        }
        assert!(asks(&both, &[]).is_err());
        assert!(asks(&access(OPERATOR, "", is_loopback), &[("authorization", &bearer(&alice))]).is_err());
        let users_only = access("", SECRET, is_loopback);
        assert!(asks(&users_only, &[("authorization", "Bearer ")]).is_err());
        assert!(asks(&users_only, &[("authorization", &bearer(&alice))]).is_ok());
    }
}

#[tokio::test]
async fn who_has_guessed_too_often_does_not_learn_the_operators_token_and_users_come_in() {
    let (alice, _) = Keys::new(&SecretString::from(SECRET.to_owned()))
        .issue("alice", Role::User, Duration::from_secs(60), jsonwebtoken::get_current_timestamp())
        .unwrap();
    let both = access(OPERATOR, SECRET, true);
    let asks = |token: &str| {
        let bearer = format!("Bearer {token}");
        both.identify(&headers(&[("authorization", &bearer)]), "127.0.0.1".parse().unwrap(), false)
    };
    assert!(asks(OPERATOR).is_err());
    assert!(matches!(asks(&alice), Ok(Who::Token { .. })));
}

#[tokio::test]
async fn while_redis_is_away_no_users_token_is_taken() {
    let claims =
        Claims { sub: "alice".to_owned(), role: Role::User, exp: u64::MAX, iat: None, jti: Some("j".to_owned()) };
    let who = Who::Token { claims: Arc::new(claims), text: Arc::from("t") };
    let access = access(OPERATOR, SECRET, true);
    assert!(access.check_revoked(&who).await.is_err_and(|why| why.status() == StatusCode::SERVICE_UNAVAILABLE));
    assert!(access.check_revoked(&Who::Operator).await.is_ok());
}
