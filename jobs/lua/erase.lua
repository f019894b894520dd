-- Forget a job and all that was said of it; what stays is whose it was, so that asking for it is answered with 410.
local id, org, tomb_ms, subject = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
for _, delivery in ipairs(redis.call('LRANGE', P .. 'deliveries:' .. id, 0, -1)) do
  local address = redis.call('HGET', P .. 'delivery:' .. delivery, 'a')
  redis.call('DEL', P .. 'delivery:' .. delivery)
  if address then
    redis.call('ZREM', P .. 'outbox:' .. address, delivery)
    next_of(address)
  end
end
local provider = redis.call('HGET', P .. 'job:' .. id, 'q')
if provider then
  redis.call('ZREM', lane(org, provider), id)
  redis.call('ZREM', lane(org, way_out(provider)), id)
  redis.call('ZREM', P .. 'running:' .. provider, id)
  redis.call('ZREM', P .. 'running/' .. org, id)
end
redis.call('DEL', P .. 'job:' .. id, P .. 'events:' .. id, P .. 'deliveries:' .. id)
redis.call('ZREM', P .. 'org:' .. org, id)
for _, index in ipairs({'due', 'later', 'running', 'lost', 'sought'}) do
  redis.call('ZREM', P .. index, id)
end
redis.call('SET', P .. 'tomb:' .. id, org, 'PX', tomb_ms)
tell(id, 0, org, subject)
return 1
