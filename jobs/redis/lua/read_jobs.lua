-- The documents of jobs by their ids; for one that is not there, 1 when the org once had it, else 0.
local found = {}
for place, id in ipairs(args.ids) do
  found[place] = redis.call('HGET', keys.job(id), JobField.document)
    or (redis.call('GET', keys.tombstone(id)) == args.org and 1 or 0)
end
return found
