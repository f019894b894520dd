"""The file of `DARKROOM_PROVIDERS`: a table an account, `[provider.account]`, as it was written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jobs.errors import ConfigurationError

Table = dict[str, Any]
Tables = Mapping[str, Mapping[str, Table]]
"""By provider and account, in the file's order."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def read_tables(path: Path) -> Tables:
    """What the file says. Raises `ConfigurationError`, naming the table."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise refused(str(path), str(error)) from None
    for provider, accounts in found.items():
        if not isinstance(accounts, dict) or not accounts:
            raise refused(f"[{provider}]", f"has no account: name each, as in [{provider}.first]")
        for account, table in accounts.items():
            if not isinstance(table, dict):
                raise refused(f"[{provider}] {account}", f"stands in no account: name it, as in [{provider}.first]")
            if not _NAME.fullmatch(account):
                raise refused(f"[{provider}.{account}]", "must be 1 to 63 of a-z, 0-9, - and _")
    return found


def refused(where: str, why: str) -> ConfigurationError:
    """What is wrong with the file, and in which table and key."""
    return ConfigurationError(f"DARKROOM_PROVIDERS: {where}: {why}")
