//! Market data: prices, ticks, trades, order books and statistics.
