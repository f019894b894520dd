-- Take rooms for further calls of a claimed job, as many of those offered as its provider's accounts have. Answers at whose
-- account each is. They last as long as the claim's own room: with that given back, the job has ended, and there are none.
-- Includes: lanes.
local now = now_ms()
local until_ms = redis.call('ZSCORE', keys.running_at_provider(args.account), args.own)
local taken = {}
while until_ms and #taken < #args.rooms do
  local account = next_account(args.accounts, args.provider, now)
  if account.state ~= 'free' then
    break
  end
  taken[#taken + 1] = account.name
  take_room(account, args.rooms[#taken], until_ms, args.probe_ms, now)
end
return taken
