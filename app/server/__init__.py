"""uvicorn, with our own bounds."""
