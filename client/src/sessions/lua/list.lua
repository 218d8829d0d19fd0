-- KEYS: the index. ARGV: stem of all the user's sessions.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local fields = redis.call('HGETALL', ARGV[1] .. id)
  if #fields == 0 then
    redis.call('ZREM', KEYS[1], id)
  else
    found[#found + 1] = {id, fields}
  end
end
return found
