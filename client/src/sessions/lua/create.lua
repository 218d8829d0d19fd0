-- KEYS: the session, the index. ARGV: stem of all the user's sessions, id, now, idle and greatest age in ms, most sessions;
-- then fields and values.
local stem, id, now, idle, age, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
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
