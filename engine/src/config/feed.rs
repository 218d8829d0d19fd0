//! Settings of the feed over TCP and of what of a feed is believed.

use super::FeedKind;
use super::table::{Setting, one_of, row, whole};
use crate::market::SessionRule;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest silence that can be allowed, s.
const SILENCE_S_MAX: u64 = 86_400;

/// Furthest ahead that can be allowed, s.
const AHEAD_S_MAX: u64 = 3_600;

/// Words of `feed.sessions`.
const SESSION_RULES: &[(&str, SessionRule)] = &[("regular", SessionRule::Regular), ("any", SessionRule::Any)];

/// Words of `feed.kind`.
pub(super) const KINDS: &[(&str, FeedKind)] = &[
    ("sim", FeedKind::Sim),
    ("csv", FeedKind::Csv),
    ("lines", FeedKind::Lines),
    ("alpaca", FeedKind::Alpaca),
    ("kite", FeedKind::Kite),
    ("binance", FeedKind::Binance),
    ("stream", FeedKind::Stream),
    ("websocket", FeedKind::Websocket),
];

pub(super) const ADDRESS: Setting = row(
    "feed.address",
    "STRAT_FEED_ADDRESS",
    "host:port of the feed for feed.kind lines",
    |s, v| host_and_port(v).map(|v| s.feed.address = v),
    |s| s.feed.address.clone(),
);

pub(super) const SUBSCRIBE: Setting = row(
    "feed.subscribe",
    "STRAT_FEED_SUBSCRIBE",
    "symbols whose trades are subscribed to at a broker's market data: SYMBOL,SYMBOL",
    |s, v| parse_list(v).map(|v| s.feed.subscribe = v),
    |s| s.feed.subscribe.join(","),
);

pub(super) const IDLE: Setting = row(
    "feed.idle_seconds",
    "STRAT_FEED_IDLE_SECONDS",
    "a connection of the feed that says nothing for so long is made anew, 0 to 86400 s; 0 for never, at a broker's market data for 30",
    |s, v| whole(v, 0, SILENCE_S_MAX).map(|v| s.feed.idle = Duration::from_secs(v)),
    |s| s.feed.idle.as_secs().to_string(),
);

pub(super) const SILENCE_BY_SYMBOL: Setting = row(
    "feed.silence_by_symbol",
    "STRAT_FEED_SILENCE_BY_SYMBOL",
    "seconds without a tick that raise an alarm where a position is open: SYMBOL=SECONDS,SYMBOL=SECONDS; 0 for never",
    |s, v| parse_limits(v).map(|v| s.feed.silence_by_symbol = v),
    |s| {
        let limits = s.feed.silence_by_symbol.iter();
        limits.map(|(symbol, limit)| format!("{symbol}={}", limit.as_secs())).collect::<Vec<_>>().join(",")
    },
);

pub(super) const MAX_JUMP: Setting = row(
    "feed.max_jump_percent",
    "STRAT_FEED_MAX_JUMP_PERCENT",
    "a tick further than this from the last price waits for the next to confirm it, 0 to 1000 %; 0 for never",
    |s, v| whole(v, 0, 1_000).map(|v| s.feed.max_jump_percent = v as u32),
    |s| s.feed.max_jump_percent.to_string(),
);

pub(super) const MAX_AHEAD: Setting = row(
    "feed.max_ahead_seconds",
    "STRAT_FEED_MAX_AHEAD_SECONDS",
    "a tick of a live feed whose stamp is further ahead of this machine's clock is refused, 1 to 3600 s",
    |s, v| whole(v, 1, AHEAD_S_MAX).map(|v| s.feed.max_ahead = Duration::from_secs(v)),
    |s| s.feed.max_ahead.as_secs().to_string(),
);

pub(super) const SESSIONS: Setting = row(
    "feed.sessions",
    "STRAT_FEED_SESSIONS",
    "trades of a live feed that may fire stops: those of `regular` sessions, or `any`, before the open and after the close too",
    |s, v| one_of(v, SESSION_RULES).map(|v| s.feed.sessions = v),
    |s| SESSION_RULES.iter().find(|(_, rule)| *rule == s.feed.sessions).map_or("", |(word, _)| word).to_owned(),
);

pub(super) const CALENDAR: Setting = row(
    "feed.calendar",
    "STRAT_FEED_CALENDAR",
    "calendar of the sessions of all symbols of the feed, such as XNSE; empty for those of the strategies that hold a symbol",
    |s, v| {
        v.trim().clone_into(&mut s.feed.calendar);
        Ok(())
    },
    |s| s.feed.calendar.clone(),
);

fn host_and_port(value: &str) -> Result<String, String> {
    let whole = value.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let known = value.is_empty() || whole.is_some();
    known.then(|| value.to_owned()).ok_or_else(|| "is not of the form host:port".to_owned())
}

pub(super) fn parse_list(text: &str) -> Result<Vec<String>, String> {
    let symbol = |symbol: &str| {
        strat_core::key::check_symbol(symbol).map_err(|refusal| refusal.detail)?;
        Ok(symbol.to_owned())
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(symbol).collect()
}

fn parse_limits(text: &str) -> Result<BTreeMap<String, Duration>, String> {
    let limit = |part: &str| {
        let (symbol, seconds) =
            part.split_once('=').ok_or_else(|| format!("has '{part}' where SYMBOL=SECONDS is expected"))?;
        strat_core::key::check_symbol(symbol).map_err(|refusal| refusal.detail)?;
        let seconds = whole(seconds, 0, SILENCE_S_MAX).map_err(|why| format!("has '{part}', whose limit {why}"))?;
        Ok((symbol.to_owned(), Duration::from_secs(seconds)))
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_symbols_and_seconds() {
        let limits = parse_limits("M&M=5, IBM=0,").unwrap();
        assert_eq!(
            limits.into_iter().map(|(s, l)| (s, l.as_secs())).collect::<Vec<_>>(),
            [("IBM".to_owned(), 0), ("M&M".to_owned(), 5)]
        );
        for (text, complaint) in [("IBM", "SYMBOL=SECONDS"), ("A:B=1", "symbol"), ("IBM=x", "whole number")] {
            assert!(parse_limits(text).unwrap_err().contains(complaint), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        for (value, good) in [("h:1", true), ("[::1]:9", true), ("", true), ("h", false), (":1", false), ("h:x", false)]
        {
            assert_eq!(host_and_port(value).is_ok(), good, "{value}");
        }
    }
}
