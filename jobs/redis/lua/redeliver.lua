-- Put deliveries on their way again, at once; their documents follow. Answers how many went: one that somebody has
-- written since it was read, that is being posted just now, or that is gone, is left alone.
-- Includes: outbox.
local now, count = now_ms(), 0
for i, delivery in ipairs(args.deliveries) do
  local key = keys.delivery(delivery.id)
  local row = read(key, DeliveryField.revision, DeliveryField.lease_until, DeliveryField.queue)
  if tonumber(row.revision) == delivery.revision and tonumber(row.lease_until or '0') <= now then
    redis.call('HSET', key, DeliveryField.document, ARGV[2 + i], DeliveryField.revision, delivery.revision + 1)
    redis.call('PERSIST', key)
    redis.call('ZADD', keys.queued_deliveries(row.queue), now, delivery.id)
    schedule_queue(row.queue)
    count = count + 1
  end
end
redis.call('PUBLISH', keys.posts, '')
return count
