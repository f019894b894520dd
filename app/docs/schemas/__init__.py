"""What the faces answer with, as JSON Schema: the components of `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from app.docs.schemas import admin, envelope, image, jobs, openai, openwebui, webhooks

SCHEMAS: Final[dict[str, Any]] = {
    **jobs.SCHEMAS,
    **admin.SCHEMAS,
    **webhooks.SCHEMAS,
    **openai.SCHEMAS,
    **openwebui.SCHEMAS,
    **image.SCHEMAS,
    **envelope.SCHEMAS,
}
