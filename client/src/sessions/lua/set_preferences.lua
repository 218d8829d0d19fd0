-- KEYS: the preferences. ARGV: life in ms, most of them; then names and values, each name once.
local count = redis.call('HLEN', KEYS[1])
for i = 3, #ARGV, 2 do
  count = count + 1 - redis.call('HEXISTS', KEYS[1], ARGV[i])
end
if count > tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
