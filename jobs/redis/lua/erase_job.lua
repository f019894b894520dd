-- Forget a job and all that was said of it; what stays is whose it was, so that asking for it is answered with 410.
-- What it has reserved and cannot be charged any more is given back. Refused (0) when a move came first.
-- Includes: lanes, outbox, record.
local id, org, tomb_ms, subject, seen = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local day, api_key, images, cost = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local version = redis.call('HGET', keys.job(id), JobField.version)
if version and version ~= seen then
  return 0
end
if version and images ~= '0' then
  for _, counter in ipairs(counters(org, api_key, day)) do
    redis.call('HINCRBY', counter, UseField.images, images)
    redis.call('HINCRBY', counter, UseField.cost, cost)
  end
end
for _, delivery in ipairs(redis.call('LRANGE', keys.deliveries_of_job(id), 0, -1)) do
  local address = redis.call('HGET', keys.delivery(delivery), DeliveryField.queue)
  redis.call('DEL', keys.delivery(delivery))
  if address then
    redis.call('ZREM', keys.queued_deliveries(address), delivery)
    next_of(address)
  end
end
local provider = redis.call('HGET', keys.job(id), JobField.provider)
if provider then
  redis.call('ZREM', keys.ready(org, provider), id)
  redis.call('ZREM', keys.ready(org, way_out(provider)), id)
  redis.call('ZREM', keys.running_at_provider(provider), id)
  redis.call('ZREM', keys.running_of_org(org), id)
end
redis.call('DEL', keys.job(id), keys.events(id), keys.deliveries_of_job(id))
redis.call('ZREM', keys.jobs_of_org(org), id)
for _, index in ipairs({keys.due, keys.backing_off, keys.claimed, keys.lost, keys.pending_salvage}) do
  redis.call('ZREM', index, id)
end
redis.call('SET', keys.tombstone(id), org, 'PX', tomb_ms)
tell(id, 0, org, subject)
return 1
