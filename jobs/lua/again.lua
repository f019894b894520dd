-- Put deliveries on their way again, at once: id, seen revision, queue and document of each. Answers how many: one
-- that somebody has written since it was read, that is being posted just now, or that is gone, is left alone.
local now, count = now_ms(), 0
for i = 2, #ARGV, 4 do
  local key, queue = P .. 'delivery:' .. ARGV[i], ARGV[i + 2]
  local row = redis.call('HMGET', key, 'n', 'l')
  if row[1] == ARGV[i + 1] and tonumber(row[2] or '0') <= now then
    redis.call('HSET', key, 'doc', ARGV[i + 3], 'n', ARGV[i + 1] + 1)
    redis.call('PERSIST', key)
    redis.call('ZADD', P .. 'outbox:' .. queue, now, ARGV[i])
    next_of(queue)
    count = count + 1
  end
end
redis.call('PUBLISH', P .. 'outbox', '')
return count
