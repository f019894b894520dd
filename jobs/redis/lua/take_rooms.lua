-- Take rooms for further calls of a claimed job, as many of those offered as its provider has. Answers how many.
-- They last as long as the claim's own room: with that given back, the job has ended, and there are none.
-- Includes: lanes.
local now = now_ms()
local key = keys.running_at_provider(args.provider)
local until_ms = redis.call('ZSCORE', key, args.own)
local taken = 0
while until_ms and taken < #args.rooms and rooms(args.limits, now)(args.provider) == 'free' do
  taken = taken + 1
  redis.call('ZADD', key, until_ms, args.rooms[taken])
  count_call(args.provider, now)
end
return taken
