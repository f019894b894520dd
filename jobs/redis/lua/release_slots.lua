-- A worker stops: its slots are taken away at once, so that nobody asks for a turn that it will not take.
for slot = 1, args.slots do
  redis.call('ZREM', keys.slots, args.worker .. '/' .. slot)
end
redis.call('ZREM', keys.workers, args.worker)
for _, turn in ipairs(args.turns) do
  redis.call('ZREM', keys.turns, turn)
end
return 0
