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
  redis.call('ZADD', P .. 'slots', unpack(offered))
end
redis.call('ZADD', P .. 'workers', now + ttl, worker)
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', now)
local lost, canceling = {}, {}
for i = 5, #ARGV, 3 do
  local id, fence, turn = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = P .. 'job:' .. id
  local held = redis.call('HMGET', key, 'f', 's', 'd', 'q', 'org')
  redis.call('ZADD', P .. 'turns', now + ttl, turn)
  if held[1] ~= fence then
    lost[#lost + 1] = id .. '/' .. fence
  elseif held[2] == 'queued' or held[2] == 'running' or held[2] == 'canceling' then
    redis.call('HSET', key, 'l', now + ttl)
    redis.call('ZADD', P .. 'running:' .. held[4], 'XX', now + ttl, id)
    redis.call('ZADD', P .. 'running/' .. held[5], 'XX', now + ttl, id)
    redis.call('ZADD', P .. 'due', 'XX', math.min(tonumber(held[3]), now + ttl), id)
    if held[2] == 'canceling' then
      canceling[#canceling + 1] = id
    end
  end
end
local due = redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')[2] or ''
local later = redis.call('ZRANGE', P .. 'later', 0, 0, 'WITHSCORES')[2] or ''
return {now, due, later, lost, canceling}
