//! `redis+sentinel://` or `rediss+sentinel://`, then `[user[:password]@]host[:port][,host[:port]…]/service[/db][?option=…]`
//!
//! The `redis` crate reads URLs of one server only, so the sentinels are taken out here and the rest is handed on to
//! it. No complaint repeats a part of the URL: a password may have slipped into any of them.

/// Where sentinels listen unless they are told otherwise.
const PORT_DEFAULT: u16 = 26_379;
/// A list longer than this is a mistake: nobody runs so many, and each costs time when all are away.
const SENTINELS_MAX: usize = 32;

const SHAPE: &str = "expected redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service_name[/db]\
    [?sentinel_user=..&sentinel_password=..&protocol=..]";

/// What such a URL says.
pub(crate) struct SentinelUrl {
    /// Name under which the sentinels watch the primary.
    pub(crate) service: String,
    /// Where the sentinels are, in the order given.
    pub(crate) sentinels: Vec<(String, u16)>,
    /// Login at the sentinels.
    pub(crate) user: Option<String>,
    /// Password at the sentinels.
    pub(crate) password: Option<String>,
    /// URL of a server without a place: login, database and protocol.
    pub(crate) server: String,
}

/// `None` where the URL is of another kind.
pub(crate) fn parse(url: &str) -> Option<Result<SentinelUrl, String>> {
    let (scheme, rest) = url.split_once("://")?;
    let server = scheme.strip_suffix("+sentinel")?;
    match server {
        "rediss" if !cfg!(feature = "tls") => {
            Some(Err("this build speaks no TLS, so rediss+sentinel:// cannot work; \
            build strat-client with the feature `tls`, or use redis+sentinel:// over a private network"
                .to_owned()))
        }
        "redis" | "rediss" => Some(read(server, rest).map_err(|why| format!("{why}; {SHAPE}"))),
        _ => None,
    }
}

fn read(scheme: &str, rest: &str) -> Result<SentinelUrl, String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), authority),
    };
    let sentinels: Vec<_> =
        hosts.split(',').enumerate().map(|(at, text)| host(at + 1, text)).collect::<Result<_, _>>()?;
    if sentinels.len() > SENTINELS_MAX {
        return Err(format!("it lists {} sentinels, more than {SENTINELS_MAX}", sentinels.len()));
    }
    let (service, db) = path.trim_end_matches('/').split_once('/').unwrap_or((path.trim_end_matches('/'), ""));
    // The charset that Sentinel itself allows.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if service.is_empty() || !service.bytes().all(plain) {
        return Err("the name of the service behind the hosts is missing or has bytes other than A-Z a-z 0-9 . - _ \
            (sentinel.conf has it: sentinel monitor NAME ...)"
            .to_owned());
    }
    if !db.is_empty() && db.parse::<u32>().is_err() {
        return Err("the database behind the name of the service is not a number".to_owned());
    }
    let options = Options::read(query)?;
    Ok(SentinelUrl {
        service: service.to_owned(),
        sentinels,
        user: options.user,
        password: options.password,
        server: format!("{scheme}://{login}localhost/{db}{}", options.protocol),
    })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; `at` counts from 1.
fn host(at: usize, text: &str) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => v6.split_once(']').ok_or_else(|| format!("sentinel {at} of the list lacks its ]"))?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    if host.is_empty() {
        return Err(format!("sentinel {at} of the list has no host"));
    }
    if port.is_empty() {
        return Ok((host.to_owned(), PORT_DEFAULT));
    }
    let number = port.strip_prefix(':').and_then(|digits| digits.parse().ok()).filter(|port| *port > 0);
    number.map(|port| (host.to_owned(), port)).ok_or_else(|| {
        format!("sentinel {at} of the list has no port from 1 to 65535 (an @ or / in a password is written %40 or %2F)")
    })
}

#[derive(Default)]
struct Options {
    user: Option<String>,
    password: Option<String>,
    /// As it goes to the `redis` crate, with its question mark.
    protocol: String,
}

impl Options {
    fn read(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "sentinel_user" => options.user = Some(decoded(value)?),
                "sentinel_password" => options.password = Some(decoded(value)?),
                "protocol" if ["2", "3", "resp2", "resp3"].contains(&value) => {
                    options.protocol = format!("?protocol={value}");
                }
                "protocol" => return Err("protocol is neither resp2 nor resp3".to_owned()),
                _ => return Err("it has an option that is not known here".to_owned()),
            }
        }
        Ok(options)
    }
}

/// `%40` is `@`.
fn decoded(text: &str) -> Result<String, String> {
    let bad = || "a sentinel_user or sentinel_password is not percent-encoded UTF-8".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => u8::try_from(digit().ok_or_else(bad)? * 16 + digit().ok_or_else(bad)?).map_err(|_| bad())?,
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_such_a_url_counts() {
        let url = "redis+sentinel://bob:s%40x@h1:5000,h2,[::1]:5001,[fe80::1]/main-1/3\
            ?sentinel_user=eve&sentinel_password=p%2Fw:@&protocol=resp2";
        let read = parse(url).unwrap().unwrap();
        assert_eq!(read.service, "main-1");
        let hosts = [("h1", 5000), ("h2", 26_379), ("::1", 5001), ("fe80::1", 26_379)];
        assert_eq!(read.sentinels, hosts.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!((read.user.as_deref(), read.password.as_deref()), (Some("eve"), Some("p/w:@")));
        assert_eq!(read.server, "redis://bob:s%40x@localhost/3?protocol=resp2");
        let bare = parse("redis+sentinel://h/mymaster").unwrap().unwrap();
        assert_eq!((bare.server.as_str(), bare.user, bare.password), ("redis://localhost/", None, None));
        let encrypted = parse("rediss+sentinel://h/mymaster").unwrap().unwrap();
        assert_eq!(encrypted.server, "rediss://localhost/");
        assert!(parse("redis://h/0").is_none() && parse("/run/redis.sock").is_none());
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for (url, why) in [
            ("redis+sentinel://bob:s3cret/main", "sentinel 1 of the list has no port"),
            ("redis+sentinel://h:1,:s3cret/main", "sentinel 2 of the list has no host"),
            ("redis+sentinel://h:1,/main", "sentinel 2 of the list has no host"),
            ("redis+sentinel://[::1/main", "lacks its ]"),
            ("redis+sentinel://h:0/main", "no port from 1"),
            ("redis+sentinel://bob:s3cret@h:1", "name of the service"),
            ("redis+sentinel://bob:s3cret@h:1/", "name of the service"),
            ("redis+sentinel://h:1/s3cret@x/0", "name of the service"),
            ("redis+sentinel://h:1/main/s3cret", "not a number"),
            ("redis+sentinel://h:1/main?s3cret=1", "option"),
            ("redis+sentinel://h:1/main?protocol=s3cret", "protocol"),
            ("redis+sentinel://h:1/main?sentinel_password=s3cret%zz", "percent-encoded"),
            ("rediss+sentinel://bob:s3cret@h:1", "name of the service"),
        ] {
            let error = parse(url).unwrap().err().unwrap();
            assert!(error.contains(why) && !error.contains("s3cret"), "{url}: {error}");
            assert!(error.contains("redis+sentinel://"), "the next step: {error}");
        }
    }
}
