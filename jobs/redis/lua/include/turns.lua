-- A turn is one run of a worker's loop (an arq job). Ask for one when fewer are under way than slots live.
local function want_turn(turn, now, start_ms)
  redis.call('ZREMRANGEBYSCORE', keys.turns, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', keys.slots, '-inf', now)
  if redis.call('ZCARD', keys.turns) < redis.call('ZCARD', keys.slots) then
    redis.call('ZADD', keys.turns, now + start_ms, turn)
    return 1
  end
  return 0
end
