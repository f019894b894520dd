-- A provider's call has ended: 'good', 'bad' or 'busy', and how long it took. Enough bad ones in a row open the
-- breaker, longer each time; one good one closes it. Times are kept of the provider and of each of its models, the newest
-- 200 and at most twenty more.
local function record_call(call)
  local key = keys.breaker(call.provider)
  local dead = now_ms() - call.keep_rooms_ms
  redis.call('ZREMRANGEBYSCORE', keys.running_at_provider(call.provider), '-inf', dead)  -- rooms of workers that died
  if call.verdict == 'good' then
    for _, times in ipairs({keys.times_of_provider(call.provider), keys.times_of_model(call.provider, call.model)}) do
      if redis.call('LPUSH', times, call.took_ms) % 20 == 1 then
        redis.call('LTRIM', times, 0, 199)
        redis.call('PEXPIRE', times, call.keep_times_ms)
      end
    end
    redis.call('DEL', key)
  elseif call.verdict == 'bad' then
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
end
