-- Everything of a queue that is not being posted just now is due, whatever its receiver did: its endpoint has changed.
-- Includes: outbox.
local queue, now = args.queue, now_ms()
local key = keys.queued_deliveries(queue)
redis.call('DEL', keys.receiver(queue))
for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  if tonumber(redis.call('HGET', keys.delivery(id), DeliveryField.lease_until) or '0') <= now then
    redis.call('ZADD', key, now, id)
  end
end
schedule_queue(queue)
redis.call('PUBLISH', keys.posts, '')
return 1
