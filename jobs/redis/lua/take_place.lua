-- Whether another call may begin now by its account's pace, in a room that is held already; if so, it is counted.
-- Includes: lanes.
local now = now_ms()
if paced(args.account, now) == 0 then
  return 0
end
count_call(args.account, now)
return 1
