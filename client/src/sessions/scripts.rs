//! What has to happen in one step on the server, for [`super::Sessions`]. The keys of a user's other sessions are made in the
//! script, from a stem: which they are is only known there.

use redis::Script;
use std::sync::LazyLock;

/// Takes the ended ones out of the index, ends the oldest where there are too many, writes the new one. The index lives as long
/// as the newest session can.
pub(super) static CREATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local stem, id, now, idle, age, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
for _, other in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if redis.call('EXISTS', stem .. other) == 0 then
    redis.call('ZREM', KEYS[2], other)
  end
end
local over = redis.call('ZCARD', KEYS[2]) - most
if over >= 0 then
  for _, other in ipairs(redis.call('ZRANGE', KEYS[2], 0, over)) do
    redis.call('UNLINK', stem .. other)
    redis.call('ZREM', KEYS[2], other)
  end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
redis.call('PEXPIRE', KEYS[1], idle)
redis.call('ZADD', KEYS[2], now, id)
if redis.call('PTTL', KEYS[2]) < tonumber(age) then
  redis.call('PEXPIRE', KEYS[2], age)
end
",
    )
});

/// A plain `HSET` would bring a session back to life that ended a moment before.
pub(super) static TOUCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local ends, now = tonumber(redis.call('HGET', KEYS[1], 'ends_at')), tonumber(ARGV[2])
if not ends or ends <= now or not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return {}
end
redis.call('HSET', KEYS[1], 'seen_at', ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[3]), ends - now))
return redis.call('HGETALL', KEYS[1])
",
    )
});

/// Only ever sooner, and not for a session that is gone.
pub(super) static EXPIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local ends = tonumber(redis.call('HGET', KEYS[1], 'ends_at'))
if not ends then
  return 0
end
if tonumber(ARGV[1]) < ends then
  redis.call('HSET', KEYS[1], 'ends_at', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'LT')
return 1
",
    )
});

/// Takes the ended ones out of the index on the way.
pub(super) static LIST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local fields = redis.call('HGETALL', ARGV[1] .. id)
  if #fields == 0 then
    redis.call('ZREM', KEYS[1], id)
  else
    found[#found + 1] = {id, fields}
  end
end
return found
",
    )
});

/// The index goes in the same step, so that a session created meanwhile is either ended or whole.
pub(super) static DELETE_ALL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  ended = ended + redis.call('UNLINK', ARGV[1] .. id)
end
redis.call('DEL', KEYS[1])
return ended
",
    )
});
