-- Take what has ended out of the index of its org, at most `max` a call. Answers how many were looked at.
-- A record that lives on is looked at when it ends; one that ends no more, when it is given an end again.
local now = now_ms()
local entries = redis.call('ZRANGEBYSCORE', keys.index_ends, '-inf', now, 'LIMIT', 0, args.max)
for _, entry in ipairs(entries) do
  local kind, id, org = string.match(entry, '^(%S+) (%S+) (.*)$')
  local left = redis.call('PTTL', keys.record(kind, id))
  if left > 0 then
    redis.call('ZADD', keys.index_ends, now + left, entry)
  else
    redis.call('ZREM', keys.index_ends, entry)
  end
  if left == -2 then
    redis.call('ZREM', keys.records_of_org(kind, org), id)
  end
end
return #entries
