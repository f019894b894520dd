"""Where jobs are kept: Redis, every move one atomic script."""
