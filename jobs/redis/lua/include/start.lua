-- Begins every script. ARGV[1] is the key prefix, ARGV[2] the packed argument; documents follow as they are.
local args = cjson.decode(ARGV[2])

-- Redis' own clock in Unix milliseconds. It stands still while a script runs.
local time_ms
local function now_ms()
  if not time_ms then
    local t = redis.call('TIME')
    time_ms = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return time_ms
end

-- Fields of a hash by their names; one that is not there is nil.
local function read(key, ...)
  local found = {}
  for i, value in ipairs(redis.call('HMGET', key, ...)) do
    if value then
      found[select(i, ...)] = value
    end
  end
  return found
end
