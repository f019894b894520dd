-- Forget a job and all that was said of it; what stays is whose it was, so that asking for it is answered with 410.
-- What it has reserved and cannot be charged any more is given back. Refused (0) when a move came first.
-- Includes: index, lanes, holding, outbox, record.
local id, org = args.id, args.org
local held = read(keys.job(id), JobField.version, JobField.provider, JobField.worker)
if held.version and tonumber(held.version) ~= args.seen then
  return 0
end
if held.version and (args.images ~= 0 or args.cost ~= 0) then
  for _, counter in ipairs(counters(org, args.api_key, args.day)) do
    redis.call('HINCRBY', counter, UseField.images, args.images)
    redis.call('HINCRBY', counter, UseField.cost, args.cost)
  end
end
for _, delivery in ipairs(redis.call('LRANGE', keys.deliveries_of_job(id), 0, -1)) do
  local queue = redis.call('HGET', keys.delivery(delivery), DeliveryField.queue)
  redis.call('DEL', keys.delivery(delivery))
  redis.call('ZREM', keys.deliveries_of_org(org), delivery)
  redis.call('ZREM', keys.index_ends, index_entry('delivery', delivery, org))
  if queue then
    redis.call('ZREM', keys.queued_deliveries(queue), delivery)
    schedule_queue(queue)
  end
end
if held.provider then
  leave_lanes(org, held.provider, id)
  if held.worker then
    let_go(held.worker, org, id)
  end
end
redis.call('DEL', keys.job(id), keys.deliveries_of_job(id))
redis.call('ZREM', keys.jobs_of_org(org), id)
redis.call('ZREM', keys.index_ends, index_entry('job', id, org))
for _, index in ipairs({keys.due, keys.backing_off, keys.lost, keys.pending_salvage}) do
  redis.call('ZREM', index, id)
end
redis.call('SET', keys.tombstone(id), org, 'PX', args.keep_tombstone_ms)
publish_change(id, 0, 'erased', org, args.subject)
return 1
