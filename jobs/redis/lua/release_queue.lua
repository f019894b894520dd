-- Everything of a queue that is not being posted just now is due, whatever its receiver did: its endpoint has changed.
local queue, now = ARGV[2], now_ms()
local key = P .. 'outbox:' .. queue
redis.call('DEL', P .. 'receiver:' .. queue)
for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  if tonumber(redis.call('HGET', P .. 'delivery:' .. id, 'l') or '0') <= now then
    redis.call('ZADD', key, now, id)
  end
end
next_of(queue)
redis.call('PUBLISH', P .. 'outbox', '')
return 1
