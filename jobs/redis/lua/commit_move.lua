-- Write one move of a job: record, event, indexes and news together, or nothing at all.
-- Refused when another move came first ('stale') or another worker holds the job ('fenced').
-- Includes: lanes, outbox, record.
local id, doc, seen, version, fence = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local status, org, due, event, keep_until, later = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local keep_deliveries_ms, tomb_ms, subject = ARGV[13], ARGV[14], ARGV[15]
local day, images, cost, blobs = ARGV[16], tonumber(ARGV[17]), tonumber(ARGV[18]), tonumber(ARGV[24])
local provider, seconds, elsewhere, api_key, sought = ARGV[19], ARGV[20], ARGV[21], ARGV[22], ARGV[23] == '1'
local key = keys.job(id)
local held = redis.call('HMGET', key, JobField.version, JobField.fence, JobField.document, JobField.lease_until, JobField.provider, JobField.score)
if not held[1] then
  return 'missing'
end
if fence ~= '' and held[2] ~= fence then
  return 'fenced'
end
if held[1] ~= seen then
  if held[1] == version and held[3] == doc then
    return 'ok'  -- our own write, sent twice after a cut connection
  end
  return 'stale'
end
redis.call('HSET', key, JobField.document, doc, JobField.version, version, JobField.status, status, JobField.deadline, due,
  JobField.provider, provider, JobField.expected_seconds, seconds, JobField.room_need, elsewhere)
if event ~= '' then
  redis.call('XADD', keys.events(id), version .. '-0', EVENT, event)
end
if status == 'running' or status == 'canceling' then
  redis.call('ZADD', keys.due, math.min(tonumber(due), tonumber(held[4] or due)), id)
else
  redis.call('HDEL', key, JobField.lease_until, JobField.worker)
  redis.call('ZREM', keys.claimed, id)
  redis.call('ZREM', keys.backing_off, id)
  redis.call('ZREM', keys.ready(org, way_out(held[5])), id)
  redis.call('ZREM', keys.lost, id)  -- a lapsed lease had put it there
  redis.call('ZREM', keys.running_at_provider(held[5]), id)
  redis.call('ZREM', keys.running_of_org(org), id)
  if status == 'queued' then
    redis.call('ZADD', keys.due, due, id)
    redis.call('ZREM', keys.ready(org, held[5]), id)  -- a lapsed lease had put it there
    if later == '0' then
      make_ready(org, provider, id, held[6])  -- perhaps another provider's
    else
      redis.call('ZADD', keys.backing_off, later, id)
    end
  else
    redis.call('ZREM', keys.due, id)
    redis.call('ZREM', keys.ready(org, held[5]), id)
    redis.call('PEXPIREAT', key, keep_until)
    redis.call('PEXPIREAT', keys.events(id), keep_until)
    redis.call('SET', keys.tombstone(id), org, 'PXAT', keep_until + tomb_ms)
    if sought then  -- a call is open: when its worker has died, nobody else knows of what it stored
      redis.call('ZADD', keys.pending_salvage, held[4] or 0, id)
    end
  end
end
if images ~= 0 or cost ~= 0 then  -- what was reserved at the acceptance, made true
  for _, counter in ipairs(counters(org, api_key, day)) do
    redis.call('HINCRBY', counter, UseField.images, images)
    redis.call('HINCRBY', counter, UseField.cost, cost)
  end
end
for i = 25, 24 + 2 * blobs, 2 do
  redis.call('ZADD', keys.expiring_blobs, ARGV[i + 1], ARGV[i])  -- a blob, and when it is to be deleted
end
if status == 'canceling' then
  redis.call('PUBLISH', keys.cancels, id)
end
send(id, 25 + 2 * blobs, keep_deliveries_ms)
tell(id, version, org, subject)
return 'ok'
