-- Ask for turns that are missing, of the offered ones: as many as there is work that may be done, and slots without a turn.
-- Turns in arq's queue that nobody has begun in time were asked for again: they leave it. Document: the turn.
-- Includes: lanes, turns.
local now = now_ms()
local room_at = rooms(args.accounts, now)
for _, turn in ipairs(redis.call('ZRANGEBYSCORE', keys.arq_turns, '-inf', now - args.turn_start_ms, 'LIMIT', 0, 100)) do
  redis.call('ZREM', keys.arq_turns, turn)
  redis.call('ZREM', keys.turns, turn)
  redis.call('DEL', keys.arq_turn(turn))
end
local budget = {orgs = 50}
local work = redis.call('ZCARD', keys.lost) + redis.call('ZCOUNT', keys.backing_off, '-inf', now)
for _, lane in ipairs(redis.call('SMEMBERS', keys.lanes)) do
  if work < #args.turns and may_claim(room_at, lane) then
    local most = #args.turns
    local account = room_at(provider_of(lane))
    if account.state == 'free' then
      most = math.min(most, work + account.calls)
    end
    each_org(lane, budget, function(org)
      work = math.min(most, work + redis.call('ZCARD', keys.ready(org, lane)))
      return work >= most
    end)
  end
end
if work < #args.turns and budget.orgs <= 0 then
  return false  -- it has passed over as many orgs as one script should: the next one goes on
end
local wanted = {}
for _, turn in ipairs(args.turns) do
  if #wanted < work and want_turn(turn, now, args.turn_start_ms, ARGV[3]) then
    wanted[#wanted + 1] = turn
  end
end
return wanted
