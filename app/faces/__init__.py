"""The faces: a list, a line each."""

from __future__ import annotations

from typing import Final

from app.faces import agents, batches, deliveries, jobs, keys, orgs, providers, webhooks

FACES: Final = (
    agents.handlers,
    batches.handlers,
    deliveries.handlers,
    jobs.handlers,
    keys.handlers,
    orgs.handlers,
    providers.handlers,
    webhooks.handlers,
)
