//! Which commands only read.

use redis::{Arg, Cmd};

/// Commands that change nothing and wait for nothing, sorted by name. Those that read in one form and write in another (`SORT`,
/// `GETEX`, `XREAD BLOCK`, …) are not among them.
const READS: &[&str] = &[
    "BITCOUNT",
    "BITFIELD_RO",
    "BITPOS",
    "DBSIZE",
    "DUMP",
    "ECHO",
    "EVALSHA_RO",
    "EVAL_RO",
    "EXISTS",
    "EXPIRETIME",
    "FCALL_RO",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEORADIUSBYMEMBER_RO",
    "GEORADIUS_RO",
    "GEOSEARCH",
    "GET",
    "GETBIT",
    "GETRANGE",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HRANDFIELD",
    "HSCAN",
    "HSTRLEN",
    "HVALS",
    "INFO",
    "LCS",
    "LINDEX",
    "LLEN",
    "LPOS",
    "LRANGE",
    "MGET",
    "OBJECT",
    "PEXPIRETIME",
    "PFCOUNT",
    "PING",
    "PTTL",
    "RANDOMKEY",
    "SCAN",
    "SCARD",
    "SDIFF",
    "SINTER",
    "SINTERCARD",
    "SISMEMBER",
    "SMEMBERS",
    "SMISMEMBER",
    "SORT_RO",
    "SRANDMEMBER",
    "SSCAN",
    "STRAT.EPOCH",
    "STRAT.GET",
    "STRAT.LIST",
    "STRAT.SYMBOLS",
    "STRLEN",
    "SUNION",
    "TIME",
    "TTL",
    "TYPE",
    "XINFO",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZDIFF",
    "ZINTER",
    "ZINTERCARD",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANDMEMBER",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREVRANGE",
    "ZREVRANGEBYLEX",
    "ZREVRANGEBYSCORE",
    "ZREVRANK",
    "ZSCAN",
    "ZSCORE",
    "ZUNION",
];

/// Whether this command is known to change nothing. `false` for whatever is not known.
#[must_use]
pub fn is_read(cmd: &Cmd) -> bool {
    match cmd.args_iter().next() {
        Some(Arg::Simple(name)) => {
            let name = name.iter().map(u8::to_ascii_uppercase);
            READS.binary_search_by(|known| known.bytes().cmp(name.clone())).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_every_name_on_it_is_found() {
        assert!(READS.is_sorted());
        assert!(READS.iter().all(|name| is_read(&redis::cmd(name))));
    }

    #[test]
    fn reads_are_known_in_any_case_and_nothing_else_is() {
        for name in ["GET", "hgetall", "Strat.Get"] {
            assert!(is_read(redis::cmd(name).arg("k")), "{name}");
        }
        for name in ["SET", "GETDEL", "GETEX", "SORT", "XREAD", "EVAL", "INCR", "", "GET ", "STRAT.SET", "BLPOP"] {
            assert!(!is_read(redis::cmd(name).arg("k")), "{name:?}");
        }
        assert!(!is_read(&Cmd::new()));
    }
}
