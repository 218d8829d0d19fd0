//! The feed that the settings ask for.

use super::Base;
use crate::config::FeedKind;
use crate::failure::{OrFail as _, failure};
use crate::feed::{
    AlpacaFeed, BinanceFeed, CsvFeed, CsvOptions, Feed, KiteFeed, LinesFeed, MappedFeed, PacedCsv, SimFeed,
    SimSettings, StreamFeed,
};
use color_eyre::Result;
use std::sync::Arc;
use std::time::Duration;

impl Base {
    pub(super) fn feed(&self) -> Result<Box<dyn Feed>> {
        let feed = &self.settings.feed;
        match (feed.kind, &feed.file) {
            (FeedKind::Sim, _) if feed.symbols.is_empty() => Err(failure(
                "the simulated market has no symbols",
                "set feed.symbols (STRAT_FEED_SYMBOLS) to SYMBOL=PRICE,SYMBOL=PRICE",
            )),
            (FeedKind::Sim, _) => {
                let sim = SimSettings {
                    seed: feed.seed,
                    symbols: feed.symbols.clone(),
                    tick: Duration::from_millis(feed.tick_ms),
                    step_bps: feed.step_bps,
                };
                Ok(Box::new(SimFeed::new(&sim, Arc::clone(&self.clock))))
            }
            (FeedKind::Csv, Some(file)) => {
                let ticks = CsvFeed::open(file, CsvOptions::default())
                    .or_fail("the file of ticks cannot be read", "check feed.file (STRAT_FEED_FILE)")?;
                Ok(Box::new(PacedCsv::new(ticks, feed.speed)))
            }
            (FeedKind::Lines, _) if feed.address.is_empty() => Err(failure(
                "feed.kind is lines and feed.address is not set",
                "set feed.address (STRAT_FEED_ADDRESS) to host:port",
            )),
            (FeedKind::Lines, _) => Ok(Box::new(LinesFeed::new(&feed.address, feed.idle, Arc::clone(&self.clock)))),
            (FeedKind::Alpaca, _) => Ok(Box::new(AlpacaFeed::new(self.settings.alpaca_feed()).or_fail(
                "Alpaca's market data cannot be listened to",
                "set feed.subscribe (STRAT_FEED_SUBSCRIBE) to SYMBOL,SYMBOL, and alpaca.key_id and alpaca.secret_key",
            )?)),
            (FeedKind::Kite, _) => {
                let (account, symbols, mode) =
                    (self.settings.kite_feed(), feed.subscribe.clone(), self.settings.kite.mode);
                Ok(Box::new(KiteFeed::new(account, symbols, mode, Arc::clone(&self.clock)).or_fail(
                    "Kite's ticker cannot be listened to",
                    "set feed.subscribe (STRAT_FEED_SUBSCRIBE) to SYMBOL,SYMBOL, and kite.api_key",
                )?))
            }
            (FeedKind::Binance, _) if feed.subscribe.is_empty() => Err(failure(
                "feed.kind is binance and feed.subscribe is not set",
                "set feed.subscribe (STRAT_FEED_SUBSCRIBE) to SYMBOL,SYMBOL as Binance writes them: BTCUSDT,ETHUSDT",
            )),
            (FeedKind::Binance, _) => {
                Ok(Box::new(BinanceFeed::new(&self.settings.binance.data_url, &feed.subscribe, feed.idle)))
            }
            (FeedKind::Stream, _) => Ok(Box::new(StreamFeed::new(&self.settings.source.stream(), self.link.own()?))),
            (FeedKind::Websocket, _) => {
                let (url, hello, mapping) = self.settings.source.websocket()?;
                Ok(Box::new(MappedFeed::new(url, hello, mapping, feed.idle, Arc::clone(&self.clock))))
            }
            (FeedKind::Csv, None) => Err(failure(
                "feed.kind is csv and feed.file is not set",
                "set feed.file (STRAT_FEED_FILE) to a file of ticks",
            )),
        }
    }
}
