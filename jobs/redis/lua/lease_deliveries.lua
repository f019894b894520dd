-- Lease due deliveries to a courier: at most `most`, and of each queue no more than it has room for beside what is
-- under way already, whoever posts it; of a queue whose receiver failed again and again, one. Answers the time, when the
-- next one is due, and the documents.
-- Includes: outbox.
local most, lease, room = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local docs = {}
for _, queue in ipairs(redis.call('ZRANGEBYSCORE', keys.due_queues, '-inf', now, 'LIMIT', 0, 1000)) do
  if #docs >= most then
    break
  end
  local key, posting, receiver = keys.queued_deliveries(queue), keys.posting(queue), keys.receiver(queue)
  redis.call('ZREMRANGEBYSCORE', posting, '-inf', now)
  local free = math.min(most - #docs, room - redis.call('ZCARD', posting))
  if free > 0 then
    local single = redis.call('HEXISTS', receiver, BreakerField.shut_until) == 1
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, single and 1 or free)) do
      local doc = redis.call('HGET', keys.delivery(id), DeliveryField.document)
      if doc then
        redis.call('ZADD', key, now + lease, id)
        redis.call('ZADD', posting, now + lease, id)
        redis.call('HSET', keys.delivery(id), DeliveryField.lease_until, now + lease)
        docs[#docs + 1] = doc
        if single then
          redis.call('HSET', receiver, BreakerField.shut_until, now + lease, BreakerField.probe, id)
        end
      else
        redis.call('ZREM', key, id)
      end
    end
    redis.call('PEXPIRE', posting, lease)
    next_of(queue)
  end
  if redis.call('ZCARD', posting) >= room then  -- in nobody's way until a post of it ends
    redis.call('ZADD', keys.due_queues, 'XX', 'GT', redis.call('ZRANGE', posting, 0, 0, 'WITHSCORES')[2], queue)
  end
end
local later = redis.call('ZRANGEBYSCORE', keys.due_queues, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {now, later[2] or '', docs}
