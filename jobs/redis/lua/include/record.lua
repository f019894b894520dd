-- Where a day's pictures and micro-dollars are counted: for the org and, when the job was asked for by one, its API key.
local function counters(org, api_key, day)
  local found = {keys.used_by_org(org, day)}
  if api_key then
    found[2] = keys.used_by_api_key(api_key, day)
  end
  return found
end

-- The field of a job's hash that has what the outside heard of a version of it.
local function event_field(version)
  return string.format('%s%.0f', JobField.event, version)
end

-- Tell every process that a job has changed, how it stands, and whose it is. The subject comes last: it is the rest of
-- the line.
local function publish_change(id, version, status, org, subject)
  redis.call('PUBLISH', keys.changes, id .. ' ' .. version .. '/' .. status .. ' ' .. org .. ' ' .. subject)
end
