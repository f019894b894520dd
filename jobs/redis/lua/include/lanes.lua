-- An org's ready jobs wait in one lane a provider, so that a provider without room holds up nobody else's; those that may
-- go on elsewhere wait in one beside it, so that where nobody is let in, nobody is in front of those who leave.
local function leaving_lane(provider)
  return provider .. ELSEWHERE
end

local function provider_of(lane)
  return (string.gsub(lane, ELSEWHERE .. '$', ''))
end

-- Let an org stand in a lane by its tag.
local function stand_in(lane, org, tag)
  redis.call('SADD', keys.lanes, lane)
  redis.call('ZADD', keys.orgs_in_lane(lane), tag, org)
end

local function stand_out(lane, org)
  redis.call('ZREM', keys.orgs_in_lane(lane), org)
  if redis.call('EXISTS', keys.orgs_in_lane(lane)) == 0 then
    redis.call('SREM', keys.lanes, lane)
  end
end

-- Put a job among its org's ready ones. Orgs take turns by start-time fair queueing: an org that comes (back)
-- begins at the virtual time, never before its own last tag, so neither a full queue nor an empty one is an advantage.
-- Each lane knows its orgs by their tags: a hundred that wait for one provider are in nobody's way to another.
-- A call whose picture lies on a disk somewhere needs no room: its job waits for whoever has the disk, like a lost one.
local function make_ready(org, provider, id, score)
  local need = args.room_need or redis.call('HGET', keys.job(id), JobField.room_need)
  if need == RoomNeed.none then
    redis.call('ZADD', keys.lost, 'NX', now_ms(), id)
    return
  end
  local lane = need == RoomNeed.room_or_elsewhere and leaving_lane(provider) or provider
  local ready = keys.ready(org, lane)
  redis.call('ZADD', ready, score, id)
  redis.call('ZADD', keys.ready_jobs, 0, id)
  if redis.call('ZCARD', ready) > 1 then
    return  -- the org stands there already, or has been set aside
  end
  local tag = redis.call('ZSCORE', keys.ready_orgs, org)
  if not tag then
    local time = tonumber(redis.call('GET', keys.virtual_time) or '0')
    tag = math.max(time, tonumber(redis.call('ZSCORE', keys.tags, org) or '0'))
    redis.call('ZADD', keys.ready_orgs, tag, org)
  end
  redis.call('SADD', keys.lanes_of_org(org), lane)
  if redis.call('SISMEMBER', keys.full_orgs, org) == 0 then
    stand_in(lane, org, tag)
  end
end

-- Take a job out of whichever lane of its provider it stands in.
local function leave_lanes(org, provider, id)
  redis.call('ZREM', keys.ready_jobs, id)
  redis.call('ZREM', keys.ready(org, provider), id)
  redis.call('ZREM', keys.ready(org, leaving_lane(provider)), id)
end

-- Keep the tag of an org that has nothing ready any more. Those that virtual time has passed begin there anyway.
local function keep_tag(org, tag, virtual_time)
  redis.call('ZADD', keys.tags, tag, org)
  redis.call('ZREMRANGEBYSCORE', keys.tags, '-inf', virtual_time)
end

-- An org has nothing left in a lane.
local function leave_lane(org, lane)
  stand_out(lane, org)
  redis.call('SREM', keys.lanes_of_org(org), lane)
  if redis.call('EXISTS', keys.lanes_of_org(org)) == 0 then
    local tag = redis.call('ZSCORE', keys.ready_orgs, org)
    redis.call('ZREM', keys.ready_orgs, org)
    if tag then
      keep_tag(org, tag, redis.call('GET', keys.virtual_time) or '0')
    end
  end
end

-- How many jobs an org may run, and its weight; read once a script.
local known_limits = {}
local function limits_of(org)
  known_limits[org] = known_limits[org] or read(keys.limits(org), LimitField.max_running, LimitField.weight)
  return known_limits[org]
end

-- Whether an org runs as many jobs as it may.
local function runs_enough(org)
  local limit = limits_of(org).maxRunning
  return limit and redis.call('ZCARD', keys.running_of_org(org)) >= tonumber(limit)
end

-- An org that runs as many jobs as it may stands in no lane, so that no claim has to pass it over, however many there are.
-- It is let in again when a worker lets go of a job of its, or when its limits change.
local function set_aside(org)
  redis.call('SADD', keys.full_orgs, org)
  for _, lane in ipairs(redis.call('SMEMBERS', keys.lanes_of_org(org))) do
    stand_out(lane, org)
  end
end

local function let_in(org)
  if redis.call('SREM', keys.full_orgs, org) == 1 then
    local tag = redis.call('ZSCORE', keys.ready_orgs, org)
    for _, lane in ipairs(redis.call('SMEMBERS', keys.lanes_of_org(org))) do
      stand_in(lane, org, tag)
    end
  end
end

-- The first of an org's jobs in a lane, and its score; read once a script, with the second one.
local known_first = {}
local function first_in(org, lane)
  local ready = keys.ready(org, lane)
  known_first[ready] = known_first[ready] or redis.call('ZRANGE', ready, 0, 1, 'WITHSCORES')
  return known_first[ready][1], tonumber(known_first[ready][2])
end

-- Take the first, and whether it was the last.
local function take_first(org, lane)
  local ready = keys.ready(org, lane)
  local id, _, second = unpack(known_first[ready])
  known_first[ready] = nil
  redis.call('ZREM', ready, id)
  redis.call('ZREM', keys.ready_jobs, id)
  return id, not second
end

-- Show the orgs whose jobs wait in a lane, the next one first, until `enough` has seen what it wants. What is passed over
-- on the way is met once: orgs that run as many as they may, or that have nothing left there. More than `budget.orgs` of
-- them are left to the next script.
local function each_org(lane, budget, enough)
  local from = 0
  while budget.orgs > 0 do
    local orgs = redis.call('ZRANGE', keys.orgs_in_lane(lane), from, from + 9, 'WITHSCORES')
    if not orgs[1] then
      return
    end
    for i = 1, #orgs, 2 do
      if not first_in(orgs[i], lane) then
        leave_lane(orgs[i], lane)
        budget.orgs = budget.orgs - 1
      elseif runs_enough(orgs[i]) then
        set_aside(orgs[i])
        budget.orgs = budget.orgs - 1
      elseif enough(orgs[i], tonumber(orgs[i + 1])) then
        return
      else
        from = from + 1
      end
    end
  end
end

-- The room of a claim at its provider (`Claim.name`): it is held as long as a call is open, whatever becomes of the job.
local function room_of(id, fence)
  return string.format('%s/%.0f', id, fence)
end

-- How far an account's pace is made good that was not kept, as when nobody was awake just then; and how long a pause
-- has to be for a job that may leave to leave.
local BEHIND_MS, LONG_PAUSE_MS = 500, 2000

-- A provider's accounts: their names, `weight` and `limit`. Who is not among those told of has one, of the provider's name.
local function accounts_of(accounts, provider)
  return accounts[provider] or {{name = provider}}
end

-- An account's pace; read once a script, unless it is written.
local known_paces = {}
local function pace_of(account)
  known_paces[account] = known_paces[account]
    or read(keys.pace(account), PaceField.opens_at, PaceField.interval, PaceField.wakes_at)
  return known_paces[account]
end

local function set_pace(account, field, value)
  known_paces[account] = nil
  redis.call('HSET', keys.pace(account), field, value)
end

-- How many calls an account's pace lets begin now, and when the one after them may.
local function paced(account, now)
  local pace = pace_of(account)
  local opens_at, interval = tonumber(pace.opens_at or '0'), tonumber(pace.interval or '0')
  if opens_at > now then
    return 0, opens_at
  elseif interval == 0 then
    return math.huge
  end
  opens_at = math.max(opens_at, now - BEHIND_MS)
  local calls = 1 + math.floor((now - opens_at) / interval)
  return calls, opens_at + calls * interval
end

-- A call is about to begin: the next one waits for its time. Answers whether it does: whether the account has a pace.
local function count_call(account, now)
  local pace = pace_of(account)
  if pace.interval then
    local opens_at = math.max(tonumber(pace.opens_at or '0'), now - BEHIND_MS)
    set_pace(account, PaceField.opens_at, opens_at + pace.interval)
    return true
  end
end

-- In how many milliseconds a worker should ask for a turn, for an account's pace holds up jobs: of each such time one
-- worker is told. None: there are no such jobs, or another worker does it.
local function wake_in(provider, account, now)
  if redis.call('EXISTS', keys.orgs_in_lane(provider), keys.orgs_in_lane(leaving_lane(provider))) > 0 then
    local pace = pace_of(account)
    if pace.opens_at and pace.opens_at ~= pace.wakes_at then
      set_pace(account, PaceField.wakes_at, pace.opens_at)
      return math.max(0, math.ceil(tonumber(pace.opens_at) - now))
    end
  end
end

-- Whether an account may be given another call: 'free', 'full' (as many as its limit are open), 'paced' (not just yet), or
-- 'shut' (by its breaker, or for a while by its own word); whether it is to be tried out, how many calls may begin now,
-- and how many are open for its weight, where that is of interest.
local function account_now(account, weighed, now)
  local name, shut_until = account.name, nil
  if redis.call('EXISTS', keys.pace(name), keys.breaker(name)) == 0 then  -- as mostly
    known_paces[name] = {}
  else
    shut_until = redis.call('HGET', keys.breaker(name), BreakerField.shut_until)
  end
  local calls, opens_at = paced(name, now)
  local running = (account.limit or weighed) and redis.call('ZCOUNT', keys.running_at_provider(name), '(' .. now, '+inf') or 0
  local state = 'free'
  if tonumber(shut_until or '0') > now then
    state = 'shut'
  elseif calls == 0 then
    state = opens_at - now > LONG_PAUSE_MS and 'shut' or 'paced'
  elseif account.limit and running >= account.limit then
    state = 'full'
  end
  return {name = name, state = state, probing = shut_until and true or false, calls = calls,
    load = (running + 1) / (account.weight or 1)}
end

-- Where a provider's next call goes: to the account that is free and least loaded by its weight, but to none of those that
-- are `tried`. Its state is that of the one that is nearest to being free; `calls` are those that may begin at all of them.
local NEARNESS = {free = 1, full = 2, paced = 3, shut = 4}
local function next_account(accounts, provider, now, tried)
  local best, calls = nil, 0
  local all = accounts_of(accounts, provider)
  for _, account in ipairs(all) do
    if not (tried and tried[account.name]) then
      local seen = account_now(account, all[2], now)
      calls = calls + (seen.state == 'free' and seen.calls or 0)
      local nearer = best and NEARNESS[seen.state] - NEARNESS[best.state]
      if not best or nearer < 0 or (nearer == 0 and seen.load < best.load) then
        best = seen
      end
    end
  end
  return best and {name = best.name, state = best.state, probing = best.probing, calls = calls}
end

-- `next_account` of each provider, looked for once a script.
local function rooms(accounts, now)
  local known = {}
  return function(provider)
    known[provider] = known[provider] or next_account(accounts, provider, now)
    return known[provider]
  end
end

-- A call takes its room: for so long nobody else may, and one alone tries out an account that was shut.
local function take_room(account, room, until_ms, probe_ms, now)
  redis.call('ZADD', keys.running_at_provider(account.name), until_ms, room)
  if account.probing then
    redis.call('HSET', keys.breaker(account.name), BreakerField.shut_until, now + probe_ms, BreakerField.probe, 1)
  end
  return count_call(account.name, now)
end

-- Whether a lane's jobs may be claimed: a provider that is shut gives up those that may go on elsewhere.
local function may_claim(room_at, lane)
  local provider = provider_of(lane)
  local room = room_at(provider).state
  return room == 'free' or (room == 'shut' and lane ~= provider)
end
