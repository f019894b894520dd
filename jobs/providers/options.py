"""A caller's options of one provider: they fill what the request left open, and never change what is bought."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jobs.providers.base import Order, Warned


def merged(
    order: Order, own: Mapping[str, Any], *, takes: Callable[[str], bool]
) -> tuple[dict[str, Any], list[Warned]]:
    """The fields to send, and a warning for each option that is not sent as it was asked for.

    `own` are the fields that the request itself fills (None: left open); `takes` says which options may fill others.
    """
    provider = order.request.provider
    options = order.request.options.get(provider, {})
    filled = {name: value for name, value in own.items() if value is not None}
    sent = {name: value for name, value in options.items() if takes(name) and value is not None} | filled
    ignored = [
        Warned(
            code="ignored_option",
            message=f"options.{provider}.{name}: it is not the caller's to set, or the request sets it already",
            field=f"options.{provider}.{name}",
        )
        for name, value in options.items()
        if value is not None and (name not in sent or sent[name] != value)
    ]
    return sent, ignored
