-- Put deliveries on their way again, at once: id, seen revision and document of each. Answers how many: one
-- that somebody has written since it was read, that is being posted just now, or that is gone, is left alone.
local now, count = now_ms(), 0
for i = 2, #ARGV, 3 do
  local key = P .. 'delivery:' .. ARGV[i]
  local row = redis.call('HMGET', key, 'n', 'l', 'a')
  if row[1] == ARGV[i + 1] and tonumber(row[2] or '0') <= now then
    redis.call('HSET', key, 'doc', ARGV[i + 2], 'n', ARGV[i + 1] + 1)
    redis.call('PERSIST', key)
    redis.call('ZADD', P .. 'outbox:' .. row[3], now, ARGV[i])
    next_of(row[3])
    count = count + 1
  end
end
redis.call('PUBLISH', P .. 'outbox', '')
return count
