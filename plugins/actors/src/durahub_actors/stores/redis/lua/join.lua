-- Lets saves in one bucket name a lease. ARGV: its name.
if not require_hub() then return redis.error_reply(NO_HUB) end
redis.call('SADD', root .. ':live', ARGV[1])
return true
