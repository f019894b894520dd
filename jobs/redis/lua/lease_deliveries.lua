-- Lease due deliveries to a courier: at most `max`, and of each queue no more than it has room for beside what is
-- under way already, whoever posts it; of a queue whose receiver failed again and again, one. Answers the time, when the
-- next one is due, and the documents.
-- Includes: outbox.
local now = now_ms()
local lease_until = now + args.lease_ms
local documents = {}
for _, queue in ipairs(redis.call('ZRANGEBYSCORE', keys.due_queues, '-inf', now, 'LIMIT', 0, 1000)) do
  if #documents >= args.max then
    break
  end
  local key, posting, receiver = keys.queued_deliveries(queue), keys.posting(queue), keys.receiver(queue)
  redis.call('ZREMRANGEBYSCORE', posting, '-inf', now)
  local free = math.min(args.max - #documents, args.room - redis.call('ZCARD', posting))
  if free > 0 then
    local single = redis.call('HEXISTS', receiver, BreakerField.shut_until) == 1
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, single and 1 or free)) do
      local document = redis.call('HGET', keys.delivery(id), DeliveryField.document)
      if document then
        redis.call('ZADD', key, lease_until, id)
        redis.call('ZADD', posting, lease_until, id)
        redis.call('HSET', keys.delivery(id), DeliveryField.lease_until, lease_until)
        documents[#documents + 1] = document
        if single then
          redis.call('HSET', receiver, BreakerField.shut_until, lease_until, BreakerField.probe, id)
        end
      else
        redis.call('ZREM', key, id)
      end
    end
    redis.call('PEXPIRE', posting, args.lease_ms)
    schedule_queue(queue)
  end
  if redis.call('ZCARD', posting) >= args.room then  -- in nobody's way until a post of it ends
    redis.call('ZADD', keys.due_queues, 'XX', 'GT', redis.call('ZRANGE', posting, 0, 0, 'WITHSCORES')[2], queue)
  end
end
local later = redis.call('ZRANGEBYSCORE', keys.due_queues, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {now, later[2] or '', documents}
