-- Turns end. A worker that stops takes its slots away at once, so that nobody asks for a turn that it will not take; what is
-- still in its hands is for the next look at the dead.
for slot = 1, args.slots do
  redis.call('ZREM', keys.slots, args.worker .. '/' .. slot)
end
if args.stops then
  if redis.call('EXISTS', keys.held_by(args.worker)) == 1 then
    redis.call('ZADD', keys.workers, now_ms(), args.worker)
  else
    redis.call('ZREM', keys.workers, args.worker)
  end
end
for _, turn in ipairs(args.turns) do
  redis.call('ZREM', keys.turns, turn)
end
return 0
