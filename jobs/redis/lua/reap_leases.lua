-- Look at the jobs that are due: those past their deadline are answered to be moved; those whose lease ran out
-- go back among the ready ones (the next claim takes a new fencing number), or, when they had begun, among the lost:
-- what is stored of them is taken whatever room their provider has; the rest get their next look.
-- A Redis that has just begun takes nobody for lost: those who live need a lease's time to say so.
-- Includes: lanes.
local up = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
if up * 1000 < args.lease_ms then
  return {}
end
local now = now_ms()
local overdue = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.due, '-inf', now, 'LIMIT', 0, 100)) do
  local job = read(keys.job(id), JobField.status, JobField.lease_until, JobField.deadline, JobField.org, JobField.provider,
    JobField.score)
  local lease, deadline = tonumber(job.lease_until or '0'), tonumber(job.deadline or '0')
  if not job.status then
    redis.call('ZREM', keys.due, id)
  elseif lease > now then
    redis.call('ZADD', keys.due, math.max(math.min(lease, deadline), now + 1000), id)
  elseif deadline <= now then
    overdue[#overdue + 1] = id
    redis.call('ZADD', keys.due, now + 5000, id)
  else
    if job.status ~= 'queued' then
      redis.call('ZADD', keys.lost, 'NX', now, id)
    elseif not redis.call('ZSCORE', keys.backing_off, id) then
      make_ready(job.org, job.provider, id, job.score)
    end
    redis.call('HSET', keys.job(id), JobField.astray, 1)
    redis.call('ZADD', keys.due, math.min(deadline, now + 15000), id)
  end
end
return overdue
