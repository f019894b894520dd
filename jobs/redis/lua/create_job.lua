-- Accept a job: record, event, indexes, idempotency key, and whether a turn is missing, in one step.
-- Includes: lanes, outbox, record, turns.
local id, doc, org, score, due, event, sequence = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local idem, claim, idem_ms, turn, start_ms = ARGV[9], ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13])
local most, keep_ms, provider = tonumber(ARGV[14]), ARGV[15], ARGV[16]
local undelivered, wait_ms, adopt_ms = ARGV[17], tonumber(ARGV[18]), tonumber(ARGV[19])
local seconds, day, images, cost, used_ms = ARGV[20], ARGV[21], tonumber(ARGV[22]), tonumber(ARGV[23]), ARGV[24]
local subject, elsewhere, api_key, told_ms = ARGV[25], ARGV[26], ARGV[27], ARGV[28]
if idem ~= '' then
  local known = redis.call('GET', idem)
  if known and known ~= claim then
    return {'known', known}
  end
end
if redis.call('EXISTS', keys.job(id), keys.tombstone(id)) > 0 then
  return {'created', 0}  -- our own write, sent twice after a cut connection: no limit counts it again
end
local now = now_ms()
if undelivered ~= '' then
  local told = redis.call('GET', keys.adopted(id))
  if told then
    return {'adopted', told}  -- asked twice after a cut connection: what was adopted is the asker's already
  end
  -- An earlier job of the same wish that nobody waits for and whose result nobody has: once, and not for ever. The index
  -- orders them by the end of their waits; each that is looked at leaves it, so what others wait for costs nothing.
  for _, earlier in ipairs(redis.call('ZRANGEBYSCORE', undelivered, '-inf', now, 'LIMIT', 0, 100)) do
    local job = redis.call('HMGET', keys.job(earlier), JobField.status, JobField.adoptable_until)
    redis.call('ZREM', undelivered, earlier)
    local good = job[1] == 'queued' or job[1] == 'running' or job[1] == 'succeeded'
    if good and tonumber(job[2] or '0') > now then
      redis.call('SET', keys.adopted(id), earlier, 'PX', told_ms)
      return {'adopted', earlier}
    end
  end
end
local shut = tonumber(redis.call('HGET', keys.breaker(provider), BreakerField.shut_until) or '0') - now
if shut > 0 then
  return {'open', shut}
end
if most >= 0 then
  local ahead = redis.call('ZCARD', keys.ready(org, provider)) + redis.call('ZCARD', keys.ready(org, way_out(provider)))
  if ahead > most then
    return {'full', ahead}
  end
end
local limits = redis.call('HMGET', keys.limits(org), LimitField.max_queued, LimitField.images_per_day, LimitField.cost_per_day)
if limits[1] then
  local depth = 0
  for _, each in ipairs(redis.call('SMEMBERS', keys.lanes_of_org(org))) do
    depth = depth + redis.call('ZCARD', keys.ready(org, each))
  end
  if depth >= tonumber(limits[1]) then
    return {'crowded', depth, tonumber(limits[1])}
  end
end
local used = counters(org, api_key, day)

-- The quota of the day that the job would go beyond, if any: pictures, and micro-dollars.
local function beyond(counter, most_images, most_cost)
  if most_images and tonumber(redis.call('HGET', counter, UseField.images) or '0') + images > tonumber(most_images) then
    return 'imagesPerDay'
  elseif most_cost and tonumber(redis.call('HGET', counter, UseField.cost) or '0') + cost > tonumber(most_cost) then
    return 'costPerDay'
  end
end

local quota = beyond(used[1], limits[2], limits[3])
if quota then
  return {'quota', quota, 'org'}
end
if api_key ~= '' then  -- its quotas are in its record, in dollars
  local record = redis.call('GET', keys.record('api_key', api_key))
  local own = record and cjson.decode(record).limits or {}
  quota = beyond(used[2], own.imagesPerDay, own.costPerDay and math.floor(own.costPerDay * 1000000 + 0.5))
  if quota then
    return {'quota', quota, 'key'}
  end
end
redis.call('HSET', keys.job(id), JobField.document, doc, JobField.version, 1, JobField.status, 'queued', JobField.org, org,
  JobField.provider, provider, JobField.score, score, JobField.expected_seconds, seconds, JobField.deadline, due,
  JobField.room_need, elsewhere)
redis.call('XADD', keys.events(id), sequence .. '-0', EVENT, event)
redis.call('ZADD', keys.jobs_of_org(org), 0, id)
redis.call('ZADD', keys.due, due, id)
make_ready(org, provider, id, score)
for _, counter in ipairs(used) do
  redis.call('HINCRBY', counter, UseField.images, images)
  redis.call('HINCRBY', counter, UseField.cost, cost)
  redis.call('PEXPIRE', counter, used_ms)
end
if undelivered ~= '' then
  redis.call('HSET', keys.job(id), JobField.adoptable_until, now + adopt_ms)
  redis.call('ZADD', undelivered, now + wait_ms, id)
  redis.call('PEXPIRE', undelivered, adopt_ms)
end
if idem ~= '' then
  redis.call('SET', idem, claim, 'PX', idem_ms)
end
send(id, 29, keep_ms)
tell(id, sequence, org, subject)
return {'created', want_turn(turn, now, start_ms)}
