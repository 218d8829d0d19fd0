use super::*;

fn env<'a>(vars: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn without_settings_it_is_the_local_server_with_explicit_timeouts() {
    let config = Config::from_lookup(env(&[])).unwrap();
    assert_eq!(config.address(), "127.0.0.1:6379");
    assert_eq!(config.response_timeout(), Duration::from_secs(2));
    assert!(config.info.tcp_settings().nodelay());
    assert_eq!(config.info.redis_settings().protocol(), ProtocolVersion::RESP3);
}

#[test]
fn the_environment_is_read_and_checked() {
    let vars = [("REDIS_URL", "redis://bob:s3cret@db:7000/2"), ("REDIS_RESPONSE_TIMEOUT_MS", "750")];
    let config = Config::from_lookup(env(&vars)).unwrap();
    assert_eq!((config.address().as_str(), config.response_timeout()), ("db:7000", Duration::from_millis(750)));
    assert_eq!(config.info.redis_settings().db(), 2);
    for wrong in ["0", "-1", "1.5", "soon"] {
        let error = Config::from_lookup(env(&[("REDIS_CONNECT_TIMEOUT_MS", wrong)])).unwrap_err();
        assert!(error.to_string().contains("REDIS_CONNECT_TIMEOUT_MS"), "{error}");
    }
}

#[test]
fn a_unix_socket_may_be_a_url_or_just_a_path() {
    for url in ["/run/redis/redis.sock", "unix:///run/redis/redis.sock", "redis+unix:///run/redis/redis.sock"] {
        assert_eq!(Config::from_url(url).unwrap().address(), "/run/redis/redis.sock", "{url}");
    }
}

#[test]
fn the_protocol_of_the_url_counts() {
    let config = Config::from_url("redis://h/?protocol=resp2").unwrap();
    assert_eq!(config.info.redis_settings().protocol(), ProtocolVersion::RESP2);
}

#[test]
fn passwords_are_in_no_text() {
    let config = Config::from_url("redis://bob:s3cret@h:1/").unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    let config = Config::from_url("redis+sentinel://bob:s3cret@h:1,g/main?sentinel_password=s3cret").unwrap();
    assert_eq!(config.address(), "the primary of main (sentinels h:1, g:26379)");
    assert!(!format!("{config:?}").contains("s3cret"));
    for url in [
        "http://bob:s3cret@h",
        "redis://bob:s3cret@h:99999/",
        "rediss://bob:s3cret@h/x",
        "s3cret",
        "redis+sentinel://bob:s3cret/main",
        "redis+sentinel://bob:s3cret%zz%ff@h/main",
    ] {
        let error = Config::from_url(url).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
