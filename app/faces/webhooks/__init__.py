"""The webhooks face: endpoints and the log of their deliveries."""
