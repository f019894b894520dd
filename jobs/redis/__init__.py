"""How we speak to Redis."""
