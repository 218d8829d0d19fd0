-- KEYS: the connection's set, the user's. ARGV: stem of all the user's connections, connection id, life in ms, most
-- connections, most channels; then channels.
local stem, id, ttl = ARGV[1], ARGV[2], ARGV[3]
for _, other in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if other ~= id and redis.call('EXISTS', stem .. other) == 0 then
    redis.call('SREM', KEYS[2], other)
  end
end
local new = 1 - redis.call('SISMEMBER', KEYS[2], id)
if redis.call('SCARD', KEYS[2]) + new > tonumber(ARGV[4]) then
  return 'connections'
end
local count = redis.call('SCARD', KEYS[1])
for i = 6, #ARGV do
  count = count + 1 - redis.call('SISMEMBER', KEYS[1], ARGV[i])
end
if count > tonumber(ARGV[5]) then
  return 'channels'
end
redis.call('SADD', KEYS[1], unpack(ARGV, 6))
redis.call('SADD', KEYS[2], id)
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('PEXPIRE', KEYS[2], ttl)
return 'ok'
