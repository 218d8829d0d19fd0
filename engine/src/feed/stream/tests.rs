use super::*;
use proptest::prelude::*;

fn feed() -> StreamFeed {
    let config = strat_client::Config::from_url("redis://127.0.0.1:1/").unwrap();
    StreamFeed::new(&StreamSettings { stream: "ticks".to_owned() }, Connection::lazy(&config).unwrap())
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn an_entry_is_a_tick_or_says_why_it_is_none() {
    let mut feed = feed();
    let tick = feed.tick("1760000000000-3", &pairs(&[("symbol", "M&M"), ("price", "2500.50")])).unwrap();
    assert_eq!((&*tick.symbol, tick.price_text.as_str(), tick.ts_ms), ("M&M", "2500.50", 1_760_000_000_000));
    assert_eq!((tick.stamp, tick.id), (Stamp::Arrival, None));
    let full = [("size", "3"), ("venue", "NSE"), ("ts", "5"), ("price", "0.5"), ("symbol", "IBM"), ("id", "a-7")];
    let tick = feed.tick("9-0", &pairs(&full)).unwrap();
    assert_eq!((tick.ts_ms, tick.size), (5, Some("3".parse().unwrap())));
    assert_eq!((tick.stamp, tick.id), (Stamp::Market, Some(TradeId::of_text("a-7"))));
    for (fields, complaint) in [
        (&[][..], "it has no field 'symbol'"),
        (&[("symbol", "IBM")], "it has no field 'price'"),
        (&[("symbol", "IBM"), ("price", "1e2")], "price '1e2' is not a plain decimal number"),
        (&[("symbol", "A:B"), ("price", "1")], "symbol 'A:B' must be"),
        (&[("symbol", "IBM"), ("price", "1"), ("ts", "soon")], "ts 'soon' is not epoch milliseconds"),
        (&[("symbol", "IBM"), ("price", "1"), ("size", "x")], "size 'x' is not"),
        (&[("symbol", "IBM"), ("price", "1"), ("price", "2")], "it has two fields 'price'"),
    ] {
        let why = feed.tick("9-0", &pairs(fields)).unwrap_err();
        assert!(why.starts_with(complaint), "{why}");
    }
}

#[test]
fn answers_of_both_protocols_are_read() {
    let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    let entry = Value::Array(vec![bulk("1-0"), Value::Array(vec![bulk("symbol"), bulk("IBM"), bulk("odd")])]);
    let wanted = vec![("1-0".to_owned(), pairs(&[("symbol", "IBM")]))];
    let list = Value::Array(vec![entry]);
    assert_eq!(entries(Value::Map(vec![(bulk("ticks"), list.clone())])), wanted);
    assert_eq!(entries(Value::Array(vec![Value::Array(vec![bulk("ticks"), list])])), wanted);
    assert_eq!(entries(Value::Nil), vec![]);
    assert_eq!(entries(Value::Array(vec![Value::Nil, Value::Array(vec![])])), vec![]);
}

#[test]
fn ids_are_ordered_by_their_numbers() {
    assert!(parse_id("9-5") < parse_id("10-0") && parse_id("10-9") < parse_id("10-10"));
    assert_eq!((parse_id("x-0"), parse_id("5"), parse_id("")), (None, None, None));
    for (id, earlier) in
        [("9-5", "9-4"), ("9-0", "8-18446744073709551615"), ("0-1", "0-0"), ("0-0", "0-0"), ("x", "0-0")]
    {
        assert_eq!(before(id), earlier);
    }
}

proptest! {
    #[test]
    fn any_fields(id in "[-0-9]{0,24}", fields in proptest::collection::vec(("(symbol|price|ts|size|id|x)", "\\PC{0,20}"), 0..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        if let Ok(tick) = feed().tick(&id, &fields) {
            let written = fields.iter().find(|(name, _)| name == "price").unwrap();
            prop_assert_eq!(&tick.price_text, &written.1);
            prop_assert_eq!(tick.price, written.1.parse().unwrap());
        }
    }
}
