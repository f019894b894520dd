-- Write what came of a delivery's attempt; refused (0) when somebody has written since it was read.
-- `verdict` is what it says of the receiver: 'good', 'bad' or '' (nothing).
-- Includes: outbox.
local id, seen, doc, pause, keep_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local verdict, failures, open_ms, longest_ms = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local key = keys.delivery(id)
local row = redis.call('HMGET', key, DeliveryField.revision, DeliveryField.queue)
if row[2] then
  redis.call('ZREM', keys.posting(row[2]), id)
end
if row[1] ~= seen then
  return 0
end
local now, queue = now_ms(), row[2]
local receiver = keys.receiver(queue)
redis.call('HSET', key, DeliveryField.document, doc, DeliveryField.revision, seen + 1)
redis.call('HDEL', key, DeliveryField.lease_until)
if pause < 0 then
  redis.call('ZREM', keys.queued_deliveries(queue), id)
  redis.call('PEXPIRE', key, keep_ms)
else
  redis.call('ZADD', keys.queued_deliveries(queue), now + pause, id)
end
if verdict == 'good' then
  redis.call('DEL', receiver)
elseif verdict == 'bad' then
  -- Posts that were under way when it shut say nothing new: only the single try makes the pause longer.
  local shut = redis.call('HMGET', receiver, BreakerField.shut_until, BreakerField.probe)
  if redis.call('HINCRBY', receiver, BreakerField.failures, 1) >= failures and (tonumber(shut[1] or '0') <= now or shut[2] == id) then
    local doubled = open_ms * 2 ^ (redis.call('HINCRBY', receiver, BreakerField.trips, 1) - 1)
    redis.call('HSET', receiver, BreakerField.shut_until, now + math.min(doubled, longest_ms))
    redis.call('HDEL', receiver, BreakerField.probe)
  end
  redis.call('PEXPIRE', receiver, 86400000)
end
next_of(queue)
return 1
