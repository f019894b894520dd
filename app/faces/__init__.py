"""The faces: a list, a line each. A face has `handlers`, and `SHAPES` where it tells errors in its own words."""

from __future__ import annotations

from typing import Final

from app.faces import agents, image, openai, openwebui, progress
from app.faces.admin import health, keys, orgs, providers
from app.faces.jobs import batches, jobs
from app.faces.openai import agents as foundry_agents
from app.faces.openai import files as openai_files
from app.faces.openai import responses
from app.faces.webhooks import deliveries
from app.faces.webhooks import endpoints as webhooks

FACES: Final = (
    agents,
    batches,
    deliveries,
    foundry_agents,
    health,
    image,
    jobs,
    keys,
    openai,
    openai_files,
    openwebui,
    orgs,
    progress,
    providers,
    responses,
    webhooks,
)
