-- Take the jobs out of the hands of workers that gave no sign of life for a lease, and look at the jobs that are due: those
-- past their deadline are answered to be moved.
-- A Redis that has just begun takes nobody for dead: those who live need a lease's time to say so.
-- Includes: lanes, holding.
local up = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
if up * 1000 < args.lease_ms then
  return {}
end
local now = now_ms()
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', keys.workers, '-inf', now, 'LIMIT', 0, 10)) do
  for _, id in ipairs(redis.call('HKEYS', keys.held_by(worker))) do
    go_astray(worker, id, now)
  end
  redis.call('ZREM', keys.workers, worker)
end
local overdue = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.due, '-inf', now, 'LIMIT', 0, 100)) do
  local job = read(keys.job(id), JobField.status, JobField.worker)
  if not job.status then
    redis.call('ZREM', keys.due, id)
  elseif job.worker then  -- who lives and holds it is about to end it
    redis.call('ZADD', keys.due, now + 1000, id)
  else
    overdue[#overdue + 1] = id
    redis.call('ZADD', keys.due, now + 5000, id)
  end
end
return overdue
