"""Google's far ends."""
