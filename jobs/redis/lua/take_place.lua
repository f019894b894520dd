-- Whether another call may begin now by its provider's pace, in a room that is held already; if so, it is counted.
-- Includes: lanes.
local now = now_ms()
if paced(args.provider, now) == 0 then
  return 0
end
count_call(args.provider, now)
return 1
