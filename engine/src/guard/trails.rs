//! What trailing stops follow is kept twice: in a durable key of Redis, and here, by everything that came from the feed.
//! Each tells the other what it does not know: an engine that has just started, or a Redis that lost its newest writes. What
//! Redis has not taken yet it is never told: it comes to it by the prices themselves, in their order.

use super::{Guard, lock};
use color_eyre::eyre::bail;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::BTreeMap;
use strat_client::Connection;
use strat_core::book::TrailWrite;
use strat_core::{Price, key};

/// Symbols that are compared at the same time.
const AT_A_TIME: usize = 32;
/// How often a symbol is compared again whose key moves on meanwhile: it only does with a new best price.
const LOOKS: usize = 8;
/// Writes fields (as many as the second argument says) and deletes others, where the hash is as it was read.
const SWAP: &str = "
local known, fields = redis.call('HGETALL', KEYS[1]), tonumber(ARGV[1])
if #known ~= fields then return 0 end
local said = {}
for i = 1, fields, 2 do said[ARGV[2 + i]] = ARGV[3 + i] end
for i = 1, #known, 2 do if said[known[i]] ~= known[i + 1] then return 0 end end
local at, written = fields + 3, tonumber(ARGV[2])
local function write(command, from, to)
  for i = from, to, 1000 do redis.call(command, KEYS[1], unpack(ARGV, i, math.min(i + 999, to))) end
end
write('HSET', at, at + written - 1)
write('HDEL', at + written, #ARGV)
return 1";

/// Fields of a durable key.
type Fields = BTreeMap<String, String>;

impl Guard {
    /// Prices that Redis took, of many symbols: in the order in which it took them, and never before it did. A stop must not
    /// follow a price that lies ahead of others which are still to be checked.
    pub fn see<'a, P>(&self, prices: impl Iterator<Item = (&'a str, P)>)
    where
        P: Iterator<Item = (Price, &'a str)>,
    {
        let mut shadow = lock(&self.shadow);
        for (symbol, of_symbol) in prices {
            of_symbol.for_each(|(price, _)| shadow.see(symbol, price));
        }
    }

    /// Takes over what Redis knows of the prices that trailing stops follow.
    ///
    /// # Errors
    /// Where Redis cannot be asked.
    pub(super) async fn learn_trails(&self, redis: &Connection) -> redis::RedisResult<()> {
        let symbols = lock(&self.shadow).trail_symbols();
        let learned = stream::iter(symbols).map(|symbol| async move {
            if let Some(found) = read(&mut redis.clone(), &symbol).await? {
                lock(&self.shadow).adopt_trail(&symbol, &texts(&found));
            }
            Ok(())
        });
        learned.buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Tells Redis what trailing stops follow by prices that it took once and has lost.
    ///
    /// # Errors
    /// Where Redis cannot be asked, or the key of a symbol keeps moving on.
    pub async fn give_trails_back(&self, redis: &Connection) -> color_eyre::Result<()> {
        let symbols = lock(&self.shadow).trail_symbols();
        let told = stream::iter(symbols).map(|symbol| async move { self.give_back(redis.clone(), &symbol).await });
        told.buffer_unordered(AT_A_TIME).try_collect().await
    }

    async fn give_back(&self, mut redis: Connection, symbol: &str) -> color_eyre::Result<()> {
        for _ in 0..LOOKS {
            let Some(found) = read(&mut redis, symbol).await? else { return Ok(()) };
            let taken = lock(&self.shadow).taken_trail(symbol);
            let found = texts(&found);
            let Some(write) = TrailWrite::joining(&texts(&taken), &found) else { return Ok(()) };
            if swap(&mut redis, &key::trail("", symbol), &found, &write).await? {
                tracing::warn!(symbol, "Redis had lost prices that trailing stops follow; told it");
                return Ok(());
            }
        }
        bail!("what trailing stops of {symbol} follow moved on whenever it was compared")
    }
}

/// What the key of a symbol says; `None` where it is of another type.
async fn read(redis: &mut Connection, symbol: &str) -> redis::RedisResult<Option<Fields>> {
    let found: redis::RedisResult<Fields> = redis::cmd("HGETALL").arg(key::trail("", symbol)).query_async(redis).await;
    match found {
        // The key of one symbol must not keep the stops of all others from being watched.
        Err(error) if error.code() == Some("WRONGTYPE") => {
            let hint = "rename or delete the key: what trailing stops of the symbol follow is not durable";
            tracing::error!(symbol, %error, hint, "cannot read what trailing stops follow");
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn texts(fields: &Fields) -> Vec<(&str, &str)> {
    fields.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect()
}

async fn swap(
    redis: &mut Connection,
    name: &str,
    found: &[(&str, &str)],
    write: &TrailWrite,
) -> redis::RedisResult<bool> {
    let mut script = redis::cmd("EVAL");
    script.arg(SWAP).arg(1).arg(name).arg(2 * found.len()).arg(2 * write.written.len());
    let written = write.written.iter().flat_map(|(field, value)| [field.as_str(), value.as_str()]);
    let texts = found.iter().flat_map(|(field, value)| [*field, *value]).chain(written);
    for text in texts.chain(write.gone.iter().map(String::as_str)) {
        script.arg(text);
    }
    script.query_async(redis).await
}
