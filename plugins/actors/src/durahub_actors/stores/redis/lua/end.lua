-- Frees in one bucket what an ended lease held; no save may name it any more. ARGV: its name.
redis.call('SREM', root .. ':live', ARGV[1])
for _, ref in ipairs(redis.call('SMEMBERS', held_key(ARGV[1]))) do
  local actor, name = unpack(cmsgpack.unpack(ref))
  local head = find(actor, name)
  if head then hand_over(actor, name, head, false) end
end
redis.call('DEL', held_key(ARGV[1]))
