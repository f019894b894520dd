-- Which of the offered turns are missing: as many as there is work that may be done, and slots without a turn.
local start_ms, offered = tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local room_at = rooms(4 + offered, now)
local work = redis.call('ZCARD', P .. 'lost') + redis.call('ZCOUNT', P .. 'later', '-inf', now)
for _, org in ipairs(redis.call('ZRANGE', P .. 'orgs', 0, 99)) do
  for _, provider in ipairs(redis.call('SMEMBERS', P .. 'lanes:' .. org)) do
    local first = redis.call('ZRANGE', lane(org, provider), 0, 0)[1]
    if work < offered and first and may_claim(room_at(provider), first) then
      work = work + redis.call('ZCARD', lane(org, provider))
    end
  end
end
local wanted = {}
for i = 4, 3 + offered do
  if #wanted < work and want_turn(ARGV[i], now, start_ms) == 1 then
    wanted[#wanted + 1] = ARGV[i]
  end
end
return wanted
