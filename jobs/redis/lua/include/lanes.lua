-- An org's ready jobs wait in one lane a provider, so that a provider without room holds up nobody else's; those that may
-- go on elsewhere wait in one beside it, so that where nobody is let in, nobody is in front of those who leave.
local function way_out(provider)
  return provider .. ELSEWHERE
end

local function provider_of(name)
  return (string.gsub(name, ELSEWHERE .. '$', ''))
end

-- Put a job among its org's ready ones. Orgs take turns by start-time fair queueing: an org that comes (back)
-- begins at the clock, never before its own last tag, so neither a full queue nor an empty one is an advantage.
-- Each lane knows its orgs by their tags: a hundred that wait for one provider are in nobody's way to another.
-- A call whose picture lies on a disk somewhere needs no room: its job waits for whoever has the disk, like a lost one.
local function make_ready(org, provider, id, score)
  local need = redis.call('HGET', keys.job(id), JobField.room_need)
  if need == '2' then
    redis.call('ZADD', keys.lost, 'NX', now_ms(), id)
    return
  end
  local name = need == '1' and way_out(provider) or provider
  local tag = redis.call('ZSCORE', keys.ready_orgs, org)
  if not tag then
    local clock = tonumber(redis.call('GET', keys.virtual_time) or '0')
    tag = math.max(clock, tonumber(redis.call('HGET', keys.tags, org) or '0'))
    redis.call('ZADD', keys.ready_orgs, tag, org)
  end
  redis.call('ZADD', keys.ready(org, name), score, id)
  redis.call('SADD', keys.lanes_of_org(org), name)
  redis.call('SADD', keys.lanes, name)
  redis.call('ZADD', keys.orgs_in_lane(name), tag, org)
end

-- An org has nothing left in a lane.
local function leave_lane(org, name)
  redis.call('ZREM', keys.orgs_in_lane(name), org)
  redis.call('SREM', keys.lanes_of_org(org), name)
  if redis.call('EXISTS', keys.orgs_in_lane(name)) == 0 then
    redis.call('SREM', keys.lanes, name)
  end
  if redis.call('EXISTS', keys.lanes_of_org(org)) == 0 then
    redis.call('ZREM', keys.ready_orgs, org)
  end
end

-- Whether an org runs as many jobs as it may.
local function runs_enough(org, now)
  local most = redis.call('HGET', keys.limits(org), LimitField.max_running)
  return most and redis.call('ZCOUNT', keys.running_of_org(org), '(' .. now, '+inf') >= tonumber(most)
end

-- Show the orgs whose jobs wait in a lane, the next one first, until `enough` has seen what it wants. What is passed over
-- on the way are orgs that run as many as they may; those that have nothing left there are met once.
local function each_org(name, now, enough)
  local from = 0
  while true do
    local orgs = redis.call('ZRANGE', keys.orgs_in_lane(name), from, from + 99, 'WITHSCORES')
    if not orgs[1] then
      return
    end
    for i = 1, #orgs, 2 do
      if redis.call('EXISTS', keys.ready(orgs[i], name)) == 0 then
        leave_lane(orgs[i], name)
      else
        from = from + 1
        if not runs_enough(orgs[i], now) and enough(orgs[i], tonumber(orgs[i + 1])) then
          return
        end
      end
    end
  end
end

-- Whether a provider may be given another job: 'free', 'full' (as many as its limit run) or 'shut' (by its breaker).
-- ARGV[first], ARGV[first + 1], … are providers and their limits; a provider that is not named has none.
local function rooms(first, now)
  local limits, known = {}, {}
  for i = first, #ARGV, 2 do
    limits[ARGV[i]] = tonumber(ARGV[i + 1])
  end
  return function(provider)
    if known[provider] == nil then
      if tonumber(redis.call('HGET', keys.breaker(provider), BreakerField.shut_until) or '0') > now then
        known[provider] = 'shut'
      elseif limits[provider] and redis.call('ZCOUNT', keys.running_at_provider(provider), '(' .. now, '+inf') >= limits[provider] then
        known[provider] = 'full'
      else
        known[provider] = 'free'
      end
    end
    return known[provider]
  end
end

-- Whether a lane's jobs may be claimed: a provider that is shut gives up those that may go on elsewhere.
local function may_claim(room_at, name)
  local provider = provider_of(name)
  local room = room_at(provider)
  return room == 'free' or (room == 'shut' and name ~= provider)
end
