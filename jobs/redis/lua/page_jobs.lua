-- A page of an org's jobs below the id `after`, newest first: ids, and documents (empty: the record is gone, and forgotten).
local index = keys.jobs_of_org(args.org)
local ids = redis.call('ZREVRANGEBYLEX', index, args.after and '(' .. args.after or '+', '-', 'LIMIT', 0, args.limit)
local documents = {}
for place, id in ipairs(ids) do
  documents[place] = redis.call('HGET', keys.job(id), JobField.document) or ''
  if documents[place] == '' then
    redis.call('ZREM', index, id)
  end
end
return {ids, documents}
