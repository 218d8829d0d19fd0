local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local each, passed = ARGV[2] == 'each', true
local taken, reply = {}, {}
for i, key in ipairs(KEYS) do
  local full, usable, cost = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local debt = taken[key] or (tonumber(redis.call('GET', key)) or now) - now
  debt = math.max(0, math.min(debt, full))
  local fits = debt + cost <= usable
  if fits then
    taken[key] = debt + cost
  end
  passed = passed and fits
  reply[2 * i - 1] = fits and 1 or 0
  reply[2 * i] = debt
end
if each or passed then
  for key, debt in pairs(taken) do
    redis.call('SET', key, string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
  end
end
return reply
