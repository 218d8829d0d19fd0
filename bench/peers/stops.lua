#!lua name=stops
-- The best that a Lua function makes of the task, for bench/ to compare with. Levels are kept in two sorted sets per
-- symbol, falls:{symbol} and rises:{symbol}, scored by the price in units of 10^-8: whole numbers, which doubles hold
-- exactly. The client sends the units beside the text, so that nothing is parsed here. Arguments stay texts wherever
-- they are only passed on, which saves Lua a conversion.

-- Most hits taken off a set at a time: unpack() has a limit.
local CHUNK = 5000

-- What the module does for a stop: mark the hash, enqueue, journal, publish.
local function fire(key, action, kind, price, ts)
  local version, cycle, quantity, id, user, symbol = unpack(redis.call('HMGET', key, 'version', 'cycle',
    'quantity', 'id', 'user_id', 'symbol'))
  local next_version = string.format('%d', version + 1)
  redis.call('XADD', 'queue:exits', '*', 'key', key, 'action', action, 'cycle', cycle, 'version', next_version,
    'price', price, 'ts', ts)
  redis.call('HSET', key, 'pending', action, 'version', next_version, 'updated_at', ts)
  redis.call('XADD', 'journal', 'MAXLEN', '~', '1000000', '*', 'key', key, 'version', next_version, 'type', kind,
    'ts', ts, 'data', '{"pending":"' .. action .. '","updated_at":"' .. ts .. '","version":"' .. next_version .. '"}')
  redis.call('PUBLISH', 'events:' .. user, '{"type":"' .. kind .. '","timestamp":' .. ts .. ',"strategy_id":"' .. id ..
    '","data":{"symbol":"' .. symbol .. '","price":"' .. price .. '","quantity":"' .. quantity .. '","action":"' ..
    action .. '"}}')
end

-- Fires the hits of one side, and takes their levels out of both sets.
local function fire_all(hits, falls, rises, action, kind, price, ts)
  for first = 1, #hits, CHUNK do
    local last = math.min(first + CHUNK - 1, #hits)
    redis.call('ZREM', falls, unpack(hits, first, last))
    redis.call('ZREM', rises, unpack(hits, first, last))
    for index = first, last do
      fire(hits[index], action, kind, price, ts)
    end
  end
  return #hits
end

-- keys: price, falls, rises; args: price, units, epoch ms. Answers the number fired, all of them in this call.
local function tick(keys, args)
  local price, units = args[1], args[2]
  redis.call('SET', keys[1], price, 'PX', '10000')
  local fell = redis.call('ZRANGE', keys[2], '+inf', units, 'BYSCORE', 'REV')
  local rose = redis.call('ZRANGE', keys[3], '-inf', units, 'BYSCORE')
  if #fell + #rose == 0 then
    return 0
  end
  return fire_all(fell, keys[2], keys[3], 'STOPLOSS', 'SL_TRIGGERED', price, args[3])
    + fire_all(rose, keys[2], keys[3], 'TAKEPROFIT', 'TP_TRIGGERED', price, args[3])
end

-- A new stop-loss. keys: hash, falls; args: level, units, epoch ms, channel, strategy id. Answers the version.
local function update(keys, args)
  local key, level, ts = keys[1], args[1], args[3]
  local version = redis.call('HINCRBY', key, 'version', '1')
  redis.call('HSET', key, 'stop_loss', level, 'updated_at', ts)
  redis.call('ZADD', keys[2], args[2], key)
  local data = '{"stop_loss":"' .. level .. '","updated_at":"' .. ts .. '","version":"' .. version .. '"}'
  redis.call('XADD', 'journal', 'MAXLEN', '~', '1000000', '*', 'key', key, 'version', version, 'type',
    'STRATEGY_UPDATED', 'ts', ts, 'data', data)
  redis.call('PUBLISH', args[4], '{"type":"STRATEGY_UPDATED","timestamp":' .. ts .. ',"strategy_id":"' .. args[5] ..
    '","data":' .. data .. '}')
  return version
end

redis.register_function('tick', tick)
redis.register_function('update', update)
