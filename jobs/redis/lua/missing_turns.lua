-- Which of the offered turns are missing: as many as there is work that may be done, and slots without a turn.
-- Includes: lanes, turns.
local start_ms, offered = tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local room_at = rooms(4 + offered, now)
local work = redis.call('ZCARD', keys.lost) + redis.call('ZCOUNT', keys.backing_off, '-inf', now)
for _, name in ipairs(redis.call('SMEMBERS', keys.lanes)) do
  if work < offered and may_claim(room_at, name) then
    each_org(name, now, function(org)
      work = work + redis.call('ZCARD', keys.ready(org, name))
      return work >= offered
    end)
  end
end
local wanted = {}
for i = 4, 3 + offered do
  if #wanted < work and want_turn(ARGV[i], now, start_ms) == 1 then
    wanted[#wanted + 1] = ARGV[i]
  end
end
return wanted
