-- A provider's call has ended: 'good', 'bad' or 'busy', and how long it took. Enough bad ones in a row open the breaker of
-- its account, longer each time; one good one closes it. Times are kept of the provider and of each of its models, the
-- newest 200 and at most twenty more.
-- The account's pace is halved by a call that was refused for its rate ('busy'), and grows by a step with each that was
-- served while others waited for theirs (additive increase, multiplicative decrease). For `retry_after_ms` it gets no call.

-- The milliseconds from one call to the next from now on. Calls of one wave, which are refused together, slow it once.
local function slow_down(call, pace)
  local now, interval = now_ms(), tonumber(pace.interval or '0')
  if now - call.took_ms < tonumber(pace.slowed_at or '0') + call.pace.wave_ms then
    return interval
  end
  local pace_key = keys.pace(call.account)
  local slower = interval > 0 and math.min(2 * interval, call.pace.max_interval_ms) or call.pace.first_interval_ms
  redis.call('HSET', pace_key, PaceField.interval, slower, PaceField.slowed_at, now)
  if interval > 0 then
    redis.call('HSET', pace_key, PaceField.step, call.pace.step * 1000 / interval)
  end
  return slower
end

local function speed_up(call, pace)
  local interval = tonumber(pace.interval or '0')
  if interval > 0 and tonumber(pace.wakes_at or '0') > now_ms() - call.took_ms then
    local faster = 1000 / (1000 / interval + tonumber(pace.step or call.pace.first_step))
    redis.call('HSET', keys.pace(call.account), PaceField.interval, faster)
  end
end

local function pause(call, pace, ms)
  ms = math.ceil(ms)
  local pace_key = keys.pace(call.account)
  redis.call('HSET', pace_key, PaceField.opens_at, math.max(tonumber(pace.opens_at or '0'), now_ms() + ms))
  redis.call('PEXPIRE', pace_key, call.pace.keep_ms + ms)
end

-- Now and then, what is too much of them is forgotten, and the rooms of workers that died.
local function keep_time(call)
  for _, times in ipairs({keys.times_of_provider(call.provider), keys.times_of_model(call.provider, call.model)}) do
    if redis.call('LPUSH', times, call.took_ms) % 20 == 1 then
      redis.call('LTRIM', times, 0, 199)
      redis.call('PEXPIRE', times, call.keep_times_ms)
      redis.call('ZREMRANGEBYSCORE', keys.running_at_provider(call.account), '-inf', now_ms() - call.keep_rooms_ms)
    end
  end
end

local function count_failure(call)
  local key = keys.breaker(call.account)
  local failures = redis.call('HINCRBY', key, BreakerField.failures, 1)
  local state = read(key, BreakerField.shut_until, BreakerField.probe)
  if failures >= call.max_failures and (not state.shut_until or state.probe) then
    local trips = redis.call('HINCRBY', key, BreakerField.trips, 1)
    local pause_ms = math.min(call.open_ms * 2 ^ (trips - 1), call.max_open_ms)
    redis.call('HSET', key, BreakerField.shut_until, now_ms() + pause_ms)
    redis.call('HDEL', key, BreakerField.probe)
  end
  redis.call('PEXPIRE', key, 2 * call.max_open_ms)
end

local function record_call(call)
  local well = redis.call('EXISTS', keys.pace(call.account), keys.breaker(call.account)) == 0
  local pace = well and {} or read(
    keys.pace(call.account),
    PaceField.opens_at, PaceField.interval, PaceField.slowed_at, PaceField.step, PaceField.wakes_at
  )
  if call.verdict == 'good' then
    keep_time(call)
    if not well then
      redis.call('DEL', keys.breaker(call.account), keys.record('trouble', call.account))
      speed_up(call, pace)
    end
  elseif call.verdict == 'bad' then
    count_failure(call)
  end
  if call.verdict == 'busy' then
    pause(call, pace, math.max(call.retry_after_ms, slow_down(call, pace)))
  elseif call.retry_after_ms > 0 then
    pause(call, pace, math.max(1000, call.retry_after_ms))
  end
end
