-- Put deliveries that are no job's into the outbox, due at once.
-- Documents: each delivery.
-- Includes: outbox.
queue_deliveries(args.org, nil, args.deliveries, 3, 0)
return 1
