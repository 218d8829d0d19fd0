-- KEYS: the new token, the latest of its user and purpose. ARGV: stem of all tokens, hash of the new one, whose it is and
-- what for, life in ms.
local older = redis.call('SET', KEYS[2], ARGV[2], 'GET', 'PX', ARGV[4])
if older then
  redis.call('DEL', ARGV[1] .. older)
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
