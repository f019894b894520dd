"""The settings as people read them: as a table, and as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from jobs.settings import Settings, aliases, variables


def shown(settings: Settings) -> dict[str, Any]:
    """Each setting's value by variable; secrets only as set or not."""
    values: dict[str, Any] = {}
    for attribute, field in Settings.model_fields.items():
        value = getattr(settings, attribute)
        if isinstance(value, SecretStr):
            value = "********"
        elif isinstance(value, frozenset | tuple | dict):
            value = _joined(value)
        elif isinstance(value, Path):
            value = str(value)
        values[aliases(field)[0]] = value
    return values


def table() -> str:
    """The settings as a markdown table, for the README."""
    rows = ["| name | default | meaning |", "|---|---|---|"]
    for name, field in variables().items():
        others = "".join(f", then `{n}`" for n in aliases(field)[1:])
        default = int(field.default) if isinstance(field.default, bool) else field.default
        default = _joined(default) if isinstance(default, frozenset | tuple | dict) else default
        said = _UNSET.get(name, "none") if default in (None, "") else f"`{default}`"
        rows.append(f"| `{name}`{others} | {said} | {field.description} |")
    return "\n".join(rows)


_UNSET: Final = {
    "REDIS_URL": "embedded by `darkroom dev`",
    "AZURE_STORAGE_CONNECTION_STRING": "a folder in the data directory",
    "PUBLIC_BASE_URL": "from the bind address",
    "IMAGE_REF_ALLOWED_HOSTS": "our own storage host",
    "DARKROOM_DEV_KEY": "made once by `darkroom dev`",
    "DARKROOM_SECRET_KEY": "made once by `darkroom dev`",
}
"""What holds where a setting has no default of its own."""


def _joined(values: frozenset[Any] | tuple[Any, ...] | dict[str, Any]) -> str:
    texts = [f"{k}={v}" for k, v in values.items()] if isinstance(values, dict) else map(str, values)
    return ",".join(sorted(texts) if isinstance(values, frozenset) else texts)
