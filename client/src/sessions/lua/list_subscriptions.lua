-- KEYS: the user's set. ARGV: stem of all the user's connections.
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local channels = redis.call('SMEMBERS', ARGV[1] .. id)
  if #channels == 0 then
    redis.call('SREM', KEYS[1], id)
  else
    found[#found + 1] = {id, channels}
  end
end
return found
