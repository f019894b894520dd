-- Which of the offered turns are missing: as many as there is work, and slots without a turn.
local start_ms = tonumber(ARGV[2])
local now = now_ms()
local work = redis.call('ZCOUNT', P .. 'later', '-inf', now)
for _, org in ipairs(redis.call('ZRANGE', P .. 'orgs', 0, #ARGV)) do
  work = work + redis.call('ZCARD', P .. 'ready:' .. org)
end
local wanted = {}
for i = 3, #ARGV do
  if #wanted < work and want_turn(ARGV[i], now, start_ms) == 1 then
    wanted[#wanted + 1] = ARGV[i]
  end
end
return wanted
