"""The faces: a list, a line each. A face has `handlers`, and `SHAPES` where it tells errors in its own words."""

from __future__ import annotations

from typing import Final

from app.faces import agents, deliveries, openai, progress, webhooks
from app.faces.admin import keys, orgs, providers
from app.faces.jobs import batches, jobs

FACES: Final = (agents, batches, deliveries, jobs, keys, openai, orgs, progress, providers, webhooks)
