"""The job: what it is, where it is kept, how it is run. Never imports `app`."""
