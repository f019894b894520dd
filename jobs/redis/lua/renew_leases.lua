-- A worker's heartbeat: with it live its slots, its turns, the rooms of its calls, and all jobs in its hands. Answers which of
-- its claims (by their place) it has lost, the jobs that are to be canceled, and when something is due to be looked at.
-- Includes: lanes, holding.
local now = now_ms()
local lease_until = now + args.lease_ms

-- Renew many members of an index at once.
local function renew(index, members, only_those_there)
  if members[1] then
    local words = {index, only_those_there and 'XX' or nil}
    for _, member in ipairs(members) do
      words[#words + 1] = lease_until
      words[#words + 1] = member
    end
    redis.call('ZADD', unpack(words))
  end
end

local slots, turns, rooms_at = {}, {}, {}
for slot = 1, args.slots do
  slots[slot] = args.worker .. '/' .. slot
end
for place, claim in ipairs(args.claims) do
  turns[place] = claim.turn
  for room, account in pairs(claim.rooms) do  -- whatever became of the job: its calls are open
    rooms_at[account] = rooms_at[account] or {}
    table.insert(rooms_at[account], room)
  end
end
renew(keys.slots, slots)
renew(keys.workers, {args.worker})
renew(keys.turns, turns)
for account, rooms in pairs(rooms_at) do
  renew(keys.running_at_provider(account), rooms, true)
end
for _, ended in ipairs({keys.slots, keys.turns}) do
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', now)
end

local held = {}
local entries = redis.call('HGETALL', keys.held_by(args.worker))
for i = 1, #entries, 2 do
  held[entries[i]] = entries[i + 1]
end

-- A claim that is not among what this worker holds: another has the job; or it ended or was given back just now; or it went
-- astray, and nobody has claimed it yet: then it is this worker's again.
local function look_at(claim)
  local key = keys.job(claim.id)
  local job = read(key, JobField.fence, JobField.status, JobField.org, JobField.provider, JobField.astray)
  if tonumber(job.fence) ~= claim.fence then
    return 'lost'
  elseif job.astray == '1' then
    leave_lanes(job.org, job.provider, claim.id)
    redis.call('ZREM', keys.lost, claim.id)
    redis.call('HSET', key, JobField.worker, args.worker, JobField.astray, 0)
    take_hold(args.worker, job.org, claim.id, claim.fence, now, job.status == 'canceling')
    return job.status
  end
end

local lost, canceling, told = {}, {}, {}
for place, claim in ipairs(args.claims) do
  local entry, status = held[claim.id], nil
  if entry == held_entry(claim.fence) then
    status = 'running'
  elseif entry == held_entry(claim.fence, true) then
    status = 'canceling'
  else
    status = look_at(claim)
  end
  told[claim.id] = true
  if status == 'lost' then
    lost[#lost + 1] = place
  elseif status == 'canceling' then
    canceling[#canceling + 1] = claim.id
  end
end
for id, entry in pairs(held) do
  if not told[id] and tonumber(string.match(entry, '%d+')) + args.lease_ms < now then
    go_astray(args.worker, id, now)  -- the answer to its claim has not come: a fence is not below its time
  end
end
local due = redis.call('ZRANGE', keys.due, 0, 0, 'WITHSCORES')[2]
local first_lease = redis.call('ZRANGE', keys.workers, 0, 0, 'WITHSCORES')[2]
local backing_off = redis.call('ZRANGE', keys.backing_off, 0, 0, 'WITHSCORES')[2] or ''
return {now, math.min(due or math.huge, first_lease), backing_off, lost, canceling}
