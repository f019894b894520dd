-- A worker stops: its slots are taken away at once, so that nobody asks for a turn that it will not take.
local worker, slots = ARGV[2], tonumber(ARGV[3])
for slot = 1, slots do
  redis.call('ZREM', keys.slots, worker .. '/' .. slot)
end
redis.call('ZREM', keys.workers, worker)
for i = 4, #ARGV do
  redis.call('ZREM', keys.turns, ARGV[i])
end
return 0
