"""Far ends that speak OpenAI's images API."""
