-- KEYS: the session. ARGV: its new end in epoch ms, the same from now in ms.
local ends = tonumber(redis.call('HGET', KEYS[1], 'ends_at'))
if not ends then
  return 0
end
if tonumber(ARGV[1]) < ends then
  redis.call('HSET', KEYS[1], 'ends_at', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'LT')
return 1
