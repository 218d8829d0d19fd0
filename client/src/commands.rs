//! One method for each `STRAT.*` command.

use crate::error::{Error, Result};
use crate::fields::{StrategySpec, StrategyUpdate};
use crate::reply;
use crate::request::{Due, ListQuery, LockToken, Page, ReportRequest, option};
use crate::strategy::Strategy;
use redis::aio::ConnectionLike;
use redis::{Cmd, Value};
use std::future::Future;
use std::time::Duration;
use strat_core::Action;

/// The `STRAT.*` commands on every async connection of the `redis` crate: [`crate::Connection`],
/// `MultiplexedConnection`, `ConnectionManager`, and `ClusterConnection` where that crate's feature is on.
///
/// Nothing is retried here. A `key` is a strategy's key, as [`strat_core::StrategyKey::hash`] gives it.
///
/// On a cluster connection, commands with a key go where the key is, and so does `STRAT.SLCHECK` by its first symbol
/// (`{tag}SYMBOL`). `STRAT.LIST`, `SYMBOLS`, `DUE`, `EPOCH` and `DEBUG` speak of one node: send them over a connection to
/// that node. Set the cluster client's `retries(0)`: it would repeat writes whose outcome is unknown.
///
/// ```no_run
/// # async fn example() -> strat_client::Result<()> {
/// use strat_client::{Config, Connection, StratCommands, StrategySpec};
/// let mut redis = Connection::open(&Config::from_env()?).await?;
/// redis.strat_set("user:alice:strategy:s1", &StrategySpec::new("RELIANCE", "10").stop_loss("2450.00")).await?;
/// # Ok(()) }
/// ```
pub trait StratCommands: ConnectionLike + Send + Sized {
    /// Creates a strategy, or replaces an idle one. Answers with its version.
    fn strat_set(&mut self, key: &str, spec: &StrategySpec) -> impl Future<Output = Result<u64>> + Send {
        let command = set_command(key, spec, false);
        async move { reply::count(run(self, &command).await?, "version") }
    }

    /// Creates a strategy. `None` if there is one already, which then stays as it is.
    fn strat_set_nx(&mut self, key: &str, spec: &StrategySpec) -> impl Future<Output = Result<Option<u64>>> + Send {
        let command = set_command(key, spec, true);
        async move { reply::optional(run(self, &command).await?)?.map(|v| reply::count(v, "version")).transpose() }
    }

    /// Puts a strategy back that Redis has lost, or has an older `version` of; 0: has none of. Refused with `UNSYNCED` where
    /// the epoch is over, and with `BADVERSION` where the strategy has moved on. Answers with its version.
    fn strat_restore(
        &mut self,
        key: &str,
        spec: &StrategySpec,
        (epoch, version): (&str, u64),
    ) -> impl Future<Output = Result<u64>> + Send {
        let command = restore_command(key, spec, (epoch, version));
        async move { reply::count(run(self, &command).await?, "version") }
    }

    /// All fields of a strategy; `None` if there is none.
    fn strat_get(&mut self, key: &str) -> impl Future<Output = Result<Option<Strategy>>> + Send {
        let command = keyed("STRAT.GET", key);
        async move { reply::optional(run(self, &command).await?)?.map(|v| Strategy::from_reply(key, v)).transpose() }
    }

    /// Changes some fields. Answers with the version, which stays the same if nothing differs; `None` if there is no strategy.
    fn strat_update(&mut self, key: &str, update: &StrategyUpdate) -> impl Future<Output = Result<Option<u64>>> + Send {
        let command = update_command(key, update);
        async move { reply::optional(run(self, &command).await?)?.map(|v| reply::count(v, "version")).transpose() }
    }

    /// Removes a strategy with its set members and its lock. Whether there was one.
    fn strat_del(&mut self, key: &str) -> impl Future<Output = Result<bool>> + Send {
        let command = keyed("STRAT.DEL", key);
        async move { reply::flag(run(self, &command).await?, "STRAT.DEL's reply") }
    }

    /// A page of keys.
    fn strat_list(&mut self, query: &ListQuery) -> impl Future<Output = Result<Page<String>>> + Send {
        let command = query.command(false);
        async move { page(run(self, &command).await?, |member| reply::text(member, "key")) }
    }

    /// A page of strategies with all their fields.
    fn strat_list_values(&mut self, query: &ListQuery) -> impl Future<Output = Result<Page<Strategy>>> + Send {
        let command = query.command(true);
        async move { page(run(self, &command).await?, Strategy::from_listed) }
    }

    /// Symbols that have RUNNING strategies in the partition of `tag`, and how many.
    fn strat_symbols(&mut self, tag: Option<&str>) -> impl Future<Output = Result<Vec<(String, u64)>>> + Send {
        let mut command = redis::cmd("STRAT.SYMBOLS");
        option(&mut command, "TAG", tag);
        async move {
            let pairs = reply::pairs(run(self, &command).await?, "symbols")?;
            pairs
                .into_iter()
                .map(|(symbol, n)| Ok((reply::text(symbol, "symbol")?, reply::count(n, "count")?)))
                .collect()
        }
    }

    /// Stores a price and fires what it crosses. Answers with the number fired. `symbol` may carry a `{tag}`.
    fn strat_slcheck(&mut self, symbol: &str, price: &str) -> impl Future<Output = Result<u64>> + Send {
        let command = slcheck_command(&[(symbol, price)], None);
        async move { reply::count(run(self, &command).await?, "number fired") }
    }

    /// As [`Self::strat_slcheck`], with the time of the tick, epoch ms.
    fn strat_slcheck_at(&mut self, symbol: &str, price: &str, ts_ms: i64) -> impl Future<Output = Result<u64>> + Send {
        let command = slcheck_command(&[(symbol, price)], Some(ts_ms));
        async move { reply::count(run(self, &command).await?, "number fired") }
    }

    /// As [`Self::strat_slcheck`] for many ticks in one call, of one partition and in order, at most 10,000.
    /// Without ticks nothing is sent.
    fn strat_slcheck_many<S, P>(
        &mut self,
        ticks: &[(S, P)],
        ts_ms: Option<i64>,
    ) -> impl Future<Output = Result<u64>> + Send
    where
        S: AsRef<str> + Sync,
        P: AsRef<str> + Sync,
    {
        let command = (!ticks.is_empty()).then(|| slcheck_command(ticks, ts_ms));
        async move {
            match command {
                Some(command) => reply::count(run(self, &command).await?, "number fired"),
                None => Ok(0),
            }
        }
    }

    /// As [`StratCommands::strat_slcheck_many`], and the epoch of the server that took the ticks: if it is one that was
    /// reconciled, the ticks met every armed level. At least one tick.
    fn strat_slcheck_in_epoch<S, P>(
        &mut self,
        ticks: &[(S, P)],
        ts_ms: Option<i64>,
    ) -> impl Future<Output = Result<(u64, String)>> + Send
    where
        S: AsRef<str> + Sync,
        P: AsRef<str> + Sync,
    {
        let check = slcheck_command(ticks, ts_ms);
        async move {
            // Asked for afterwards: an epoch never comes back, so the same one held during the check.
            let (fired, epoch) = run_both(self, check, redis::cmd("STRAT.EPOCH")).await?;
            Ok((reply::count(fired?, "number fired")?, reply::text(epoch?, "epoch")?))
        }
    }

    /// Enqueues what has become due by `now_ms` in the partition of `tag`, at most `limit` strategies.
    fn strat_due(
        &mut self,
        now_ms: i64,
        tag: Option<&str>,
        limit: Option<u32>,
    ) -> impl Future<Output = Result<Due>> + Send {
        let mut command = redis::cmd("STRAT.DUE");
        command.arg(now_ms);
        option(&mut command, "TAG", tag);
        option(&mut command, "LIMIT", limit);
        async move { due(run(self, &command).await?) }
    }

    /// Claims a strategy for one order. `None`: somebody else holds it. `BUSY` and `NOSTRAT` mean that the order is not
    /// wanted any more, `UNSYNCED` that `epoch` is not the server's: reconcile first. See [`crate::OrderLock`].
    fn strat_lock(
        &mut self,
        key: &str,
        action: Action,
        owner: &str,
        ttl: Duration,
        epoch: Option<&str>,
    ) -> impl Future<Output = Result<Option<LockToken>>> + Send {
        let command = lock_command(key, (action, owner), ttl, epoch);
        async move { token(run(self, &command).await?) }
    }

    /// As [`StratCommands::strat_lock`], and in the same round trip the strategy as it was right afterwards, unless
    /// it could not be read.
    fn strat_lock_and_get(
        &mut self,
        key: &str,
        action: Action,
        owner: &str,
        ttl: Duration,
        epoch: Option<&str>,
    ) -> impl Future<Output = Result<(Option<LockToken>, Option<Strategy>)>> + Send {
        let (lock, get) = (lock_command(key, (action, owner), ttl, epoch), keyed("STRAT.GET", key));
        async move {
            let (lock, found) = run_both(self, lock, get).await?;
            // The lock counts; whoever needs the strategy then asks for it.
            let found = found.and_then(reply::optional).ok().flatten();
            Ok((token(lock?)?, found.and_then(|value| Strategy::from_reply(key, value).ok())))
        }
    }

    /// Lets the lock live for `ttl` from now. `false`: the token does not hold it any more.
    fn strat_extend(
        &mut self,
        key: &str,
        token: &LockToken,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool>> + Send {
        let mut command = keyed("STRAT.EXTEND", key);
        command.arg(token.as_str()).arg(millis(ttl));
        async move { reply::flag(run(self, &command).await?, "STRAT.EXTEND's reply") }
    }

    /// Gives the lock back. `false`: the token did not hold it any more.
    fn strat_unlock(&mut self, key: &str, token: &LockToken) -> impl Future<Output = Result<bool>> + Send {
        let mut command = keyed("STRAT.UNLOCK", key);
        command.arg(token.as_str());
        async move { reply::flag(run(self, &command).await?, "STRAT.UNLOCK's reply") }
    }

    /// Applies the broker's execution report and answers with the version. A terminal report of the lock's own action
    /// releases the lock. `BADTOKEN`: the token is stale, nothing changed.
    fn strat_report(
        &mut self,
        key: &str,
        token: &LockToken,
        report: &ReportRequest,
    ) -> impl Future<Output = Result<u64>> + Send {
        let command = report.command(key, token);
        async move { reply::count(run(self, &command).await?, "version") }
    }

    /// The id that changes whenever the server's memory may have lost writes. Opaque.
    fn strat_epoch(&mut self) -> impl Future<Output = Result<String>> + Send {
        let command = redis::cmd("STRAT.EPOCH");
        async move { reply::text(run(self, &command).await?, "epoch") }
    }

    /// Compares the books and the sets with a scan of the hashes. Empty: all is right. Slow on large data.
    fn strat_debug_verify(&mut self) -> impl Future<Output = Result<Vec<String>>> + Send {
        let mut command = redis::cmd("STRAT.DEBUG");
        command.arg("VERIFY");
        async move {
            let lines = reply::array(run(self, &command).await?, "differences")?;
            lines.into_iter().map(|line| reply::text(line, "difference")).collect()
        }
    }
}

impl<T: ConnectionLike + Send + Sized> StratCommands for T {}

pub(crate) async fn run<C: ConnectionLike>(connection: &mut C, command: &Cmd) -> Result<Value> {
    reply::plain(command.query_async(connection).await?)
}

/// Two commands in one round trip, and the reply of each: `query_async` would hide the word of a refusal among those of a
/// whole pipeline.
async fn run_both<C: ConnectionLike>(
    connection: &mut C,
    first: Cmd,
    second: Cmd,
) -> Result<(Result<Value>, Result<Value>)> {
    let mut pipeline = redis::pipe();
    pipeline.add_command(first).add_command(second);
    let mut replies = connection.req_packed_commands(&pipeline, 0, 2).await?.into_iter();
    let mut next = || reply::plain(replies.next().unwrap_or(Value::Nil));
    Ok((next(), next()))
}

fn lock_command(key: &str, (action, owner): (Action, &str), ttl: Duration, epoch: Option<&str>) -> Cmd {
    let mut command = keyed("STRAT.LOCK", key);
    command.arg(action.as_str()).arg(owner).arg(millis(ttl));
    option(&mut command, "EPOCH", epoch);
    command
}

fn token(reply: Value) -> Result<Option<LockToken>> {
    reply::optional(reply)?.map(|token| reply::text(token, "token").map(LockToken::new)).transpose()
}

fn keyed(name: &str, key: &str) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}

fn set_command(key: &str, spec: &StrategySpec, only_if_absent: bool) -> Cmd {
    let mut command = keyed("STRAT.SET", key);
    if only_if_absent {
        command.arg("NX");
    }
    command.arg(field_arguments(spec.fields(), &["NX", "RESTORE"]));
    command
}

fn restore_command(key: &str, spec: &StrategySpec, (epoch, version): (&str, u64)) -> Cmd {
    let mut command = keyed("STRAT.SET", key);
    command.arg("RESTORE").arg(epoch).arg(version).arg(field_arguments(spec.fields(), &[]));
    command
}

fn update_command(key: &str, update: &StrategyUpdate) -> Cmd {
    let mut command = keyed("STRAT.UPDATE", key);
    option(&mut command, "IFVERSION", update.if_version);
    option(&mut command, "TOKEN", update.token.as_deref());
    command.arg(field_arguments(update.fields(), &["IFVERSION", "TOKEN"]));
    command
}

/// Names and values in turn. A user's field that is called like an option goes last, where it cannot be taken for one.
fn field_arguments<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, options: &[&str]) -> Vec<&'a str> {
    let is_option = |name: &str| options.iter().any(|option| option.eq_ignore_ascii_case(name));
    let (last, first): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| is_option(name));
    first.into_iter().chain(last).flat_map(|(name, value)| [name, value]).collect()
}

/// Epoch ms of this machine, for a call whose last tick is of a symbol `TS` and would be taken for the option `TS`.
fn needed_ts<S: AsRef<str>, P>(ticks: &[(S, P)]) -> Option<i64> {
    let (symbol, _) = ticks.get(1..)?.last()?;
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    symbol.as_ref().eq_ignore_ascii_case("TS").then(|| i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

fn slcheck_command<S: AsRef<str>, P: AsRef<str>>(ticks: &[(S, P)], ts_ms: Option<i64>) -> Cmd {
    let mut command = redis::cmd("STRAT.SLCHECK");
    for (symbol, price) in ticks {
        command.arg(symbol.as_ref()).arg(price.as_ref());
    }
    option(&mut command, "TS", ts_ms.or_else(|| needed_ts(ticks)));
    command
}

/// A lock of less than a millisecond would be refused as 0.
pub(crate) fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX.unsigned_abs())
}

pub(crate) fn page<T>(value: Value, read: impl Fn(Value) -> Result<T>) -> Result<Page<T>> {
    let (cursor, members) = reply::pair(value, "page")?;
    let cursor = Some(reply::text(cursor, "cursor")?).filter(|cursor| cursor != "0");
    let items = reply::array(members, "page")?.into_iter().map(read).collect::<Result<_>>()?;
    Ok(Page { items, cursor })
}

pub(crate) fn due(value: Value) -> Result<Due> {
    let (enqueued, next) = reply::pair(value, "STRAT.DUE's reply")?;
    let next = reply::integer(next, "next due time")?;
    if next < -1 {
        return Err(Error::BadReply(format!("next due time is {next}")));
    }
    Ok(Due { enqueued: reply::count(enqueued, "enqueued")?, next_due_ms: (next >= 0).then_some(next) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::words;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn commands_have_the_modules_grammar() {
        let spec = StrategySpec::new("IBM", "10");
        assert_eq!(words(&set_command("k", &spec, true)), "STRAT.SET k NX symbol IBM quantity 10");
        let restored = words(&restore_command("k", &spec, ("5-e", 3)));
        assert_eq!(restored, "STRAT.SET k RESTORE 5-e 3 symbol IBM quantity 10");
        let update = StrategyUpdate::new().stop_loss("9.50").if_version(3).token(&LockToken::new("5-1"));
        assert_eq!(words(&update_command("k", &update)), "STRAT.UPDATE k IFVERSION 3 TOKEN 5-1 stop_loss 9.50");
        let ticks = [("{t}IBM", "1.50"), ("{t}M&M", "2")];
        assert_eq!(words(&slcheck_command(&ticks, Some(7))), "STRAT.SLCHECK {t}IBM 1.50 {t}M&M 2 TS 7");
    }

    #[test]
    fn names_that_are_also_options_are_not_taken_for_them() {
        let update = StrategyUpdate::new().field("token", "x").stop_loss("9");
        assert_eq!(words(&update_command("k", &update)), "STRAT.UPDATE k stop_loss 9 token x");
        let spec = StrategySpec::from_fields([("NX", "1"), ("symbol", "IBM"), ("quantity", "1")]);
        assert_eq!(words(&set_command("k", &spec, false)), "STRAT.SET k symbol IBM quantity 1 NX 1");
        let words = words(&slcheck_command(&[("IBM", "1"), ("TS", "2")], None));
        assert!(words.starts_with("STRAT.SLCHECK IBM 1 TS 2 TS 1"), "{words}");
    }

    #[test]
    fn every_connection_has_the_commands_and_can_hold_locks() {
        fn has<C: StratCommands + Clone + 'static>() -> usize {
            size_of::<crate::OrderLock<C>>()
        }
        let sizes = [
            has::<crate::Connection>(),
            has::<redis::aio::MultiplexedConnection>(),
            has::<redis::aio::ConnectionManager>(),
        ];
        assert!(sizes.iter().all(|size| *size > 0));
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let last = Value::Array(vec![bulk("0"), Value::Array(vec![bulk("k")])]);
        let page_of_keys = page(last, |member| reply::text(member, "key")).unwrap();
        assert_eq!(page_of_keys, Page { items: vec!["k".to_owned()], cursor: None });
        let more = Value::Array(vec![bulk("42"), Value::Array(vec![])]);
        assert_eq!(page(more, |member| reply::text(member, "key")).unwrap().cursor.as_deref(), Some("42"));
    }

    #[test]
    fn nothing_due_is_none() {
        let reply = |next| Value::Array(vec![Value::Int(2), Value::Int(next)]);
        assert_eq!(due(reply(-1)).unwrap(), Due { enqueued: 2, next_due_ms: None });
        assert_eq!(due(reply(5)).unwrap().next_due_ms, Some(5));
        assert!(due(reply(-2)).is_err());
    }

    #[tokio::test]
    async fn prices_are_taken_in_an_epoch_and_a_refusal_keeps_its_word() {
        use crate::fake::{Server, say};
        let server = Server::start(|_, command| match command {
            "STRAT.SLCHECK IBM 1 TS 7" => say(":2\r\n"),
            "STRAT.EPOCH" => say("+e1\r\n"),
            _ => say("-NOREPLICAS Not enough good replicas to write.\r\n"),
        })
        .await;
        let mut connection = crate::Connection::open(&server.config()).await.unwrap();
        let taken = connection.strat_slcheck_in_epoch(&[("IBM", "1")], Some(7)).await.unwrap();
        assert_eq!(taken, (2, "e1".to_owned()));
        let refused = connection.strat_slcheck_in_epoch(&[("IBM", "2")], Some(7)).await.unwrap_err();
        assert!(matches!(&refused, Error::Server { code, .. } if code == "NOREPLICAS"), "{refused:?}");
    }

    #[test]
    fn a_lock_lives_at_least_a_millisecond() {
        assert_eq!(millis(Duration::from_micros(10)), 1);
        assert_eq!(millis(Duration::from_secs(3)), 3_000);
    }
}
