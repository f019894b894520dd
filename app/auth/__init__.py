"""Who is asking: the caller, and how a token or key makes one known."""
