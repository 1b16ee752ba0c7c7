-- Saves of actors of one bucket, each complete or refused. ARGV[1]: the saves, as `saving.py` encodes them;
-- then all values and payloads, in the order in which the saves name them. Returns for each save
-- {etag or false, taken names...}, or which condition did not hold: 1 lease, 2 etag, 3 holder.
if not require_hub() then return redis.error_reply(NO_HUB) end

local argument = 1
local function next_value()
  argument = argument + 1
  return ARGV[argument]
end

local lives = {}
local function is_alive(lease)
  if lives[lease] == nil then
    lives[lease] = redis.call('SISMEMBER', root .. ':live', lease) == 1
  end
  return lives[lease]
end

local function index_key(save, index) return root .. ':index||' .. save.type .. '||' .. index end

local function read_marks(actor)
  local packed = redis.call('HGET', state_key(actor), MARKS)
  return packed and cmsgpack.unpack(packed) or {}
end

local function find_refusal(save, etag)
  for _, lease in ipairs(save.leases) do
    if not is_alive(lease) then return 1 end
  end
  if save.expected ~= true and save.expected ~= etag then return 2 end
  for _, held in ipairs(save.held) do
    local head = find(save.actor, held[1])
    if not head or head[HOLDER] ~= held[2] then return 3 end
  end
end

local function unmark(save, marks, index)
  if marks[index] then
    redis.call('ZREM', index_key(save, index), marks[index] .. save.id)
    marks[index] = nil
  end
end

local function forget(actor, name)
  local head = find(actor, name)
  if head then
    leave(actor, name, head)
    redis.call('HDEL', reminders_key(actor), 'r' .. name, 'p' .. name)
  end
end

local function erase(save)
  for index, rank in pairs(read_marks(save.actor)) do
    redis.call('ZREM', index_key(save, index), rank .. save.id)
  end
  for _, name in ipairs(reminder_names(save.actor)) do forget(save.actor, name) end
  redis.call('DEL', state_key(save.actor))
end

local function put_marks(save)
  if #save.mark == 0 and #save.unmark == 0 then return end
  local marks = read_marks(save.actor)
  for _, index in ipairs(save.unmark) do unmark(save, marks, index) end
  for _, mark in ipairs(save.mark) do
    unmark(save, marks, mark[1])
    marks[mark[1]] = mark[2]
    redis.call('ZADD', index_key(save, mark[1]), 0, mark[2] .. save.id)
  end
  if next(marks) then
    redis.call('HSET', state_key(save.actor), MARKS, cmsgpack.pack(marks))
  else
    redis.call('HDEL', state_key(save.actor), MARKS)
  end
end

local function put_state(save, values)
  local fields = {}
  if save.etag then fields = {ETAG, save.etag} end
  for number, key in ipairs(save.put) do
    fields[#fields + 1] = key
    fields[#fields + 1] = values[number]
  end
  call_in_parts('HDEL', state_key(save.actor), save.delete)
  call_in_parts('HSET', state_key(save.actor), fields)
  put_marks(save)
end

local function remind(save, wanted, payload)
  local name, old = wanted.name, find(save.actor, wanted.name)
  local holder = old and not wanted.release and old[HOLDER] or wanted.take
  local head = {wanted.queue, wanted.rank, wanted.label, holder}
  if old then leave(save.actor, name, old) end
  keep(save.actor, name, head)
  if payload == '' then
    redis.call('HDEL', reminders_key(save.actor), 'p' .. name)
  else
    redis.call('HSET', reminders_key(save.actor), 'p' .. name, payload)
  end
  enter(save.actor, name, head)
end

local function hold(save)
  for _, wanted in ipairs(save.hold) do
    local head = find(save.actor, wanted[1])
    if head then hand_over(save.actor, wanted[1], head, wanted[2]) end
  end
end

local function carry_out(save, values, payloads)
  local etag = redis.call('HGET', state_key(save.actor), ETAG)
  local refusal = find_refusal(save, etag)
  if refusal then return refusal end
  if save.erase then
    erase(save)
    etag = false
  end
  for _, name in ipairs(save.forget) do forget(save.actor, name) end
  put_state(save, values)
  for number, wanted in ipairs(save.remind) do remind(save, wanted, payloads[number]) end
  hold(save)
  local result = {save.etag or etag}
  for _, wanted in ipairs(save.remind) do
    if wanted.take and find(save.actor, wanted.name)[HOLDER] == wanted.take then
      result[#result + 1] = wanted.name
    end
  end
  return result
end

local results = {}
for number, save in ipairs(cmsgpack.unpack(ARGV[1])) do
  local values, payloads = {}, {}
  for position = 1, #save.put do values[position] = next_value() end
  for position = 1, #save.remind do payloads[position] = next_value() end
  results[number] = carry_out(save, values, payloads)
end
return results
