-- The queue in numbers: ready, running, deferred, turns, slots, workers, and the oldest of the ready.
-- A version of us that does not know `ready_jobs` leaves there what it claims: that is taken out when it has
-- ended and is the oldest.
local now = now_ms()
local oldest
for _ = 1, 100 do
  oldest = redis.call('ZRANGE', keys.ready_jobs, 0, 0)[1]
  if not oldest or redis.call('HEXISTS', keys.job(oldest), JobField.provider) == 1 then  -- it lives
    break
  end
  redis.call('ZREM', keys.ready_jobs, oldest)
end
local ready, deferred = redis.call('ZCARD', keys.ready_jobs), redis.call('ZCARD', keys.backing_off)
local counts = {ready, redis.call('ZCARD', keys.due) - ready - deferred - redis.call('ZCARD', keys.lost), deferred}
for _, leased in ipairs({keys.turns, keys.slots, keys.workers}) do
  counts[#counts + 1] = redis.call('ZCOUNT', leased, '(' .. now, '+inf')
end
return {counts, oldest or ''}
