use super::*;
use crate::config::Settings;
use crate::failure::render;

#[test]
fn a_mapping_is_whole_or_says_what_is_missing() {
    let mut settings = Settings::default();
    let mut steps = [
        (&URL, "wss://feed.example/v1?token=HUNTER2", "feed.url is not set"),
        (&SYMBOL, "/s", "set feed.json_symbol (STRAT_FEED_JSON_SYMBOL)"),
        (&PRICE, "/p", "feed.json_price is not set"),
    ]
    .into_iter();
    for (setting, value, complaint) in steps.by_ref() {
        let error = render(&settings.source.websocket().unwrap_err());
        assert!(error.contains(complaint), "{error}");
        (setting.set)(&mut settings, value).unwrap();
    }
    (ONLY.set)(&mut settings, "/type=trade=1").unwrap();
    (ID.set)(&mut settings, "/i").unwrap();
    let (url, hello, mapping) = settings.source.websocket().unwrap();
    assert_eq!((url, hello), ("wss://feed.example/v1?token=HUNTER2", ""));
    assert_eq!(mapping.id, Some("/i".parse().unwrap()));
    assert_eq!(mapping.only, Some(("/type".parse().unwrap(), "trade=1".to_owned())));
    assert!(!format!("{settings:?}{}", (URL.get)(&settings)).contains("HUNTER2"));
}

#[test]
fn what_cannot_be_used_is_refused() {
    let mut settings = Settings::default();
    for (setting, value) in [
        (&URL, "ws://feed.example/"),
        (&URL, "wss://u:p@feed.example/"),
        (&URL, "wss://feed.example/#x"),
        (&URL, "wss://feed.example/?a b"),
        (&SYMBOL, "s"),
        (&PRICE, "/a~2"),
        (&ONLY, "type=trade"),
        (&ONLY, "/type"),
        (&TIME_UNIT, "minutes"),
        (&SUBSCRIBE_MESSAGE, "hello"),
        (&STREAM, ""),
        (&STREAM, "a b"),
        (&STREAM, "journal"),
        (&STREAM, "{t}queue:exits"),
    ] {
        assert!((setting.set)(&mut settings, value).is_err(), "{} {value}", setting.name);
    }
    (URL.set)(&mut settings, "ws://127.0.0.1:81/x?a=1").unwrap();
}
