//! What trailing stops follow is kept twice: in a durable key of Redis, and here, by everything that came from the feed.
//! Each tells the other what it does not know: an engine that has just started, or a Redis that lost its newest writes.

use super::{Guard, lock};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
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

impl Guard {
    /// A price came, whoever watches the stops.
    pub fn see(&self, symbol: &str, price: Price) {
        if self.following.load(Ordering::Relaxed) {
            lock(&self.shadow).see(symbol, price);
        }
    }

    /// Compares what is followed here with what Redis holds; afterwards both know as much. Answers how many symbols
    /// Redis had to be told of.
    ///
    /// # Errors
    /// Where Redis cannot be asked.
    pub async fn exchange_trails(&self, redis: &Connection) -> redis::RedisResult<usize> {
        let symbols = lock(&self.shadow).trail_symbols();
        let exchanges = stream::iter(symbols).map(|symbol| async move {
            let told = self.exchange_trail(redis.clone(), &symbol).await;
            match told {
                // The key of one symbol must not keep the stops of all others from being watched.
                Err(error) if is_of_key(&error) => {
                    let hint = "rename or delete the key; trailing stops of the symbol go on from what Redis knows";
                    tracing::error!(symbol, %error, hint, "cannot compare what trailing stops follow");
                    Ok(false)
                }
                told => told,
            }
        });
        let told = exchanges
            .buffer_unordered(AT_A_TIME)
            .try_fold(0, |count, told| async move { Ok(count + usize::from(told)) });
        told.await
    }

    async fn exchange_trail(&self, mut redis: Connection, symbol: &str) -> redis::RedisResult<bool> {
        let name = key::trail("", symbol);
        for _ in 0..LOOKS {
            let found: HashMap<String, String> = redis::cmd("HGETALL").arg(&name).query_async(&mut redis).await?;
            let fields: Vec<_> = found.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect();
            let Some(write) = lock(&self.shadow).merge_trail(symbol, &fields) else { return Ok(false) };
            if swap(&mut redis, &name, &fields, &write).await? {
                tracing::warn!(symbol, "Redis had lost prices that trailing stops follow; told it");
                return Ok(true);
            }
        }
        Ok(false)
    }
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

/// Whether the trouble is with this key alone.
fn is_of_key(error: &redis::RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}
