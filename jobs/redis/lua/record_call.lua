-- A provider's call has ended: 'good', 'bad' or 'busy', and how long it took. Enough bad ones in a row open the
-- breaker, longer each time; one good one closes it. Times are kept of the provider and of each of its models.
local key = keys.breaker(args.provider)
redis.call('ZREMRANGEBYSCORE', keys.running_at_provider(args.provider), '-inf', now_ms() - args.keep_rooms_ms)  -- of the dead
if args.verdict == 'good' then
  for _, times in ipairs({keys.times_of_provider(args.provider), keys.times_of_model(args.provider, args.model)}) do
    redis.call('LPUSH', times, args.took_ms)
    redis.call('LTRIM', times, 0, 199)
    redis.call('PEXPIRE', times, args.keep_times_ms)
  end
  redis.call('DEL', key)
elseif args.verdict == 'bad' then
  local failures = redis.call('HINCRBY', key, BreakerField.failures, 1)
  local state = read(key, BreakerField.shut_until, BreakerField.probe)
  if failures >= args.max_failures and (not state.shut_until or state.probe) then
    local trips = redis.call('HINCRBY', key, BreakerField.trips, 1)
    local pause_ms = math.min(args.open_ms * 2 ^ (trips - 1), args.max_open_ms)
    redis.call('HSET', key, BreakerField.shut_until, now_ms() + pause_ms)
    redis.call('HDEL', key, BreakerField.probe)
  end
  redis.call('PEXPIRE', key, 2 * args.max_open_ms)
end
return 1
