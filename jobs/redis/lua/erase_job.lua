-- Forget a job and all that was said of it; what stays is whose it was, so that asking for it is answered with 410.
-- What it has reserved and cannot be charged any more is given back. Refused (0) when a move came first.
local id, org, tomb_ms, subject, seen = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local day, api_key, images, cost = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local version = redis.call('HGET', P .. 'job:' .. id, 'v')
if version and version ~= seen then
  return 0
end
if version and images ~= '0' then
  for _, counter in ipairs(counters(org, api_key, day)) do
    redis.call('HINCRBY', counter, 'images', images)
    redis.call('HINCRBY', counter, 'cost', cost)
  end
end
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
