-- Write what came of a delivery's attempt; refused (0) when somebody has written since it was read.
-- `verdict` is what it says of the receiver: 'good', 'bad' or '' (nothing).
local id, seen, doc, pause, keep_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local verdict, failures, open_ms, longest_ms = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local key = P .. 'delivery:' .. id
local row = redis.call('HMGET', key, 'n', 'a')
if row[2] then
  redis.call('ZREM', P .. 'posting:' .. row[2], id)
end
if row[1] ~= seen then
  return 0
end
local now, queue = now_ms(), row[2]
local receiver = P .. 'receiver:' .. queue
redis.call('HSET', key, 'doc', doc, 'n', seen + 1)
redis.call('HDEL', key, 'l')
if pause < 0 then
  redis.call('ZREM', P .. 'outbox:' .. queue, id)
  redis.call('PEXPIRE', key, keep_ms)
else
  redis.call('ZADD', P .. 'outbox:' .. queue, now + pause, id)
end
if verdict == 'good' then
  redis.call('DEL', receiver)
elseif verdict == 'bad' then
  -- Posts that were under way when it shut say nothing new: only the single try makes the pause longer.
  local shut = redis.call('HMGET', receiver, 'until', 'probe')
  if redis.call('HINCRBY', receiver, 'n', 1) >= failures and (tonumber(shut[1] or '0') <= now or shut[2] == id) then
    local doubled = open_ms * 2 ^ (redis.call('HINCRBY', receiver, 'trips', 1) - 1)
    redis.call('HSET', receiver, 'until', now + math.min(doubled, longest_ms))
    redis.call('HDEL', receiver, 'probe')
  end
  redis.call('PEXPIRE', receiver, 86400000)
end
next_of(queue)
return 1
