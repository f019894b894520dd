-- Move a call's room to another account of its provider, which is none of those tried. Answers which; none: none is free.
-- With the room given back, the job has ended, and there is none. The claim's own room is where the job's record says.
-- Includes: lanes.
local now = now_ms()
local until_ms = redis.call('ZSCORE', keys.running_at_provider(args.account), args.room)
local tried = {}
for _, name in ipairs(args.tried) do
  tried[name] = true
end
local account = until_ms and next_account(args.accounts, args.provider, now, tried)
if not account or account.state ~= 'free' then
  return false
end
redis.call('ZREM', keys.running_at_provider(args.account), args.room)
take_room(account, args.room, until_ms, args.probe_ms, now)
if args.room == room_of(args.id, args.fence) and tonumber(redis.call('HGET', keys.job(args.id), JobField.fence)) == args.fence then
  redis.call('HSET', keys.job(args.id), JobField.account, account.name)
end
return account.name
