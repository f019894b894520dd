"""What the faces share of HTTP: reading requests, waiting, and writing answers."""
