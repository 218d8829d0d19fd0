//! Candles (OHLCV), built from ticks and kept in Redis.
