-- A worker's heartbeat: its slots live on, its leases and turns are renewed. Answers the leases that it has
-- lost, the jobs that are to be canceled, and when the next job is due to be looked at.
local worker, ttl, slots = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local offered = {}
for slot = 1, slots do
  offered[#offered + 1] = now + ttl
  offered[#offered + 1] = worker .. '/' .. slot
end
if slots > 0 then
  redis.call('ZADD', keys.slots, unpack(offered))
end
redis.call('ZADD', keys.workers, now + ttl, worker)
redis.call('ZREMRANGEBYSCORE', keys.workers, '-inf', now)
local lost, canceling = {}, {}
for i = 5, #ARGV, 3 do
  local id, fence, turn = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = keys.job(id)
  local held = redis.call('HMGET', key, JobField.fence, JobField.status, JobField.deadline, JobField.provider, JobField.org)
  redis.call('ZADD', keys.turns, now + ttl, turn)
  if held[1] ~= fence then
    lost[#lost + 1] = id .. '/' .. fence
  elseif held[2] == 'queued' or held[2] == 'running' or held[2] == 'canceling' then
    redis.call('HSET', key, JobField.lease_until, now + ttl)
    redis.call('ZADD', keys.running_at_provider(held[4]), 'XX', now + ttl, id)
    redis.call('ZADD', keys.running_of_org(held[5]), 'XX', now + ttl, id)
    redis.call('ZADD', keys.due, 'XX', math.min(tonumber(held[3]), now + ttl), id)
    if held[2] == 'canceling' then
      canceling[#canceling + 1] = id
    end
  end
end
local due = redis.call('ZRANGE', keys.due, 0, 0, 'WITHSCORES')[2] or ''
local later = redis.call('ZRANGE', keys.backing_off, 0, 0, 'WITHSCORES')[2] or ''
return {now, due, later, lost, canceling}
