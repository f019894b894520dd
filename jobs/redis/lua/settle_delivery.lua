-- Write what came of a delivery's attempt, its document; refused (0) when somebody has written since it was read.
-- Without `pause_ms` it has ended. `verdict` is what the attempt says of the receiver: 'good', 'bad', or nothing.
-- Includes: index, outbox.
local id, now = args.id, now_ms()
local key = keys.delivery(id)
local row = read(key, DeliveryField.revision, DeliveryField.queue)
local queue = row.queue
if queue then
  redis.call('ZREM', keys.posting(queue), id)
end
if tonumber(row.revision) ~= args.revision then
  return 0
end
redis.call('HSET', key, DeliveryField.document, ARGV[3], DeliveryField.revision, args.revision + 1)
redis.call('HDEL', key, DeliveryField.lease_until)
if args.pause_ms then
  redis.call('ZADD', keys.queued_deliveries(queue), now + args.pause_ms, id)
else
  redis.call('ZREM', keys.queued_deliveries(queue), id)
  redis.call('PEXPIRE', key, args.keep_ms)
  redis.call('ZADD', keys.index_ends, now + args.keep_ms, index_entry('delivery', id, args.org))
end
local receiver = keys.receiver(queue)
if args.verdict == 'good' then
  redis.call('DEL', receiver)
elseif args.verdict == 'bad' then
  -- Posts that were under way when it shut say nothing new: only the single try makes the pause longer.
  local state = read(receiver, BreakerField.shut_until, BreakerField.probe)
  local failures = redis.call('HINCRBY', receiver, BreakerField.failures, 1)
  if failures >= args.max_failures and (tonumber(state.shut_until or '0') <= now or state.probe == id) then
    local trips = redis.call('HINCRBY', receiver, BreakerField.trips, 1)
    local pause_ms = math.min(args.open_ms * 2 ^ (trips - 1), args.max_open_ms)
    redis.call('HSET', receiver, BreakerField.shut_until, now + pause_ms)
    redis.call('HDEL', receiver, BreakerField.probe)
  end
  redis.call('PEXPIRE', receiver, 86400000)
end
schedule_queue(queue)
return 1
