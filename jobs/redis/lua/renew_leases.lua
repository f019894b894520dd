-- A worker's heartbeat: its slots live on, its leases, rooms and turns are renewed. Answers which of its claims (by their place)
-- it has lost, the jobs that are to be canceled, and when the next job is due to be looked at.
local now = now_ms()
local lease_until = now + args.lease_ms
local offered = {}
for slot = 1, args.slots do
  offered[#offered + 1] = lease_until
  offered[#offered + 1] = args.worker .. '/' .. slot
end
if args.slots > 0 then
  redis.call('ZADD', keys.slots, unpack(offered))
end
redis.call('ZADD', keys.workers, lease_until, args.worker)
for _, ended in ipairs({keys.workers, keys.slots, keys.turns}) do
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', now)
end
-- What is written of many jobs goes into each index at once: a heartbeat reads and writes each job's hash, and no more.
local renewed, orgs = {}, {}
local function renew(index, score, member)
  renewed[index] = renewed[index] or {}
  table.insert(renewed[index], score)
  table.insert(renewed[index], member)
end

local lost, canceling, turns = {}, {}, {}
for place, claim in ipairs(args.claims) do
  local key = keys.job(claim.id)
  local held = read(key, JobField.fence, JobField.status, JobField.deadline, JobField.org, JobField.worker)
  turns[#turns + 1] = lease_until
  turns[#turns + 1] = claim.turn
  for _, room in ipairs(claim.rooms) do  -- whatever became of the job: its calls are open
    renew(keys.running_at_provider(claim.provider), lease_until, room)
  end
  if tonumber(held.fence) ~= claim.fence then
    lost[#lost + 1] = place
  elseif held.worker and (held.status == 'queued' or held.status == 'running' or held.status == 'canceling') then
    -- one without a worker was given back just now: with a lease it would stand in a lane, and nobody could claim it
    redis.call('HSET', key, JobField.lease_until, lease_until)
    renew(keys.running_of_org(held.org), lease_until, claim.id)
    renew(keys.due, math.min(tonumber(held.deadline), lease_until), claim.id)
    orgs[held.org] = true
    if held.status == 'canceling' then
      canceling[#canceling + 1] = claim.id
    end
  end
end
if turns[1] then
  redis.call('ZADD', keys.turns, unpack(turns))
end
for index, members in pairs(renewed) do
  redis.call('ZADD', index, 'XX', unpack(members))
end
for org in pairs(orgs) do
  redis.call('ZADD', keys.throttled_orgs, 'XX', 'LT', lease_until, org)  -- a lease may have become shorter
end
local due = redis.call('ZRANGE', keys.due, 0, 0, 'WITHSCORES')[2] or ''
local backing_off = redis.call('ZRANGE', keys.backing_off, 0, 0, 'WITHSCORES')[2] or ''
return {now, due, backing_off, lost, canceling}
