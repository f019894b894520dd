-- Write what came of a delivery's attempt; refused (0) when another courier has written since it was read.
local id, address, seen, count, doc, pause, keep_ms = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
local key = P .. 'delivery:' .. id
if redis.call('HGET', key, 'n') ~= seen then
  return 0
end
redis.call('HSET', key, 'doc', doc, 'n', count)
if pause < 0 then
  redis.call('ZREM', P .. 'outbox:' .. address, id)
  redis.call('PEXPIRE', key, keep_ms)
else
  redis.call('ZADD', P .. 'outbox:' .. address, now_ms() + pause, id)
end
next_of(address)
return 1
