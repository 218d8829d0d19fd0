use crate::broker::kite::instruments::*;
use crate::broker::kite::time;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Write as _;

const LIST: &str = "\
instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange
408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE
128053508,500209,INFY,\"INFOSYS, LTD\",0.0,,0.0,0.05,1,EQ,BSE,BSE
256265,1001,NIFTY 50,NIFTY 50,0.0,,0.0,0,0,EQ,INDICES,NSE
12345602,48225,NIFTY26DECFUT,NIFTY,0.0,2026-12-29,0.0,0.1,75,FUT,NFO-FUT,NFO
";

#[test]
fn symbols_numbers_steps_and_lots_are_read() {
    let instruments = Instruments::read(LIST.as_bytes(), "NSE").unwrap();
    for (symbol, token, tick, lot) in [
        ("INFY", 408_065, "0.05", "1"),
        ("BSE/INFY", 128_053_508, "0.05", "1"),
        ("NIFTY_50", 256_265, "0", "0"),
        ("NFO/NIFTY26DECFUT", 12_345_602, "0.1", "75"),
    ] {
        let found = instruments.of(symbol).unwrap();
        assert_eq!(
            (found.token, found.tick_size.to_string(), found.lot_size.to_string()),
            (token, tick.into(), lot.into())
        );
    }
    assert_eq!(instruments.of("NSE/INFY"), None);
}

#[test]
fn it_may_come_packed() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(LIST.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    assert_eq!(Instruments::read(&packed, "NSE"), Instruments::read(LIST.as_bytes(), "NSE"));
    let why = Instruments::read(&packed[..packed.len() - 9], "NSE").unwrap_err();
    assert!(why.starts_with("cannot be unpacked"), "{why}");
}

#[test]
fn half_a_list_or_another_file_is_refused() {
    let head = LIST.lines().next().unwrap();
    for (list, complaint) in [
        (String::new(), "is empty"),
        (head.to_owned(), "is empty"),
        ("<html>\nno\n".to_owned(), "cannot be read"),
        (format!("{head}\n408065,1594,INFY"), "breaks off"),
        (LIST.replace("408065", "x"), "cannot be read"),
        (LIST.replace("0.05,1,EQ,NSE", "0.05,one,EQ,NSE"), "has lot_size 'one' for INFY"),
        (LIST.replace("0.1,75", "nan,75"), "has tick_size 'nan' for NIFTY26DECFUT"),
    ] {
        let why = Instruments::read(list.as_bytes(), "NSE").unwrap_err();
        assert!(why.starts_with(complaint), "{why}");
    }
}

#[test]
fn a_kept_list_is_good_until_the_next_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instruments.csv");
    let at = |text: &str| time::read(text).unwrap();
    let fetched = at("2026-11-23 08:40:00");
    assert_eq!(kept(&path, fetched), None);
    keep(&path, LIST.as_bytes(), fetched).unwrap();
    for (now, good) in [
        ("2026-11-23 08:40:00", true),
        ("2026-11-24 08:29:59", true),
        ("2026-11-24 08:30:00", false),
        ("2026-11-23 08:39:59", false),
    ] {
        assert_eq!(kept(&path, at(now)).is_some(), good, "{now}");
    }
    keep(&path, b"early", at("2026-11-24 08:00:00")).unwrap();
    assert_eq!(kept(&path, at("2026-11-24 08:30:00")), None, "fetched before the day's list was there");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300), cut in 0..LIST.len(), flip in any::<u8>()) {
        let _ = Instruments::read(&bytes, "NSE");
        let mut list = LIST.as_bytes().to_vec();
        list[cut] = flip;
        if let Ok(read) = Instruments::read(&list, "NSE") {
            prop_assert!(read.of("INFY").is_none_or(|found| found.lot_size >= strat_core::Quantity::ZERO));
        }
    }
}
