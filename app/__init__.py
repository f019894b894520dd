"""The faces: HTTP in, HTTP out."""
