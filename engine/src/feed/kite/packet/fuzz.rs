//! Damaged packets: they are read as somebody else reads them, or not at all.

use super::read;
use super::tests::{INFY, NIFTY_50, message, packet};
use crate::fuzz::{decimal, run};
use std::ops::Range;

/// Token, price in units of 10⁻⁸, volume, stamp.
type Seen = (u32, i128, Option<u32>, Option<u32>);

/// One message of each documented length, and one of all of them.
fn documented() -> Vec<Vec<u8>> {
    let lengths = [8, 28, 32, 44, 184];
    let one = |length: usize| {
        let token = if matches!(length, 28 | 32) { NIFTY_50 } else { INFY };
        let stamp_at = if length == 32 { 28 } else { 60 };
        let numbers = [(0, token), (4, 157_230), (16, 1_175_986), (stamp_at, 1_625_461_887)];
        packet(length, &numbers.into_iter().filter(|(at, _)| at + 4 <= length).collect::<Vec<_>>())
    };
    let currencies = [3, 6, 12].map(|segment| packet(8, &[(0, (4_711 << 8) | segment), (4, 744_525_000)]));
    let all: Vec<_> = lengths.into_iter().map(one).chain(currencies).collect();
    let singles = all.iter().map(|packet| message(std::slice::from_ref(packet)));
    singles.chain([message(&all)]).collect()
}

/// The packets with a price, and how many make no sense: by a cursor, and with the point put between digits.
fn second(bytes: &[u8]) -> Option<(Vec<Seen>, usize)> {
    let number =
        |range: Range<usize>| Some(bytes.get(range)?.iter().fold(0_u64, |sum, byte| sum * 256 + u64::from(*byte)));
    let (mut seen, mut unreadable, mut at) = (Vec::new(), 0, 2);
    for _ in 0..number(0..2).unwrap_or(0) {
        let (from, length) = (at + 2, number(at..at + 2)? as usize);
        at = from + length;
        bytes.get(from..at)?;
        if ![8, 28, 32, 44, 184].contains(&length) {
            unreadable += 1;
            continue;
        }
        let field = |offset: usize| number(from + offset..from + offset + 4).unwrap() as u32;
        let (token, raw) = (field(0), field(4));
        let places = match bytes[from + 3] {
            3 => 7,
            6 | 12 => 4,
            _ => 2,
        };
        let digits = format!("{raw:0>12}");
        let (whole, part) = digits.split_at(digits.len() - places);
        let stamp = match length {
            32 => Some(field(28)),
            184 => Some(field(60)),
            _ => None,
        };
        match raw {
            0 => {}
            // The sign's bit.
            _ if bytes[from + 4] >= 0x80 => unreadable += 1,
            _ => {
                let price = decimal::units(&format!("{whole}.{part}")).unwrap();
                seen.push((token, price, (length >= 44).then(|| field(16)), stamp.filter(|stamp| *stamp != 0)));
            }
        }
    }
    Some((seen, unreadable))
}

#[test]
fn damaged_packets_are_read_as_by_somebody_else() {
    run("kite-packets", documented(), |bytes| {
        let first = read(bytes).ok().map(|message| {
            let seen = |packet: &super::Packet| {
                (packet.token, i128::from(packet.price.units()), packet.volume, packet.exchange_s)
            };
            (message.packets.iter().map(seen).collect::<Vec<_>>(), message.unreadable)
        });
        let second = second(bytes);
        if first != second {
            return Err(format!("{first:?} is not {second:?}"));
        }
        Ok(first.map_or(0, |(seen, _)| seen.len()))
    });
}
