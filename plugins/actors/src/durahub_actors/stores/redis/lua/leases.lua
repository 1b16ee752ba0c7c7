-- The register of leases, in the first bucket. `:leases` holds those that live and `:overdue` when anyone may
-- end them; `:ending` those that are being ended in all buckets; `:names` every name that was ever used.
-- ARGV[1]: what to do. Returns seconds and microseconds of the clock, a verdict, what is ending, and when the
-- first of those that are not among ARGV is overdue.
if not require_hub() then return redis.error_reply(NO_HUB) end

local leases, overdue = root .. ':leases', root .. ':overdue'
local ending, names = root .. ':ending', root .. ':names'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function begin_to_end(name)
  local packed = redis.call('HGET', leases, name)
  if packed then
    redis.call('HSET', ending, name, packed)
    redis.call('HDEL', leases, name)
    redis.call('ZREM', overdue, name)
  end
end

local function extend(name, packed)
  redis.call('ZADD', overdue, string.format('%.0f', now + string.match(packed, '^%d+')), name)
end

local function acquire(name, packed)
  if redis.call('SADD', names, name) == 0 then return 'USED' end
  redis.call('HSET', leases, name, packed)
  extend(name, packed)
  return 'OK'
end

local function renew(first)
  for number = first, #ARGV do
    if redis.call('HEXISTS', leases, ARGV[number]) == 0 then return ARGV[number] end
  end
  for number = first, #ARGV do
    extend(ARGV[number], redis.call('HGET', leases, ARGV[number]))
  end
  return false
end

local verdict = false
if ARGV[1] == 'acquire' then
  verdict = acquire(ARGV[2], ARGV[3])
elseif ARGV[1] == 'renew' then
  verdict = renew(2)
elseif ARGV[1] == 'release' then
  begin_to_end(ARGV[2])
end
if ARGV[1] ~= 'release' then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', overdue, '-inf', string.format('%.0f', now))) do
    begin_to_end(name)
  end
end

local function next_overdue()
  local named = {}
  for _, name in ipairs(ARGV) do named[name] = true end
  local found = redis.call('ZRANGE', overdue, 0, #ARGV, 'WITHSCORES')
  for place = 1, #found, 2 do
    if not named[found[place]] then return string.format('%.0f', found[place + 1]) end
  end
  return false
end

return {time[1], time[2], verdict, redis.call('HKEYS', ending), next_overdue()}
