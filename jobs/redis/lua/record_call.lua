-- A provider's call has ended: 'good', 'bad' or 'busy', and how long it took. Enough bad ones in a row open the
-- breaker, longer each time; one good one closes it. Times are kept of the provider and of each of its models.
local provider, model, word, took = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local most, open_ms, longest_ms, keep_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local key = keys.breaker(provider)
if word == 'good' then
  for _, times in ipairs({keys.times_of_provider(provider), keys.times_of_model(provider, model)}) do
    redis.call('LPUSH', times, took)
    redis.call('LTRIM', times, 0, 199)
    redis.call('PEXPIRE', times, keep_ms)
  end
  redis.call('DEL', key)
elseif word == 'bad' then
  local bad = redis.call('HINCRBY', key, BreakerField.failures, 1)
  local state = redis.call('HMGET', key, BreakerField.shut_until, BreakerField.probe)
  if bad >= most and (not state[1] or state[2]) then
    local opened = redis.call('HINCRBY', key, BreakerField.trips, 1)
    redis.call('HSET', key, BreakerField.shut_until, now_ms() + math.min(open_ms * 2 ^ (opened - 1), longest_ms))
    redis.call('HDEL', key, BreakerField.probe)
  end
  redis.call('PEXPIRE', key, 2 * longest_ms)
end
return 1
