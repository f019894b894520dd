"""The jobs face: create, follow, list, cancel, erase; and batches of jobs."""
