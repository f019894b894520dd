"""What `darkroom dev` says once it is ready: where everything is, and one command that makes a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

EXAMPLE: Final = {
    "provider": "azure-openai",
    "model": "gpt-image-2",
    "prompt": "A red fox in an autumn forest",
}


def announce(facts: Mapping[str, Any], missing: Mapping[str, str], *, as_json: bool) -> None:
    """Print the facts: as a table, or as one line of JSON.

    `missing`: for each simulated provider the variable that holds the key of the real one.
    """
    if as_json:
        print(json.dumps(facts), flush=True)  # noqa: T201  # stdout is the answer of the command
        return
    Console().print(_table(facts, missing))
    print(f"\nTry:\n\n{_curl(facts)}\n", flush=True)  # noqa: T201  # rich would wrap the line, and it is to be pasted


def _table(facts: Mapping[str, Any], missing: Mapping[str, str]) -> Table:
    url = facts["url"]
    table = Table(show_header=False, box=None, padding=(0, 2))
    rows = {
        "API": f"{url}/api/v1/agents/images",
        "OpenAI base URL": f"{url}/v1",
        "docs": f"{url}/docs",
        "health": f"{url}/readyz",
        "queue": facts["redis"],
        "storage": facts["storage"],
        "dev key": facts["apiKey"],
    }
    for name, state in facts["providers"].items():
        rows[name] = f"simulated (set {missing[name]} for the real one)" if name in missing else state
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", value)
    return table


def _curl(facts: Mapping[str, Any]) -> str:
    return (
        f"curl -s {facts['url']}/api/v1/agents/images -H 'Authorization: Bearer {facts['apiKey']}' "
        f"-H 'Content-Type: application/json' -d '{json.dumps(EXAMPLE)}'"
    )
