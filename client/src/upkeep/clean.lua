-- Each key is judged again here, where nobody can come between: what got a time to live meanwhile is left alone.
-- ARGV: the entries that trimming may remove in all, then a verb and a number for each key. Answers what was done to each.
local left = tonumber(ARGV[1])
local done = {}
for i, key in ipairs(KEYS) do
  local verb, number = ARGV[2 * i], ARGV[2 * i + 1]
  local kind = redis.call('TYPE', key).ok
  local count = 0
  if verb == 'ttl' or verb == 'delete' then
    if redis.call('PTTL', key) == -1 then
      count = verb == 'ttl' and redis.call('PEXPIRE', key, number) or redis.call('UNLINK', key)
    end
  elseif left > 0 then
    if verb == 'stream' and kind == 'stream' then
      count = redis.call('XTRIM', key, 'MAXLEN', '~', number, 'LIMIT', left)
    elseif kind == 'list' and verb ~= 'stream' then
      count = math.max(0, math.min(redis.call('LLEN', key) - tonumber(number), left))
      if count > 0 and verb == 'head' then
        redis.call('LTRIM', key, 0, -count - 1)
      elseif count > 0 then
        redis.call('LTRIM', key, count, -1)
      end
    end
    left = left - count
  end
  done[i] = count
end
return done
