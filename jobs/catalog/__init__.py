"""What models can do."""
