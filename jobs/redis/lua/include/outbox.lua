-- The outbox orders queues (an endpoint's, or an org's for an address) by when something of theirs is due: the first delivery,
-- but not before the breaker of its receiver lets another be tried.
local function schedule_queue(queue)
  local first = redis.call('ZRANGE', keys.queued_deliveries(queue), 0, 0, 'WITHSCORES')[2]
  if first then
    local shut = tonumber(redis.call('HGET', keys.receiver(queue), BreakerField.shut_until) or '0')
    redis.call('ZADD', keys.due_queues, math.max(tonumber(first), shut), queue)
  else
    redis.call('ZREM', keys.due_queues, queue)
  end
end

-- Put deliveries of a job (nil: of none) into the outbox, due at once; their documents are ARGV[first] and on.
local function queue_deliveries(org, job, deliveries, first, keep_ms)
  if not deliveries[1] then
    return
  end
  local now = now_ms()
  local index = keys.deliveries_of_org(org)
  for i, row in ipairs(deliveries) do
    redis.call('HSET', keys.delivery(row.id), DeliveryField.document, ARGV[first + i - 1], DeliveryField.revision, 0,
      DeliveryField.queue, row.queue)
    redis.call('ZADD', keys.queued_deliveries(row.queue), now, row.id)
    if job then
      redis.call('RPUSH', keys.deliveries_of_job(job), row.id)
    end
    redis.call('ZADD', index, row.created_ms, row.id)
    schedule_queue(row.queue)
    redis.call('PUBLISH', keys.posts, row.id)
  end
  if job then
    redis.call('PEXPIRE', keys.deliveries_of_job(job), keep_ms)
  end
end
