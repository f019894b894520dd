-- The outbox orders queues (an endpoint's, or an org's for an address) by when something of theirs is due: the first delivery,
-- but not before the breaker of its receiver lets another be tried.
local function next_of(queue)
  local first = redis.call('ZRANGE', keys.queued_deliveries(queue), 0, 0, 'WITHSCORES')[2]
  if first then
    local shut = tonumber(redis.call('HGET', keys.receiver(queue), BreakerField.shut_until) or '0')
    redis.call('ZADD', keys.due_queues, math.max(tonumber(first), shut), queue)
  else
    redis.call('ZREM', keys.due_queues, queue)
  end
end

-- Put deliveries of a job into the outbox: id, queue, document and time of each, from ARGV[first] on. Due at once.
-- An org's index of them outlasts the rows: one pending for days is kept from its end on.
local function send(job, first, keep_ms)
  if not ARGV[first] then
    return
  end
  local now = now_ms()
  local index = keys.deliveries_of_org(redis.call('HGET', keys.job(job), JobField.org))
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now - 2 * keep_ms)
  for i = first, #ARGV, 4 do
    redis.call('HSET', keys.delivery(ARGV[i]), DeliveryField.document, ARGV[i + 2], DeliveryField.revision, 0, DeliveryField.queue, ARGV[i + 1])
    redis.call('ZADD', keys.queued_deliveries(ARGV[i + 1]), now, ARGV[i])
    redis.call('RPUSH', keys.deliveries_of_job(job), ARGV[i])
    redis.call('ZADD', index, ARGV[i + 3], ARGV[i])
    next_of(ARGV[i + 1])
    redis.call('PUBLISH', keys.posts, ARGV[i])
  end
  redis.call('PEXPIRE', index, 2 * keep_ms)
  redis.call('PEXPIRE', keys.deliveries_of_job(job), keep_ms)
end
