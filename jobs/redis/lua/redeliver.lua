-- Put deliveries on their way again, at once: id, seen revision and document of each. Answers how many: one
-- that somebody has written since it was read, that is being posted just now, or that is gone, is left alone.
-- Includes: outbox.
local now, count = now_ms(), 0
for i = 2, #ARGV, 3 do
  local key = keys.delivery(ARGV[i])
  local row = redis.call('HMGET', key, DeliveryField.revision, DeliveryField.lease_until, DeliveryField.queue)
  if row[1] == ARGV[i + 1] and tonumber(row[2] or '0') <= now then
    redis.call('HSET', key, DeliveryField.document, ARGV[i + 2], DeliveryField.revision, ARGV[i + 1] + 1)
    redis.call('PERSIST', key)
    redis.call('ZADD', keys.queued_deliveries(row[3]), now, ARGV[i])
    next_of(row[3])
    count = count + 1
  end
end
redis.call('PUBLISH', keys.posts, '')
return count
