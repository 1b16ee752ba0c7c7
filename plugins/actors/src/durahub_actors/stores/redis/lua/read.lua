-- Values of actors of one bucket. ARGV: actors, keys and prefixes, packed. Returns for each actor false, or
-- {etag, key, value, ...}.
if not require_hub() then return redis.error_reply(NO_HUB) end

local actors, keys, prefixes = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])

local function has_prefix(field)
  for _, prefix in ipairs(prefixes) do
    if string.sub(field, 1, #prefix) == prefix then return true end
  end
end

local function wanted_fields(actor)
  if #prefixes == 0 then return keys end
  local wanted, is_wanted = {}, {}
  for _, key in ipairs(keys) do is_wanted[key] = true end
  for _, field in ipairs(redis.call('HKEYS', state_key(actor))) do
    if is_wanted[field] or (string.byte(field) ~= 255 and has_prefix(field)) then
      wanted[#wanted + 1] = field
    end
  end
  return wanted
end

local function read(actor)
  local etag = redis.call('HGET', state_key(actor), ETAG)
  if not etag then return false end
  local result, fields = {etag}, wanted_fields(actor)
  for first = 1, #fields, 1000 do
    local last = math.min(first + 999, #fields)
    for number, value in ipairs(redis.call('HMGET', state_key(actor), unpack(fields, first, last))) do
      if value then
        result[#result + 1] = fields[first + number - 1]
        result[#result + 1] = value
      end
    end
  end
  return result
end

local results = {}
for number, actor in ipairs(actors) do results[number] = read(actor) end
return results
