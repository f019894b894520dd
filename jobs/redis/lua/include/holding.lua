-- A claimed job is in its worker's hands: it has no lease of its own, but lives as long as the worker does, which says so with
-- each heartbeat. `held_by` has the fence of each of them, and whether it is to be canceled.

local function held_entry(fence, canceling)
  return string.format(canceling and '%.0f canceling' or '%.0f', fence)
end

-- Into a worker's hands.
local function take_hold(worker, org, id, fence, now, canceling)
  redis.call('HSET', keys.held_by(worker), id, held_entry(fence, canceling))
  redis.call('ZADD', keys.running_of_org(org), now, id)
end

-- Out of them.
local function let_go(worker, org, id)
  redis.call('HDEL', keys.held_by(worker), id)
  redis.call('ZREM', keys.running_of_org(org), id)
  let_in(org)
end

-- Its worker is taken for dead, or does not know of it: it goes back among the ready ones (the next claim takes a new
-- fencing number), or, when it had begun, among the lost: what is stored of it is taken whatever room its provider has.
local function go_astray(worker, id, now)
  local key = keys.job(id)
  local job = read(key, JobField.status, JobField.org, JobField.provider, JobField.score, JobField.worker)
  if job.worker ~= worker then
    redis.call('HDEL', keys.held_by(worker), id)
    return
  end
  redis.call('HDEL', key, JobField.worker)
  redis.call('HSET', key, JobField.astray, 1)
  let_go(worker, job.org, id)
  if job.status == 'queued' then
    make_ready(job.org, job.provider, id, job.score)
  else
    redis.call('ZADD', keys.lost, 'NX', now, id)
  end
end
