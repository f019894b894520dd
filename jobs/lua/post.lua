-- Lease due deliveries to a courier: at most `most`, and of each queue no more than it has room for beside what is
-- under way already; of a queue whose receiver failed again and again, one. Answers the time, when the next one is
-- due, and the documents.
local most, lease, room = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local under_way = {}
for i = 5, #ARGV, 2 do
  under_way[ARGV[i]] = tonumber(ARGV[i + 1])
end
local now = now_ms()
local docs = {}
for _, queue in ipairs(redis.call('ZRANGEBYSCORE', P .. 'outbox', '-inf', now, 'LIMIT', 0, 1000)) do
  local free = math.min(most - #docs, room - (under_way[queue] or 0))
  local receiver = P .. 'receiver:' .. queue
  local single = redis.call('HEXISTS', receiver, 'until') == 1
  if free > 0 then
    local key = P .. 'outbox:' .. queue
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, single and 1 or free)) do
      local doc = redis.call('HGET', P .. 'delivery:' .. id, 'doc')
      if doc then
        redis.call('ZADD', key, now + lease, id)
        redis.call('HSET', P .. 'delivery:' .. id, 'l', now + lease)
        docs[#docs + 1] = doc
        if single then
          redis.call('HSET', receiver, 'until', now + lease, 'probe', id)
        end
      else
        redis.call('ZREM', key, id)
      end
    end
    next_of(queue)
  end
end
local later = redis.call('ZRANGEBYSCORE', P .. 'outbox', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {now, later[2] or '', docs}
