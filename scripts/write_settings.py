"""Writes the settings, as `jobs/settings` has them, into README.md and .env.example."""

from __future__ import annotations

import re
from pathlib import Path

from jobs.settings import variables
from jobs.settings.table import table

ROOT = Path(__file__).parents[1]
UNSET = {"DARKROOM_DEV", "DARKROOM_SIMULATED"}
"""What `darkroom dev` alone sets."""


def main() -> None:
    """Put the table into the README, and what is missing at the end of the example."""
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split("<!-- settings -->\n")
    readme.write_text(f"{before}<!-- settings -->\n{table()}\n<!-- /settings -->{rest.split('<!-- /settings -->')[1]}")
    example = ROOT / ".env.example"
    text = example.read_text()
    there = set(re.findall(r"^#([A-Z_0-9]+)=", text, re.MULTILINE))
    for name, field in variables().items():
        if name not in there | UNSET:
            example_value = field.examples[0] if field.examples else ""
            text += f"\n# {field.description}, e.g. {example_value}\n#{name}=\n"
    example.write_text(text)


if __name__ == "__main__":
    main()
