"""Webhooks: endpoints, deliveries, signatures, and the outbox that posts them."""
