-- Lease due deliveries to a courier: at most `most`, and of each queue no more than it has room for beside what is
-- under way already, whoever posts it; of a queue whose receiver failed again and again, one. Answers the time, when the
-- next one is due, and the documents.
local most, lease, room = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local docs = {}
for _, queue in ipairs(redis.call('ZRANGEBYSCORE', P .. 'outbox', '-inf', now, 'LIMIT', 0, 1000)) do
  if #docs >= most then
    break
  end
  local key, posting, receiver = P .. 'outbox:' .. queue, P .. 'posting:' .. queue, P .. 'receiver:' .. queue
  redis.call('ZREMRANGEBYSCORE', posting, '-inf', now)
  local free = math.min(most - #docs, room - redis.call('ZCARD', posting))
  if free > 0 then
    local single = redis.call('HEXISTS', receiver, 'until') == 1
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, single and 1 or free)) do
      local doc = redis.call('HGET', P .. 'delivery:' .. id, 'doc')
      if doc then
        redis.call('ZADD', key, now + lease, id)
        redis.call('ZADD', posting, now + lease, id)
        redis.call('HSET', P .. 'delivery:' .. id, 'l', now + lease)
        docs[#docs + 1] = doc
        if single then
          redis.call('HSET', receiver, 'until', now + lease, 'probe', id)
        end
      else
        redis.call('ZREM', key, id)
      end
    end
    redis.call('PEXPIRE', posting, lease)
    next_of(queue)
  end
  if redis.call('ZCARD', posting) >= room then  -- in nobody's way until a post of it ends
    redis.call('ZADD', P .. 'outbox', 'XX', 'GT', redis.call('ZRANGE', posting, 0, 0, 'WITHSCORES')[2], queue)
  end
end
local later = redis.call('ZRANGEBYSCORE', P .. 'outbox', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {now, later[2] or '', docs}
