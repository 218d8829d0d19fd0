//! How to reach Kite, for whom, and on what terms orders go.

use secrecy::SecretString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Under which margin and until when a position is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Within the day; the broker squares off what is left of it.
    Mis,
    /// Shares for delivery.
    Cnc,
    /// Futures and options for as long as they live.
    Nrml,
}

impl Product {
    /// As Kite writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mis => "MIS",
            Self::Cnc => "CNC",
            Self::Nrml => "NRML",
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far from the last price a market order may fill. Kite refuses market orders without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarketProtection {
    /// As the exchange's guidelines say.
    Automatic,
    /// Within so many percent, 1 to 100.
    Percent(u8),
}

impl fmt::Display for MarketProtection {
    /// As Kite writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automatic => f.write_str("-1"),
            Self::Percent(percent) => write!(f, "{percent}"),
        }
    }
}

/// Everything that [`super::KiteBroker`] and the feed must be told.
#[derive(Debug, Clone)]
pub struct KiteSettings {
    /// The user whose account it is. Orders of anybody else are not sent.
    pub user: String,
    /// Of the app, from Kite's developer console.
    pub api_key: String,
    /// Of the app; only the exchange of a request token needs it.
    pub api_secret: SecretString,
    /// Holds the access token of the day; only its owner may read it.
    pub token_file: PathBuf,
    /// Holds the list of instruments of the day.
    pub instruments_file: PathBuf,
    /// Of the HTTP interface.
    pub rest_url: String,
    /// Of the ticker.
    pub stream_url: String,
    /// Exchange of symbols that name none: `INFY` is `NSE/INFY` then.
    pub exchange: String,
    /// Of every order.
    pub product: Product,
    /// Of every order.
    pub market_protection: MarketProtection,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How long after it got an order Kite may still not list it.
    pub settle: Duration,
    /// A ticker that says nothing for so long, heartbeats included, is connected anew.
    pub silence: Duration,
}

/// Exchange and tradingsymbol of a symbol: `BSE/INFY`, or `INFY` at the exchange of the settings. A colon, as Kite has
/// it between the two, cannot stand in a symbol here.
pub(crate) fn instrument_of<'a>(symbol: &'a str, exchange: &'a str) -> (&'a str, &'a str) {
    symbol.split_once('/').unwrap_or((exchange, symbol))
}

/// The symbol of an instrument: the inverse of [`instrument_of`]. Names of indices have blanks, which symbols have not.
pub(crate) fn symbol_of(exchange: &str, tradingsymbol: &str, settings_exchange: &str) -> String {
    let name = tradingsymbol.replace(' ', "_");
    if exchange == settings_exchange { name } else { format!("{exchange}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_names_its_exchange_or_is_of_the_usual_one() {
        for (symbol, exchange, name) in
            [("M&M", "NSE", "M&M"), ("BSE/INFY", "BSE", "INFY"), ("NSE/INFY", "NSE", "INFY")]
        {
            assert_eq!(instrument_of(symbol, "NSE"), (exchange, name));
        }
        assert_eq!(symbol_of("NSE", "NIFTY 50", "NSE"), "NIFTY_50");
        assert_eq!(symbol_of("BSE", "INFY", "NSE"), "BSE/INFY");
        assert!(strat_core::key::is_symbol(&symbol_of("NFO", "NIFTY26DECFUT", "NSE")));
    }
}
