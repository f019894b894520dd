-- Give a turn its next job under a lease and a fresh fencing number; with nothing to do, take the turn back.
-- Lost jobs come first, whatever room there is: what is stored of them is paid for, and taking it calls nobody.
-- Includes: lanes, holding.
local now = now_ms()
local lease_until = now + args.lease_ms
local room_at = rooms(args.accounts, now)
local lanes = redis.call('SMEMBERS', keys.lanes)
local set_back = redis.call('EXISTS', keys.backing_off, keys.lost) > 0  -- seldom
if set_back then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.backing_off, '-inf', now, 'LIMIT', 0, 20)) do
    redis.call('ZREM', keys.backing_off, id)
    local job = read(keys.job(id), JobField.org, JobField.provider, JobField.score)
    if job.org then
      make_ready(job.org, job.provider, id, job.score)
    end
  end
  lanes = redis.call('SMEMBERS', keys.lanes)
end
local budget = {orgs = 50}

-- The org whose turn it is: the one with the least tag in any lane from which a job may be claimed now.
local function next_org()
  local chosen, least
  for _, lane in ipairs(lanes) do
    if may_claim(room_at, lane) then
      each_org(lane, budget, function(org, tag)
        if not least or tag < least or (tag == least and org < chosen) then
          chosen, least = org, tag
        end
        return true
      end)
    end
  end
  return chosen, least
end

-- The lane whose first job is next of an org's: by priority and age, whatever its provider; none without room.
local function lane_of(org, lanes)
  local chosen, least
  for _, lane in ipairs(lanes) do
    local first, score = first_in(org, lane)
    if first and (not least or score < least) and may_claim(room_at, lane) then
      chosen, least = lane, score
    end
  end
  return chosen
end

-- An org's tag grows by what the job is expected to take of the workers' time, divided by the org's weight: so orgs
-- share the workers by weight, whatever the size of their jobs and the depth of their queues. A job that only goes on
-- elsewhere takes next to nothing, and yet a thousand of them hold up nobody.
local function pay(turn, expected_seconds)
  local seconds = room_at(provider_of(turn.lane)).state == 'shut' and 0.1 or tonumber(expected_seconds or '1')
  local after = turn.tag + seconds / tonumber(limits_of(turn.org).weight or '1')
  redis.call('SET', keys.virtual_time, turn.tag)
  if turn.last then
    keep_tag(turn.org, after, turn.tag)
  end
  redis.call('ZADD', keys.ready_orgs, after, turn.org)
  for _, lane in ipairs(turn.lanes) do
    redis.call('ZADD', keys.orgs_in_lane(lane), after, turn.org)
  end
end

-- The next job, and whose turn that is.
local function next_job()
  local org, tag = next_org()
  if org and budget.orgs > 0 then
    local of_org = #lanes == 1 and lanes or redis.call('SMEMBERS', keys.lanes_of_org(org))
    local lane = lane_of(org, of_org)
    local id, last = take_first(org, lane)
    return id, {org = org, tag = tag, lane = lane, lanes = of_org, last = last}
  end
end

-- In how many milliseconds this worker should ask for a turn again, for the sake of what waits for a provider's pace.
local function first_opening()
  local first
  for _, lane in ipairs(lanes) do
    local provider = provider_of(lane)
    for _, account in ipairs(accounts_of(args.accounts, provider)) do
      local opens_in = paced(account.name, now) == 0 and wake_in(provider, account.name, now)
      first = opens_in and math.min(opens_in, first or opens_in) or first
    end
  end
  return first or false
end

for _ = 1, 100 do
  local lost = set_back and redis.call('ZPOPMIN', keys.lost)[1]
  local id, turn = lost, nil
  if not lost then
    id, turn = next_job()
  end
  if not id and budget.orgs <= 0 then
    return {}  -- it has passed over as many as one script should: the next one goes on
  end
  if not id then
    redis.call('ZREM', keys.turns, args.turn)
    if redis.call('EXISTS', keys.ready_orgs, keys.due) == 0 then
      redis.call('DEL', keys.tags)  -- nobody waits and nothing runs: all begin alike again
    end
    return first_opening()
  end
  local key = keys.job(id)
  local job = read(key, JobField.status, JobField.worker, JobField.document, JobField.deadline, JobField.org,
    JobField.provider, JobField.fence, JobField.schema, JobField.expected_seconds)
  if turn then
    pay(turn, job.expected_seconds)
  end
  local live = job.status == 'queued' or job.status == 'running' or job.status == 'canceling'
  local free = live and not job.worker
  if free and tonumber(job.schema or '1') > args.schema then
    redis.call('ZADD', keys.backing_off, now + 5000, id)  -- for a newer worker, and in nobody's way meanwhile
    return {id, job.schema}
  end
  if free then
    local account = room_at(job.provider)
    local room = account.state ~= 'shut'
    if lost then
      room = account.state == 'free' and not account.probing and not runs_enough(job.org)
    end
    -- Above the clock: a replica that takes over without the last claim cannot give its number out again.
    local fence = math.max(tonumber(job.fence or '0') + 1, now)
    redis.call('HSET', key, JobField.fence, fence, JobField.worker, args.worker, JobField.astray, 0,
      JobField.account, account.name)
    redis.call('ZADD', keys.workers, 'GT', lease_until, args.worker)  -- a sign of life
    take_hold(args.worker, job.org, id, fence, now, job.status == 'canceling')
    local wake_ms
    if room then
      local has_pace = take_room(account, room_of(id, fence), lease_until, args.probe_ms, now)
      wake_ms = has_pace and wake_in(job.provider, account.name, now)
    end
    if args.begins then
      redis.call('ZADD', keys.turns, lease_until, args.turn)  -- and then with each heartbeat
    end
    return {fence, job.document, room and 1 or 0, wake_ms or -1, account.name}
  end
end
return {}
