-- What waits in a queue and is not being posted just now is due, whatever its receiver did: its endpoint has changed.
-- At most `max` rows a call, so that a long queue holds up nobody. Answers how many were made due.
-- Includes: outbox.
local queue, now, count = args.queue, now_ms(), 0
local key = keys.queued_deliveries(queue)
local posting = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.posting(queue), '(' .. now, '+inf')) do
  posting[id] = true
end
redis.call('DEL', keys.receiver(queue))
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. now, '+inf', 'LIMIT', 0, args.max)) do
  if not posting[id] then
    redis.call('ZADD', key, now, id)
    count = count + 1
  end
end
schedule_queue(queue)
redis.call('PUBLISH', keys.posts, '')
return count
