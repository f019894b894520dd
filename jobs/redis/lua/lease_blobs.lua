-- Lease blobs whose time has come to one sweeper; what it does not delete is due again after the lease.
local now = now_ms()
local names = redis.call('ZRANGEBYSCORE', keys.expiring_blobs, '-inf', now, 'LIMIT', 0, args.limit)
for _, name in ipairs(names) do
  redis.call('ZADD', keys.expiring_blobs, now + args.lease_ms, name)
end
return names
