"""A provider's account: an endpoint, a region, a key or a server, with room, pace and breaker of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct


class Account(Struct, frozen=True, omit_defaults=True):
    """One of a provider's. `name` is the provider's own where there is but one, else `provider/account`."""

    name: str
    weight: float = 1.0
    """Its share of the calls, beside the others'."""
    limit: int | None = None
    """How many calls may be open there at once, over all workers; None: as many as there are."""


Accounts = Mapping[str, tuple[Account, ...]]
"""By provider; one that is not among them has one account, of its own name."""


def accounts_of(accounts: Accounts, provider: str) -> tuple[Account, ...]:
    """Those of a provider, at least one."""
    return accounts.get(provider) or (Account(provider),)


def single(limits: Mapping[str, int]) -> dict[str, tuple[Account, ...]]:
    """Providers with one account each, and how many calls may be open there."""
    return {provider: (Account(provider, limit=limit),) for provider, limit in limits.items()}


class Limited(Protocol):
    """What has a limit of its own: an account, or what is told of one."""

    @property
    def limit(self) -> int | None:
        """How many calls may be open there; None: as many as there are."""


def limit_of(accounts: Sequence[Limited]) -> int | None:
    """How many calls may be open at all of them together; None: as many as there are."""
    limits = [account.limit for account in accounts]
    return None if None in limits else sum(limit for limit in limits if limit is not None)
