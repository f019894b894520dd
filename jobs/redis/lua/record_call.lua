-- A provider's call has ended whose job is not written.
-- Includes: calls.
record_call(args)
return 1
