//! What trades at the fake.

use std::collections::HashMap;

/// What trades where nothing else is asked for: number of the instrument, name, exchange, lot.
const USUAL: [(u32, &str, &str, u32); 4] = [
    ((1 << 8) | 1, "IBM", "NSE", 1),
    ((2 << 8) | 1, "M&M", "NSE", 1),
    ((3 << 8) | 3, "USDINR26DECFUT", "CDS", 1),
    ((4 << 8) | 2, "NIFTY26DECFUT", "NFO", 75),
];
/// First number of further shares.
const SHARES_FROM: u32 = 1_000;

/// What trades under a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// Its number; the last byte says which segment it is of.
    pub token: u32,
    /// Its name at the exchange.
    pub name: String,
    /// Where it trades.
    pub exchange: &'static str,
    /// Its quantities are multiples of this.
    pub lot: u32,
}

impl Instrument {
    /// `NFO/NIFTY26DECFUT`, or without an exchange one of NSE.
    #[must_use]
    pub fn symbol(&self) -> String {
        if self.exchange == "NSE" { self.name.clone() } else { format!("{}/{}", self.exchange, self.name) }
    }
}

/// The list of the day.
#[derive(Debug)]
pub struct Instruments {
    all: Vec<Instrument>,
    by_token: HashMap<u32, usize>,
    by_symbol: HashMap<String, usize>,
}

impl Default for Instruments {
    fn default() -> Self {
        Self::with_shares(0)
    }
}

impl Instruments {
    /// The usual ones, and so many shares of NSE: `S0`, `S1`, …
    #[must_use]
    pub fn with_shares(shares: usize) -> Self {
        let usual = USUAL.into_iter().map(|(token, name, exchange, lot)| Instrument {
            token,
            name: name.to_owned(),
            exchange,
            lot,
        });
        let shares = (SHARES_FROM..).take(shares).enumerate().map(|(at, number)| Instrument {
            token: (number << 8) | 1,
            name: format!("S{at}"),
            exchange: "NSE",
            lot: 1,
        });
        let all: Vec<_> = usual.chain(shares).collect();
        let by_token = all.iter().enumerate().map(|(at, instrument)| (instrument.token, at)).collect();
        let by_symbol = all.iter().enumerate().map(|(at, instrument)| (instrument.symbol(), at)).collect();
        Self { all, by_token, by_symbol }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Instrument] {
        &self.all
    }

    /// Those that were asked for beside the usual ones.
    #[must_use]
    pub fn shares(&self) -> &[Instrument] {
        &self.all[USUAL.len()..]
    }

    /// The one of a number.
    #[must_use]
    pub fn of_token(&self, token: u32) -> Option<&Instrument> {
        self.by_token.get(&token).map(|at| &self.all[*at])
    }

    /// The one of a symbol.
    #[must_use]
    pub fn of_symbol(&self, symbol: &str) -> Option<&Instrument> {
        self.by_symbol.get(symbol).map(|at| &self.all[*at])
    }
}
