-- Write a move of a job, or several made one after the other: record, events, indexes and news together, or nothing at all.
-- Refused when another move came first ('stale') or another worker holds the job ('fenced').
-- Documents: the record, each event, each delivery.
-- Includes: calls, index, lanes, holding, outbox, record.
local id, org, status, provider = args.id, args.org, args.status, args.provider
local key = keys.job(id)
local held = read(key, JobField.version, JobField.fence, JobField.document, JobField.status, JobField.worker,
  JobField.provider, JobField.score, JobField.deadline, JobField.astray, JobField.account)
if not held.version then
  return 'missing'
end
if args.fence and tonumber(held.fence) ~= args.fence then
  return 'fenced'
end
if tonumber(held.version) ~= args.seen then
  if tonumber(held.version) == args.version and held.document == ARGV[3] then
    return 'ok'  -- our own write, sent twice after a cut connection
  end
  return 'stale'
end
if status == 'queued' and not args.fence and held.worker then
  return 'stale'  -- it was claimed just now: whoever holds it is about to begin
end
local live = status == 'queued' or status == 'running' or status == 'canceling'
local written = {JobField.document, ARGV[3], JobField.version, args.version, JobField.status, status}
if live then
  for _, word in ipairs({JobField.deadline, args.deadline_ms, JobField.expected_seconds, args.expected_seconds,
    JobField.provider, provider, JobField.room_need, args.room_need, JobField.schema, args.schema}) do
    table.insert(written, word)
  end
end
for place, version in ipairs(args.events) do
  table.insert(written, event_field(version))
  table.insert(written, ARGV[3 + place])
end
redis.call('HSET', key, unpack(written))
if live and args.deadline_ms ~= tonumber(held.deadline) then
  redis.call('ZADD', keys.due, args.deadline_ms, id)
end
if live and status ~= 'queued' then
  if status == 'canceling' and held.worker then
    redis.call('HSET', keys.held_by(held.worker), id, held_entry(held.fence, true))
  elseif held.astray == '1' and held.status == 'queued' then  -- begun by who was taken for dead
    leave_lanes(org, held.provider, id)
    redis.call('ZADD', keys.lost, 'NX', now_ms(), id)
  end
elseif held.provider then  -- a record that had ended stands nowhere
  if args.frees_room and (held.worker or held.astray == '1') then
    redis.call('ZREM', keys.running_at_provider(held.account or held.provider), room_of(id, held.fence))
  end
  if held.worker then
    let_go(held.worker, org, id)
  else
    leave_lanes(org, held.provider, id)
    redis.call('ZREM', keys.backing_off, id)
    redis.call('ZREM', keys.lost, id)
  end
  if status == 'queued' then
    redis.call('HDEL', key, JobField.worker, JobField.astray, JobField.account)
    if args.not_before_ms then
      redis.call('ZADD', keys.backing_off, args.not_before_ms, id)
    else
      make_ready(org, provider, id, held.score)  -- perhaps another provider's
    end
  else
    redis.call('ZREM', keys.due, id)
    redis.call('HDEL', key, JobField.provider, JobField.score, JobField.expected_seconds, JobField.deadline,
      JobField.room_need, JobField.schema, JobField.worker, JobField.astray, JobField.account)
    redis.call('PEXPIREAT', key, args.expires_ms)
    redis.call('ZADD', keys.index_ends, args.expires_ms, index_entry('job', id, org))
    redis.call('SET', keys.tombstone(id), org, 'PXAT', args.expires_ms + args.keep_tombstone_ms)
    if args.salvageable then  -- a call is open: when its worker has died, nobody else knows of what it stored
      local lease_until = held.worker and redis.call('ZSCORE', keys.workers, held.worker)
      redis.call('ZADD', keys.pending_salvage, lease_until or 0, id)
    end
  end
end
if args.images ~= 0 or args.cost ~= 0 then  -- what was reserved at the acceptance, made true
  for _, counter in ipairs(counters(org, args.api_key, args.day)) do
    redis.call('HINCRBY', counter, UseField.images, args.images)
    redis.call('HINCRBY', counter, UseField.cost, args.cost)
  end
end
if args.call then  -- the end of a provider's call is told with it
  record_call(args.call)
end
for _, blob in ipairs(args.expiring_blobs) do
  redis.call('ZADD', keys.expiring_blobs, blob.at_ms, blob.name)
end
if status == 'canceling' then
  redis.call('PUBLISH', keys.cancels, id)
end
queue_deliveries(org, id, args.deliveries, 4 + #args.events, args.keep_deliveries_ms)
publish_change(id, args.version, status, org, args.subject)
return 'ok'
