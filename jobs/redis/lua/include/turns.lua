-- A turn is one run of a worker's loop (an arq job). Ask for one when fewer are under way than slots live: it goes into
-- arq's queue, from where the worker that begins it takes it. `document` is what arq is to run.
local function want_turn(turn, now, start_ms, document)
  if redis.call('ZCOUNT', keys.turns, '(' .. now, '+inf') >= redis.call('ZCOUNT', keys.slots, '(' .. now, '+inf') then
    return false
  end
  redis.call('ZADD', keys.turns, now + start_ms, turn)
  redis.call('SET', keys.arq_turn(turn), document, 'PX', 86400000)
  redis.call('ZADD', keys.arq_turns, now, turn)
  return true
end
