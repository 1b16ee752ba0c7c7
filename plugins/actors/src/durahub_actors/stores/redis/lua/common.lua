-- What all scripts share. KEYS[1] is the bucket's key that always exists, such as {durahub:3.17}:schema; every
-- key that a script touches begins with the same hash tag, so that all of them are in one slot.
local root = string.match(KEYS[1], '^{[^}]*}')

-- While a slot is moved key by key, a command fails for a key that is not there (any more), and a script would
-- stop in the middle. This key never exists; so then the script stops here, before it has changed anything.
redis.call('EXISTS', root .. ':absent')

-- Fields of an actor's hash that are no values begin with a byte that no text in UTF-8 holds.
local ETAG, MARKS = '\255etag', '\255marks'
-- The parts of a reminder's head; its payload is a field of its own.
local QUEUE, RANK, LABEL, HOLDER = 1, 2, 3, 4

local function require_hub()
  return redis.call('EXISTS', KEYS[1]) == 1
end

local NO_HUB = 'NOHUB there is no task hub'

local function state_key(actor) return root .. '||' .. actor end
local function reminders_key(actor) return root .. ':reminders||' .. actor end
local function due_key(queue) return root .. ':due||' .. queue end
local function held_key(lease) return root .. ':held||' .. lease end
local function labels_key(queue) return root .. ':labels||' .. queue end

local function find(actor, name)
  local packed = redis.call('HGET', reminders_key(actor), 'r' .. name)
  return packed and cmsgpack.unpack(packed)
end

local function keep(actor, name, head)
  redis.call('HSET', reminders_key(actor), 'r' .. name, cmsgpack.pack(head))
end

-- Puts a reminder where it is found: by its moment, or by who holds it.
local function enter(actor, name, head)
  local ref = cmsgpack.pack({actor, name})
  if head[HOLDER] then
    redis.call('SADD', held_key(head[HOLDER]), ref)
    redis.call('HINCRBY', labels_key(head[QUEUE]), head[LABEL], 1)
  else
    redis.call('ZADD', due_key(head[QUEUE]), 0, head[RANK] .. ref)
  end
end

-- Takes it from there.
local function leave(actor, name, head)
  local ref = cmsgpack.pack({actor, name})
  if head[HOLDER] then
    redis.call('SREM', held_key(head[HOLDER]), ref)
    if redis.call('HINCRBY', labels_key(head[QUEUE]), head[LABEL], -1) <= 0 then
      redis.call('HDEL', labels_key(head[QUEUE]), head[LABEL])
    end
  else
    redis.call('ZREM', due_key(head[QUEUE]), head[RANK] .. ref)
  end
end

local function hand_over(actor, name, head, holder)
  leave(actor, name, head)
  head[HOLDER] = holder
  keep(actor, name, head)
  enter(actor, name, head)
end

-- Calls a command with any number of arguments, though Lua's stack has an end.
local function call_in_parts(command, key, arguments)
  for first = 1, #arguments, 1000 do
    redis.call(command, key, unpack(arguments, first, math.min(first + 999, #arguments)))
  end
end

local function reminder_names(actor)
  local names = {}
  for _, field in ipairs(redis.call('HKEYS', reminders_key(actor))) do
    if string.sub(field, 1, 1) == 'r' then names[#names + 1] = string.sub(field, 2) end
  end
  return names
end
