//! Binary messages of Kite's ticker, as <https://kite.trade/docs/connect/v3/websocket/> lays them out. Pure.
//!
//! A message is a big-endian count and then so many packets, each behind its length. Which shape a packet has is told by
//! its length alone:
//!
//! | bytes | what | price | traded today | stamp |
//! |---|---|---|---|---|
//! | 8 | `ltp` | 4 | | |
//! | 28 | index, `quote` | 4 | | |
//! | 32 | index, `full` | 4 | | 28 |
//! | 44 | `quote` | 4 | 16 | |
//! | 184 | `full` | 4 | 16 | 60 |
//!
//! **Better no price than a wrong one.** A message whose lengths do not add up is believed in nothing, a packet of
//! another length is passed over.

use strat_core::Price;
use strat_core::decimal::SCALE;

/// Largest message: 3,000 instruments, which is all that a connection may subscribe to, in `full` mode.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Decimal places of prices in the segment of currencies at NSE.
const NSE_CURRENCY_SEGMENT: u32 = 3;
/// Segments of currencies elsewhere.
const OTHER_CURRENCY_SEGMENTS: [u32; 2] = [6, 12];

const LTP_BYTES: usize = 8;
const INDEX_QUOTE_BYTES: usize = 28;
const INDEX_FULL_BYTES: usize = 32;
const QUOTE_BYTES: usize = 44;
const FULL_BYTES: usize = 184;

/// What of a packet is a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    /// The instrument's number.
    pub(super) token: u32,
    /// Price of the last trade, above 0.
    pub(super) price: Price,
    /// Units traded since the day began; `None` in modes and of indices that do not tell.
    pub(super) volume: Option<u32>,
    /// The exchange's time, epoch seconds; `None` in modes that carry none.
    pub(super) exchange_s: Option<u32>,
}

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Packets with a price, in the order in which they came.
    pub(super) packets: Vec<Packet>,
    /// Packets of a length that is not documented, or with a price below 0.
    pub(super) unreadable: usize,
}

/// Why a message is believed in nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of {bytes} bytes ends inside packet {packet} of {count}")]
pub(super) struct Torn {
    bytes: usize,
    packet: usize,
    count: usize,
}

/// Reads a message. One of a single byte is a heartbeat and holds nothing.
///
/// # Errors
/// [`Torn`] where a packet is longer than what is left.
pub(super) fn read(message: &[u8]) -> Result<Message, Torn> {
    let mut read = Message { packets: Vec::new(), unreadable: 0 };
    let Some((count, mut rest)) = split_u16(message) else { return Ok(read) };
    for number in 1..=count {
        let Some((packet, after)) = split_packet(rest) else {
            return Err(Torn { bytes: message.len(), packet: number, count });
        };
        rest = after;
        match tick(packet) {
            Some(tick) if tick.price > Price::ZERO => read.packets.push(tick),
            // Not traded yet.
            Some(tick) if tick.price == Price::ZERO => {}
            _ => read.unreadable += 1,
        }
    }
    Ok(read)
}

fn split_u16(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::from(u16::from_be_bytes(*number)), rest))
}

fn split_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_u16(bytes)?;
    rest.split_at_checked(length)
}

fn tick(packet: &[u8]) -> Option<Packet> {
    let (volume_at, stamp_at) = match packet.len() {
        LTP_BYTES | INDEX_QUOTE_BYTES => (None, None),
        INDEX_FULL_BYTES => (None, Some(28)),
        QUOTE_BYTES => (Some(16), None),
        FULL_BYTES => (Some(16), Some(60)),
        _ => return None,
    };
    let token = number(packet, 0)?;
    Some(Packet {
        token,
        price: price(token, number(packet, 4)?),
        volume: volume_at.and_then(|at| number(packet, at)),
        // An instrument that was never traded has none.
        exchange_s: stamp_at.and_then(|at| number(packet, at)).filter(|stamp| *stamp > 0),
    })
}

fn number(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A price is a signed whole number of the segment's smallest unit.
fn price(token: u32, raw: u32) -> Price {
    let divisor = match token & 0xFF {
        NSE_CURRENCY_SEGMENT => 10_000_000,
        segment if OTHER_CURRENCY_SEGMENTS.contains(&segment) => 10_000,
        _ => 100,
    };
    // Exact: 10⁸ is a multiple of each, and 2³¹ · 10⁶ fits.
    Price::from_units(i64::from(raw.cast_signed()) * (SCALE / divisor))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
