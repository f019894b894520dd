"""The accounts of each provider: those of `DARKROOM_PROVIDERS`, or the one that the variables speak of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Struct
from pydantic import Field, TypeAdapter, ValidationError

from jobs.model.account import Account, Accounts
from jobs.providers import PROVIDERS, Entry
from jobs.settings import Settings
from jobs.settings.accounts import refused
from jobs.settings.fields import Secret

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from jobs.providers.base import Provider
    from jobs.settings.accounts import Table


class Configured(Struct, frozen=True):
    """An account, and the settings as they are for it."""

    account: Account
    entry: Entry
    settings: Settings

    def make(self) -> Provider:
        """Its far end, not opened."""
        return self.entry.make(self.settings)


def configured(settings: Settings) -> dict[str, tuple[Configured, ...]]:
    """The accounts of each configured provider. Raises `ConfigurationError`, naming the file's table and key."""
    unknown = next((name for name in settings.account_tables if name not in PROVIDERS), None)
    if unknown is not None:
        raise refused(f"[{unknown}]", f"is no provider; known are {', '.join(PROVIDERS)}")
    found = {name: _accounts(name, entry, settings) for name, entry in PROVIDERS.items()}
    return {name: accounts for name, accounts in found.items() if accounts}


def counted(settings: Settings) -> Accounts:
    """Of those, the providers with several accounts, or with a limit: the rest need not be told of."""
    found = {name: tuple(each.account for each in accounts) for name, accounts in configured(settings).items()}
    return {name: accounts for name, accounts in found.items() if accounts != (Account(name),)}


def _accounts(provider: str, entry: Entry, settings: Settings) -> tuple[Configured, ...]:
    limit = settings.provider_concurrency.get(provider)
    tables = settings.account_tables.get(provider)
    if tables is None:
        there = entry.missing(settings) is None
        return (Configured(Account(provider, limit=limit), entry, settings),) if there else ()
    return tuple(_account(f"{provider}.{name}", entry, table, settings, limit) for name, table in tables.items())


def _account(where: str, entry: Entry, table: Table, settings: Settings, limit: int | None) -> Configured:
    """What a table leaves out is as the variables have it, save what is each account's own: its place and its keys."""
    own = [attribute for key, attribute in entry.keys.items() if key in _OWN or _is_secret(attribute)]
    told: dict[str, Any] = {attribute: _field(attribute).default for attribute in own}
    weight: float = 1.0
    for key, value in table.items():
        if key == "weight":
            weight = _checked(where, key, value, _WEIGHT)
        elif key == "concurrency":
            limit = _checked(where, key, value, _CONCURRENCY)
        else:
            attribute, text = _setting(where, entry, key, value)
            told[attribute] = _checked(where, key, text, _adapter(attribute))
    its_settings = settings.model_copy(update=told)
    if (variable := entry.missing(its_settings)) is not None:
        needed = (key for key, attribute in entry.keys.items() if entry.needs.get(attribute) == variable)
        key = next(needed, "api_key")
        raise refused(f"[{where}] {key}", f"is missing, e.g. {key} = {_example(entry.keys[key])}")
    return Configured(Account(where.replace(".", "/", 1), weight, limit), entry, its_settings)


def _setting(where: str, entry: Entry, key: str, value: object) -> tuple[str, object]:
    """The setting that a key of a table is, and its value; that of a secret may lie in a file or a variable."""
    if key in entry.keys:
        return entry.keys[key], value
    stem, _, source = key.rpartition("_")
    if stem not in entry.keys or source not in _ELSEWHERE or not _is_secret(entry.keys[stem]):
        known = ", ".join([*entry.keys, "weight", "concurrency"])
        raise refused(f"[{where}] {key}", f"is no key of an account; known are {known}")
    try:
        text = Path(str(value)).read_text(encoding="utf-8").strip() if source == "file" else os.environ[str(value)]
    except (OSError, UnicodeDecodeError) as error:
        raise refused(f"[{where}] {key}", str(error)) from None
    except KeyError:
        raise refused(f"[{where}] {key}", f"the variable {value} is not set") from None
    return entry.keys[stem], text


def _checked(where: str, key: str, value: object, kind: TypeAdapter[Any]) -> Any:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise refused(f"[{where}] {key}", error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _adapter(attribute: str) -> TypeAdapter[Any]:
    field = _field(attribute)
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(kind)


def _field(attribute: str) -> FieldInfo:
    fields: Mapping[str, FieldInfo] = Settings.model_fields
    return fields[attribute]


def _is_secret(attribute: str) -> bool:
    return _field(attribute).annotation == Secret


def _example(attribute: str) -> str:
    return f'"{(_field(attribute).examples or [""])[0]}"'


_OWN: Final = frozenset({"endpoint", "base_url", "identity", "organization", "project", "location"})
"""Keys, beside those of secrets, that no account has from the variables: they go with an account's place and secret."""
_ELSEWHERE: Final = frozenset({"file", "env"})
_WEIGHT: Final[TypeAdapter[float]] = TypeAdapter(Annotated[float, Field(gt=0, le=1_000, strict=True)])
_CONCURRENCY: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=1, le=100_000, strict=True)])
