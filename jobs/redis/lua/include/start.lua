-- Begins every script. ARGV[1] is the key prefix, ARGV[2] the packed argument; documents follow as they are.
local args = cjson.decode(ARGV[2])

-- Redis' own clock in Unix milliseconds.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
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
