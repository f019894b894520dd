-- Accept a job: record, event, indexes, idempotency key, and a turn if one is missing, in one step.
-- Documents: the record, the event, each delivery, the turn.
-- Includes: lanes, outbox, record, turns.
local id, org, provider = args.id, args.org, args.provider
local idempotency, adoption = args.idempotency, args.adoption
if idempotency then
  local known = redis.call('GET', idempotency.key)
  if known and known ~= idempotency.claim then
    return {'known', known}
  end
end
if redis.call('EXISTS', keys.job(id), keys.tombstone(id)) > 0 then
  return {'created'}  -- our own write, sent twice after a cut connection: no limit counts it again
end
local now = now_ms()
if adoption then
  local told = redis.call('GET', keys.adopted(id))
  if told then
    return {'adopted', told}  -- asked twice after a cut connection: what was adopted is the asker's already
  end
  -- An earlier job of the same wish that nobody waits for and whose result nobody has, and not for ever. The index orders
  -- them by the end of their waits, and its adopter waits for it now; what is of no use leaves it.
  for _, earlier in ipairs(redis.call('ZRANGEBYSCORE', adoption.undelivered, '-inf', now, 'LIMIT', 0, 100)) do
    local job = read(keys.job(earlier), JobField.status, JobField.adoptable_until)
    local good = job.status == 'queued' or job.status == 'running' or job.status == 'succeeded'
    if good and tonumber(job.adoptable_until or '0') > now then
      redis.call('SET', keys.adopted(id), earlier, 'PX', adoption.answer_ms)
      redis.call('ZADD', adoption.undelivered, now + adoption.wait_ms, earlier)
      return {'adopted', earlier}
    end
    redis.call('ZREM', adoption.undelivered, earlier)
  end
end
local shut = math.huge
for _, account in ipairs(args.accounts or {provider}) do
  shut = math.min(shut, tonumber(redis.call('HGET', keys.breaker(account), BreakerField.shut_until) or '0') - now)
  if shut <= 0 then
    break
  end
end
if shut > 0 then
  return {'open', shut}
end
if args.max_ahead then
  local ahead = redis.call('ZCARD', keys.ready(org, provider)) + redis.call('ZCARD', keys.ready(org, leaving_lane(provider)))
  if ahead > args.max_ahead then
    return {'full', ahead}
  end
end
local limits = read(keys.limits(org), LimitField.max_queued, LimitField.images_per_day, LimitField.cost_per_day)
if limits.maxQueued then
  local depth = 0
  for _, lane in ipairs(redis.call('SMEMBERS', keys.lanes_of_org(org))) do
    depth = depth + redis.call('ZCARD', keys.ready(org, lane))
  end
  if depth >= tonumber(limits.maxQueued) then
    return {'crowded', depth, tonumber(limits.maxQueued)}
  end
end
local used = counters(org, args.api_key, args.day)

-- The quota of the day that the job would go beyond, if any: pictures, and micro-dollars.
local function beyond(counter, max_images, max_cost)
  if max_images and tonumber(redis.call('HGET', counter, UseField.images) or '0') + args.images > tonumber(max_images) then
    return LimitField.images_per_day
  elseif max_cost and tonumber(redis.call('HGET', counter, UseField.cost) or '0') + args.cost > tonumber(max_cost) then
    return LimitField.cost_per_day
  end
end

local quota = beyond(used[1], limits.imagesPerDay, limits.costPerDay)
if quota then
  return {'quota', quota, 'org'}
end
if args.api_key then  -- its quotas are in its record, in dollars
  local record = redis.call('GET', keys.record('api_key', args.api_key))
  local own = record and cjson.decode(record).limits or {}
  quota = beyond(used[2], own.imagesPerDay, own.costPerDay and math.floor(own.costPerDay * 1000000 + 0.5))
  if quota then
    return {'quota', quota, 'key'}
  end
end
redis.call('HSET', keys.job(id), JobField.document, ARGV[3], JobField.version, args.version, JobField.status, 'queued',
  JobField.schema, args.schema,
  JobField.org, org, JobField.provider, provider, JobField.score, args.score, JobField.deadline, args.deadline_ms,
  JobField.expected_seconds, args.expected_seconds, JobField.room_need, args.room_need,
  event_field(args.version), ARGV[4])
redis.call('ZADD', keys.jobs_of_org(org), 0, id)
redis.call('ZADD', keys.due, args.deadline_ms, id)
make_ready(org, provider, id, args.score)
for _, counter in ipairs(used) do
  if redis.call('HINCRBY', counter, UseField.images, args.images) == args.images then  -- the first of the day
    redis.call('PEXPIRE', counter, args.keep_use_ms)
  end
  if args.cost ~= 0 then
    redis.call('HINCRBY', counter, UseField.cost, args.cost)
  end
end
if adoption then
  redis.call('HSET', keys.job(id), JobField.adoptable_until, now + adoption.keep_ms)
  redis.call('ZADD', adoption.undelivered, now + adoption.wait_ms, id)
  redis.call('PEXPIRE', adoption.undelivered, adoption.keep_ms)
end
if idempotency then
  redis.call('SET', idempotency.key, idempotency.claim, 'PX', idempotency.keep_ms)
end
queue_deliveries(org, id, args.deliveries, 5, args.keep_deliveries_ms)
publish_change(id, args.version, 'queued', org, args.subject)
want_turn(args.turn, now, args.turn_start_ms, ARGV[#ARGV])
return {'created'}
