-- The limits of an org have changed: it may run more jobs than before.
-- Includes: lanes.
let_in(args.org)
return 1
