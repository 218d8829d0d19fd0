use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A packet as Kite writes it: `length` bytes with these numbers at these places.
pub(super) fn packet(length: usize, numbers: &[(usize, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (at, number) in numbers {
        bytes[*at..*at + 4].copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

pub(super) fn message(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = (packets.len() as u16).to_be_bytes().to_vec();
    for packet in packets {
        bytes.extend_from_slice(&(packet.len() as u16).to_be_bytes());
        bytes.extend_from_slice(packet);
    }
    bytes
}

/// token, price, volume, stamp.
fn ticks(message: &[u8]) -> Vec<(u32, String, Option<u32>, Option<u32>)> {
    let read = read(message).unwrap();
    assert_eq!(read.unreadable, 0);
    read.packets.into_iter().map(|p| (p.token, p.price.to_string(), p.volume, p.exchange_s)).collect()
}

pub(super) const INFY: u32 = 408_065;
pub(super) const NIFTY_50: u32 = 256_265;

#[test]
fn every_documented_shape_is_read_at_its_places() {
    let head = [(0, INFY), (4, 157_230), (16, 1_175_986)];
    for (length, volume, stamp) in
        [(8, None, None), (44, Some(1_175_986), None), (184, Some(1_175_986), Some(1_625_461_887))]
    {
        let mut numbers: Vec<_> = head.into_iter().filter(|(at, _)| at + 4 <= length).collect();
        numbers.extend((length == 184).then_some((60, 1_625_461_887)));
        let bytes = message(&[packet(length, &numbers)]);
        assert_eq!(ticks(&bytes), [(INFY, "1572.3".to_owned(), volume, stamp)], "{length}");
    }
    for (length, stamp) in [(28, None), (32, Some(1_625_461_887))] {
        let mut numbers = vec![(0, NIFTY_50), (4, 1_580_365), (20, 1_572_220)];
        numbers.extend(stamp.map(|stamp| (28, stamp)));
        let bytes = message(&[packet(length, &numbers)]);
        assert_eq!(ticks(&bytes), [(NIFTY_50, "15803.65".to_owned(), None, stamp)], "an index of {length}");
    }
}

#[test]
fn the_unit_of_a_price_is_its_segments() {
    for (segment, raw, shown) in [
        (1, 250_005, "2500.05"),
        (2, 250_005, "2500.05"),
        (3, 744_525_000, "74.4525"),
        (4, 5, "0.05"),
        (6, 744_525, "74.4525"),
        (7, 6_123_400, "61234"),
        (9, 1_580_365, "15803.65"),
        (12, 744_525, "74.4525"),
        (3, i32::MAX as u32, "214.7483647"),
        (1, i32::MAX as u32, "21474836.47"),
    ] {
        let token = (4_711 << 8) | segment;
        let bytes = message(&[packet(8, &[(0, token), (4, raw)])]);
        assert_eq!(ticks(&bytes), [(token, shown.to_owned(), None, None)], "segment {segment}");
    }
}

#[test]
fn a_message_mixes_shapes_and_keeps_their_order() {
    let bytes = message(&[
        packet(184, &[(0, INFY), (4, 100), (60, 7)]),
        packet(8, &[(0, INFY), (4, 200)]),
        packet(32, &[(0, NIFTY_50), (4, 300), (28, 9)]),
    ]);
    let seen: Vec<_> = ticks(&bytes).into_iter().map(|(token, price, _, stamp)| (token, price, stamp)).collect();
    assert_eq!(
        seen,
        [(INFY, "1".to_owned(), Some(7)), (INFY, "2".to_owned(), None), (NIFTY_50, "3".to_owned(), Some(9))]
    );
}

#[test]
fn a_heartbeat_holds_nothing() {
    let nothing = Message { packets: vec![], unreadable: 0 };
    for bytes in [&[][..], &[0], &[1], &[0, 0]] {
        assert_eq!(read(bytes).as_ref(), Ok(&nothing), "{bytes:?}");
    }
}

#[test]
fn what_does_not_add_up_is_believed_in_nothing() {
    let whole = message(&[packet(8, &[(0, INFY), (4, 100)]), packet(44, &[(0, INFY), (4, 200)])]);
    for length in 2..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut at {length}");
    }
    // What follows the last packet is no part of the message.
    let longer = [whole.as_slice(), &[1, 2, 3]].concat();
    assert_eq!(read(&longer), read(&whole));
    assert_eq!(
        read(&[0, 2, 0, 0]).unwrap_err().to_string(),
        "a message of 4 bytes ends inside packet 2 of 2",
        "an empty packet, and then none"
    );
}

#[test]
fn other_lengths_and_prices_below_zero_are_counted_and_no_ticks() {
    let odd = [0, 4, 7, 9, 12, 27, 36, 43, 45, 164, 183, 185].map(|length| packet(length, &[]));
    let mut packets: Vec<_> = odd.into_iter().collect();
    packets.push(packet(8, &[(0, INFY), (4, (-500_i32) as u32)]));
    packets.push(packet(8, &[(0, INFY), (4, 0)]));
    packets.push(packet(8, &[(0, INFY), (4, 500)]));
    let read = read(&message(&packets)).unwrap();
    assert_eq!((read.unreadable, read.packets.len()), (13, 1));
    assert_eq!(read.packets[0].price.to_string(), "5");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        if let Ok(read) = read(&bytes) {
            prop_assert!(read.packets.iter().all(|packet| packet.price > Price::ZERO));
            prop_assert!(read.packets.len() + read.unreadable <= bytes.len() / 2);
        }
    }

    #[test]
    fn what_is_written_is_what_is_read(
        packets in vec((prop::sample::select(vec![8_usize, 28, 32, 44, 184]), any::<u32>(), 1..=i32::MAX, any::<u32>(), 1..=u32::MAX), 0..40),
    ) {
        let written: Vec<_> = packets.iter().map(|(length, token, price, volume, stamp)| {
            let stamp_at = if *length == 32 { 28 } else { 60 };
            // Noise where nothing is looked at.
            let noise = (8..length.saturating_sub(3)).step_by(4).map(|at| (at, 0xdead_beef));
            let numbers = noise.chain([(0, *token), (4, price.cast_unsigned()), (16, *volume), (stamp_at, *stamp)]);
            packet(*length, &numbers.filter(|(at, _)| at + 4 <= *length).collect::<Vec<_>>())
        }).collect();
        let bytes = message(&written);
        let read = read(&bytes).map_err(|torn| TestCaseError::fail(torn.to_string()))?;
        prop_assert_eq!(read.packets.len(), packets.len());
        for (got, (length, token, raw, volume, stamp)) in read.packets.iter().zip(&packets) {
            let scale = match token & 0xFF { 3 => 7, 6 | 12 => 4, _ => 2 };
            // Read with other eyes: as digits with a point in them.
            let digits = format!("{raw:0>width$}", width = scale + 1);
            let (whole, part) = digits.split_at(digits.len() - scale);
            prop_assert_eq!(got.price, format!("{whole}.{part}").parse::<Price>().unwrap());
            prop_assert_eq!(got.token, *token);
            prop_assert_eq!(got.volume, (*length >= 44).then_some(*volume));
            prop_assert_eq!(got.exchange_s, matches!(length, 32 | 184).then_some(*stamp));
        }
    }

    #[test]
    fn a_torn_or_changed_message_gives_no_price_that_was_not_in_it(
        prices in vec(1..=i32::MAX, 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let packets: Vec<_> = prices.iter().map(|price| packet(44, &[(0, INFY), (4, price.cast_unsigned())])).collect();
        let whole = message(&packets);
        let length = cut.index(whole.len() + 1);
        match read(&whole[..length]) {
            Err(_) => prop_assert!(length < whole.len()),
            Ok(read) => prop_assert!(length == whole.len() || (length < 2 && read.packets.is_empty())),
        }
    }
}
