-- Put before every script. ARGV[1] is the key prefix; every key carries it, so all of them share one hash slot.
local P = ARGV[1]

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- An org's ready jobs wait in one lane a provider, so that a provider without room holds up nobody else's; those that may
-- go on elsewhere wait in one beside it, so that where nobody is let in, nobody is in front of those who leave.
local function lane(org, name)
  return P .. 'ready:' .. org .. '/' .. name
end

local function way_out(provider)
  return provider .. '+'
end

local function provider_of(name)
  return (string.gsub(name, '%+$', ''))
end

-- Where a day's pictures and micro-dollars are counted: for the org and, when the job was asked for by one, its API key.
local function counters(org, api_key, day)
  local found = {P .. 'used:' .. org .. ':' .. day}
  if api_key ~= '' then
    found[2] = P .. 'used/' .. api_key .. ':' .. day
  end
  return found
end

-- Put a job among its org's ready ones. Orgs take turns by start-time fair queueing: an org that comes (back)
-- begins at the clock, never before its own last tag, so neither a full queue nor an empty one is an advantage.
-- Each lane knows its orgs by their tags: a hundred that wait for one provider are in nobody's way to another.
-- A call whose picture lies on a disk somewhere needs no room: its job waits for whoever has the disk, like a lost one.
local function make_ready(org, provider, id, score)
  local e = redis.call('HGET', P .. 'job:' .. id, 'e')
  if e == '2' then
    redis.call('ZADD', P .. 'lost', 'NX', now_ms(), id)
    return
  end
  local name = e == '1' and way_out(provider) or provider
  local tag = redis.call('ZSCORE', P .. 'orgs', org)
  if not tag then
    local clock = tonumber(redis.call('GET', P .. 'clock') or '0')
    tag = math.max(clock, tonumber(redis.call('HGET', P .. 'tags', org) or '0'))
    redis.call('ZADD', P .. 'orgs', tag, org)
  end
  redis.call('ZADD', lane(org, name), score, id)
  redis.call('SADD', P .. 'lanes:' .. org, name)
  redis.call('SADD', P .. 'lanes', name)
  redis.call('ZADD', P .. 'waiting:' .. name, tag, org)
end

-- An org has nothing left in a lane.
local function leave_lane(org, name)
  redis.call('ZREM', P .. 'waiting:' .. name, org)
  redis.call('SREM', P .. 'lanes:' .. org, name)
  if redis.call('EXISTS', P .. 'waiting:' .. name) == 0 then
    redis.call('SREM', P .. 'lanes', name)
  end
  if redis.call('EXISTS', P .. 'lanes:' .. org) == 0 then
    redis.call('ZREM', P .. 'orgs', org)
  end
end

-- Whether an org runs as many jobs as it may.
local function runs_enough(org, now)
  local most = redis.call('HGET', P .. 'limits:' .. org, 'maxRunning')
  return most and redis.call('ZCOUNT', P .. 'running/' .. org, '(' .. now, '+inf') >= tonumber(most)
end

-- Show the orgs whose jobs wait in a lane, the next one first, until `enough` has seen what it wants. What is passed over
-- on the way are orgs that run as many as they may; those that have nothing left there are met once.
local function each_org(name, now, enough)
  local from = 0
  while true do
    local orgs = redis.call('ZRANGE', P .. 'waiting:' .. name, from, from + 99, 'WITHSCORES')
    if not orgs[1] then
      return
    end
    for i = 1, #orgs, 2 do
      if redis.call('EXISTS', lane(orgs[i], name)) == 0 then
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
      if tonumber(redis.call('HGET', P .. 'breaker:' .. provider, 'until') or '0') > now then
        known[provider] = 'shut'
      elseif limits[provider] and redis.call('ZCOUNT', P .. 'running:' .. provider, '(' .. now, '+inf') >= limits[provider] then
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

-- Tell every process that a job has changed, and whose it is. The subject comes last: it is the rest of the line.
local function tell(id, version, org, subject)
  redis.call('PUBLISH', P .. 'news', id .. ' ' .. version .. ' ' .. org .. ' ' .. subject)
end

-- A turn is one run of a worker's loop (an arq job). Ask for one when fewer are under way than slots live.
local function want_turn(turn, now, start_ms)
  redis.call('ZREMRANGEBYSCORE', P .. 'turns', '-inf', now)
  redis.call('ZREMRANGEBYSCORE', P .. 'slots', '-inf', now)
  if redis.call('ZCARD', P .. 'turns') < redis.call('ZCARD', P .. 'slots') then
    redis.call('ZADD', P .. 'turns', now + start_ms, turn)
    return 1
  end
  return 0
end

-- The outbox orders queues (an endpoint's, or an org's for an address) by when something of theirs is due: the first delivery,
-- but not before the breaker of its receiver lets another be tried.
local function next_of(queue)
  local first = redis.call('ZRANGE', P .. 'outbox:' .. queue, 0, 0, 'WITHSCORES')[2]
  if first then
    local shut = tonumber(redis.call('HGET', P .. 'receiver:' .. queue, 'until') or '0')
    redis.call('ZADD', P .. 'outbox', math.max(tonumber(first), shut), queue)
  else
    redis.call('ZREM', P .. 'outbox', queue)
  end
end

-- Put deliveries of a job into the outbox: id, queue, document and time of each, from ARGV[first] on. Due at once.
-- An org's index of them outlasts the rows: one pending for days is kept from its end on.
local function send(job, first, keep_ms)
  if not ARGV[first] then
    return
  end
  local now = now_ms()
  local index = P .. 'deliveries_of:' .. redis.call('HGET', P .. 'job:' .. job, 'org')
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now - 2 * keep_ms)
  for i = first, #ARGV, 4 do
    redis.call('HSET', P .. 'delivery:' .. ARGV[i], 'doc', ARGV[i + 2], 'n', 0, 'a', ARGV[i + 1])
    redis.call('ZADD', P .. 'outbox:' .. ARGV[i + 1], now, ARGV[i])
    redis.call('RPUSH', P .. 'deliveries:' .. job, ARGV[i])
    redis.call('ZADD', index, ARGV[i + 3], ARGV[i])
    next_of(ARGV[i + 1])
    redis.call('PUBLISH', P .. 'outbox', ARGV[i])
  end
  redis.call('PEXPIRE', index, 2 * keep_ms)
  redis.call('PEXPIRE', P .. 'deliveries:' .. job, keep_ms)
end
