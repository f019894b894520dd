-- Write one move of a job: record, event, indexes and news together, or nothing at all.
-- Refused when another move came first ('stale') or another worker holds the job ('fenced').
local id, doc, seen, version, fence = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local status, org, due, event, keep_until, later = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local keep_deliveries_ms, tomb_ms, subject = ARGV[13], ARGV[14], ARGV[15]
local day, images, cost, blobs = ARGV[16], tonumber(ARGV[17]), tonumber(ARGV[18]), tonumber(ARGV[24])
local provider, seconds, elsewhere, api_key, sought = ARGV[19], ARGV[20], ARGV[21], ARGV[22], ARGV[23] == '1'
local key = P .. 'job:' .. id
local held = redis.call('HMGET', key, 'v', 'f', 'doc', 'l', 'q', 'p')
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
redis.call('HSET', key, 'doc', doc, 'v', version, 's', status, 'd', due, 'q', provider, 'c', seconds, 'e', elsewhere)
if event ~= '' then
  redis.call('XADD', P .. 'events:' .. id, version .. '-0', 'e', event)
end
if status == 'running' or status == 'canceling' then
  redis.call('ZADD', P .. 'due', math.min(tonumber(due), tonumber(held[4] or due)), id)
else
  redis.call('HDEL', key, 'l', 'w')
  redis.call('ZREM', P .. 'running', id)
  redis.call('ZREM', P .. 'later', id)
  redis.call('ZREM', lane(org, way_out(held[5])), id)
  redis.call('ZREM', P .. 'lost', id)  -- a lapsed lease had put it there
  redis.call('ZREM', P .. 'running:' .. held[5], id)
  redis.call('ZREM', P .. 'running/' .. org, id)
  if status == 'queued' then
    redis.call('ZADD', P .. 'due', due, id)
    redis.call('ZREM', lane(org, held[5]), id)  -- a lapsed lease had put it there
    if later == '0' then
      make_ready(org, provider, id, held[6])  -- perhaps another provider's
    else
      redis.call('ZADD', P .. 'later', later, id)
    end
  else
    redis.call('ZREM', P .. 'due', id)
    redis.call('ZREM', lane(org, held[5]), id)
    redis.call('PEXPIREAT', key, keep_until)
    redis.call('PEXPIREAT', P .. 'events:' .. id, keep_until)
    redis.call('SET', P .. 'tomb:' .. id, org, 'PXAT', keep_until + tomb_ms)
    if sought then  -- a call is open: when its worker has died, nobody else knows of what it stored
      redis.call('ZADD', P .. 'sought', held[4] or 0, id)
    end
  end
end
if images ~= 0 or cost ~= 0 then  -- what was reserved at the acceptance, made true
  for _, counter in ipairs(counters(org, api_key, day)) do
    redis.call('HINCRBY', counter, 'images', images)
    redis.call('HINCRBY', counter, 'cost', cost)
  end
end
for i = 25, 24 + 2 * blobs, 2 do
  redis.call('ZADD', P .. 'expiring', ARGV[i + 1], ARGV[i])  -- a blob, and when it is to be deleted
end
if status == 'canceling' then
  redis.call('PUBLISH', P .. 'cancel', id)
end
send(id, 25 + 2 * blobs, keep_deliveries_ms)
tell(id, version, org, subject)
return 'ok'
