//! `STRAT.TAKE`: entries handed out with their strategies claimed.

use super::{Delivery, Queue, QueueReader, typed};
use crate::connection::Connection;
use crate::entry::{RawEntry, entries};
use crate::error::{Error, Result};
use crate::reply;
use crate::request::LockToken;
use crate::strategy::Strategy;
use redis::{Cmd, Value};
use std::time::{Duration, Instant};

/// What [`QueueReader::take`] handed out.
#[derive(Debug)]
pub struct Taken {
    /// The entry.
    pub delivery: Delivery,
    /// The lock on its strategy. `None`: it could not be claimed, and `STRAT.LOCK` says why.
    pub claim: Option<Claimed>,
}

/// A lock that came with its entry.
#[derive(Debug)]
pub struct Claimed {
    /// The lock's token.
    pub token: LockToken,
    /// The strategy as it was right after it was claimed; `None` where its fields cannot be read.
    pub strategy: Option<Strategy>,
    /// Before the question: the lock lives at least from then on.
    pub asked: Instant,
    /// When the answer was here: the strategy may have changed since.
    pub answered: Instant,
}

impl QueueReader {
    /// As [`QueueReader::read`], with the strategy of each order claimed for `ttl` in the same step: a round trip, and
    /// with an append-only file a write to disk, less before the order is out. The locks belong to this reader's
    /// consumer.
    ///
    /// The server takes the entries in the moment in which they are added: a plain `XREAD` waits, and `STRAT.TAKE`
    /// stands right behind it.
    ///
    /// Not cancel-safe, as [`QueueReader::read`]; locks that nobody has heard of run out.
    ///
    /// # Errors
    /// `UNSYNCED`: `epoch` is not the server's, nothing was handed out. Else as [`QueueReader::read`].
    pub async fn take(
        &mut self,
        queue: Queue,
        count: usize,
        block: Duration,
        ttl: Duration,
        epoch: Option<&str>,
    ) -> Result<Vec<Taken>> {
        let stream = self.stream(queue).to_owned();
        let mut command = redis::cmd("STRAT.TAKE");
        command
            .arg(&stream)
            .arg(self.group.consumer())
            .arg(crate::commands::millis(ttl))
            .arg("COUNT")
            .arg(count.max(1));
        if let Some(epoch) = epoch {
            command.arg("EPOCH").arg(epoch);
        }
        let asked = Instant::now();
        let Some(value) = self.group.run_when_new(&stream, block, command).await? else {
            return Ok(Vec::new());
        };
        let answered = Instant::now();
        let mut all = Vec::new();
        for member in reply::array(value, "STRAT.TAKE's reply")? {
            let (raw, claim) = taken(&stream, member, (asked, answered))?;
            self.group.note_delivered(&stream, raw.id.clone());
            all.push(Taken { delivery: typed(raw), claim });
        }
        Ok(all)
    }
}

/// Id, fields, token and strategy of one entry.
fn taken(stream: &str, member: Value, (asked, answered): (Instant, Instant)) -> Result<(RawEntry, Option<Claimed>)> {
    let members: std::result::Result<[Value; 4], _> = reply::array(member, "entry")?.try_into();
    let [id, fields, token, strategy] = members
        .map_err(|members| Error::BadReply(format!("an entry of STRAT.TAKE has {} members, not 4", members.len())))?;
    let raw = entries(stream, Value::Array(vec![Value::Array(vec![id, fields])]))?.pop();
    let raw = raw.ok_or_else(|| Error::BadReply("STRAT.TAKE gave no entry".to_owned()))?;
    let claim = match reply::optional(token)? {
        None => None,
        Some(token) => {
            let strategy = raw.get("key").and_then(|key| Strategy::from_reply(key, strategy).ok());
            Some(Claimed { token: LockToken::new(reply::text(token, "token")?), strategy, asked, answered })
        }
    };
    Ok((raw, claim))
}

/// The last entry of a stream that a group was given.
pub(crate) async fn last_delivered(commands: &mut Connection, stream: &str, group: &str) -> Result<Option<String>> {
    let value: Value = redis::cmd("XINFO").arg("GROUPS").arg(stream).query_async(commands).await?;
    for row in reply::array(value, "XINFO's reply")? {
        let pairs = reply::pairs(row, "group")?;
        let field = |name: &str| {
            let found =
                pairs.iter().find(|(known, _)| reply::text(known.clone(), "name").is_ok_and(|known| known == name));
            found.map(|(_, value)| reply::text(value.clone(), name)).transpose()
        };
        if field("name")?.as_deref() == Some(group) {
            return field("last-delivered-id");
        }
    }
    Ok(None)
}

/// Waits for something behind `after`, for at most `block`.
pub(crate) fn wait_command(stream: &str, after: &str, block: Duration) -> Cmd {
    let mut command = redis::cmd("XREAD");
    let ms = u64::try_from(block.as_millis()).unwrap_or(u64::MAX).max(1);
    command.arg("COUNT").arg(1).arg("BLOCK").arg(ms).arg("STREAMS").arg(stream).arg(after);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::Action;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn member(token: Value, strategy: Value) -> Value {
        let fields = ["key", "user:a:strategy:s", "action", "SELL", "cycle", "1", "version", "4"].map(bulk).to_vec();
        Value::Array(vec![bulk("7-0"), Value::Array(fields), token, strategy])
    }

    #[test]
    fn an_entry_comes_with_its_lock_and_its_strategy_or_without() {
        let now = Instant::now();
        let map = Value::Map(vec![(bulk("symbol"), bulk("INFY"))]);
        let flat = Value::Array(vec![bulk("symbol"), bulk("INFY")]);
        for strategy in [map, flat] {
            let (raw, claim) = taken("queue:exits", member(bulk("9-1"), strategy), (now, now)).unwrap();
            assert_eq!(typed(raw).unwrap().action, Action::Sell);
            let claim = claim.unwrap();
            assert_eq!(claim.token.as_str(), "9-1");
            assert_eq!(claim.strategy.unwrap().get("symbol"), Some("INFY"));
        }
        let (raw, claim) = taken("queue:exits", member(Value::Nil, Value::Nil), (now, now)).unwrap();
        assert!(raw.id == "7-0" && claim.is_none());
        assert!(taken("queue:exits", Value::Array(vec![bulk("7-0")]), (now, now)).is_err());
    }
}
