-- Where a bucket's reminders of a queue stand. ARGV: queue, most entries of interest. Returns seconds and
-- microseconds of the clock, and entries of the index: those that are due, and the next one.
if not require_hub() then return redis.error_reply(NO_HUB) end

local function lookup(lowest, highest, most)
  return redis.call('ZRANGEBYLEX', due_key(ARGV[1]), lowest, highest, 'LIMIT', 0, most)
end

local time = redis.call('TIME')
-- Moments are microseconds since the year 1, in 18 digits; what begins with the next one is not due yet.
local boundary = string.format('%012.0f%06d', tonumber(time[1]) + 62135596800, tonumber(time[2])) .. ';'
return {
  time[1], time[2],
  lookup('-', '(' .. boundary, tonumber(ARGV[2])),
  lookup('[' .. boundary, '+', 1),
}
