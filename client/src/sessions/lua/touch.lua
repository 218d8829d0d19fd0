-- KEYS: the session, the index. ARGV: id, now, idle ms.
local ends, now = tonumber(redis.call('HGET', KEYS[1], 'ends_at')), tonumber(ARGV[2])
if not ends or ends <= now or not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return {}
end
redis.call('HSET', KEYS[1], 'seen_at', ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[3]), ends - now))
return redis.call('HGETALL', KEYS[1])
