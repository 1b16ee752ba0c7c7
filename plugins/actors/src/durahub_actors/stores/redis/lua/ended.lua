-- Strikes leases from the register that have ended in all buckets. ARGV: their names. Returns what this call
-- struck off, as {name, lease, ...}: of several that call it for one lease, one is told.
local told = {}
for _, name in ipairs(ARGV) do
  local packed = redis.call('HGET', root .. ':ending', name)
  if packed then
    redis.call('HDEL', root .. ':ending', name)
    told[#told + 1] = name
    told[#told + 1] = packed
  end
end
return told
