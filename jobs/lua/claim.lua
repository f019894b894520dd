-- Give a turn its next job under a lease and a fresh fencing number; with nothing to do, take the turn back.
local turn, worker, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = now_ms()
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'later', '-inf', now, 'LIMIT', 0, 20)) do
  redis.call('ZREM', P .. 'later', id)
  local job = redis.call('HMGET', P .. 'job:' .. id, 'org', 'p')
  if job[1] then
    make_ready(job[1], id, job[2])
  end
end
for _ = 1, 100 do
  local org = redis.call('ZRANGE', P .. 'orgs', 0, 0, 'WITHSCORES')
  if not org[1] then
    redis.call('ZREM', P .. 'turns', turn)
    return false
  end
  local tag = tonumber(org[2])
  local id = redis.call('ZPOPMIN', P .. 'ready:' .. org[1])[1]
  if id then
    redis.call('SET', P .. 'clock', tag)
    redis.call('HSET', P .. 'tags', org[1], tag + 1)
    redis.call('ZADD', P .. 'orgs', tag + 1, org[1])
  end
  if redis.call('EXISTS', P .. 'ready:' .. org[1]) == 0 then
    redis.call('ZREM', P .. 'orgs', org[1])
  end
  if id then
    local key = P .. 'job:' .. id
    local job = redis.call('HMGET', key, 's', 'l', 'doc', 'd')
    local live = job[1] == 'queued' or job[1] == 'running' or job[1] == 'canceling'
    if live and tonumber(job[2] or '0') <= now then
      local fence = redis.call('HINCRBY', key, 'f', 1)
      redis.call('HSET', key, 'l', now + lease_ms, 'w', worker)
      redis.call('ZADD', P .. 'due', math.min(tonumber(job[4]), now + lease_ms), id)
      redis.call('ZADD', P .. 'running', now, id)
      redis.call('ZADD', P .. 'turns', now + lease_ms, turn)
      return {id, fence, job[3]}
    end
  end
end
return {}
