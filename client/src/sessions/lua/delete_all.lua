-- KEYS: the index. ARGV: stem of all the user's sessions.
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  ended = ended + redis.call('UNLINK', ARGV[1] .. id)
end
redis.call('DEL', KEYS[1])
return ended
