"""A caller's own notes on a job, a batch, a key or an endpoint: pairs of text that we keep and give back."""

from __future__ import annotations

from typing import Final

from jobs.errors import InvalidInput

MAX_PAIRS: Final = 16
MAX_KEY_LENGTH: Final = 64
MAX_VALUE_LENGTH: Final = 512


def checked_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """The pairs as they are. Raises `InvalidInput` naming the key when they are too many or too long."""
    if len(metadata) > MAX_PAIRS:
        raise InvalidInput(f"must be at most {MAX_PAIRS} pairs", field="metadata")
    for key, value in metadata.items():
        if not 1 <= len(key) <= MAX_KEY_LENGTH or len(value) > MAX_VALUE_LENGTH:
            message = f"keys are 1 to {MAX_KEY_LENGTH} characters, values at most {MAX_VALUE_LENGTH}"
            raise InvalidInput(message, field=f"metadata.{key[:MAX_KEY_LENGTH]}")
    return metadata
