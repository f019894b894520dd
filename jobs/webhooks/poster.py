"""One signed post to a receiver, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.encryption import SealBroken, Sealer
from jobs.model.times import now_ms
from jobs.outside.address import OutsideError, webhook_policy
from jobs.outside.client import Outside, Response
from jobs.outside.retry_after import retry_after
from jobs.webhooks.delivery import MAX_NOTED_CHARACTERS, Delivery, DeliveryAttempt
from jobs.webhooks.endpoint import SECRETS
from jobs.webhooks.signing import SIGNING, Signer

if TYPE_CHECKING:
    from jobs.settings import Settings


class Poster:
    """Posts deliveries with the secrets that `sealer` opens."""

    def __init__(self, *, outside: Outside, signer: Signer, sealer: Sealer) -> None:
        self._outside = outside
        self._signer = signer
        self._sealer = sealer

    async def post(self, delivery: Delivery, sealed: Sequence[str]) -> tuple[DeliveryAttempt, float | None]:
        """One attempt, signed by each of the `sealed` secrets, and how long the receiver wants to be left alone."""
        at, began = now_ms(), time.monotonic()
        response: Response | None = None
        error: str | None = None
        try:
            signed = self._signer.headers(delivery, [self._sealer.open(s) for s in sealed], at // 1000)
            headers = {"Content-Type": "application/json", **signed}
            response = await self._outside.post(delivery.url, headers=headers, body=delivery.body.encode())
        except OutsideError as refused:
            error = refused.rule
        except SealBroken:
            error = "the secret was sealed with another DARKROOM_SECRET_KEY"
        attempt = DeliveryAttempt(
            at_ms=at,
            took_ms=round((time.monotonic() - began) * 1000),
            status=None if response is None else response.status,
            error=error,
            response=None if response is None else response.body[:MAX_NOTED_CHARACTERS].decode(errors="replace"),
        )
        return attempt, None if response is None else retry_after(response.headers)


def poster(settings: Settings) -> Poster:
    """The poster that the settings ask for."""
    return Poster(
        outside=Outside(webhook_policy(settings)),
        signer=Signer(settings.derived_key(SIGNING)),
        sealer=Sealer(settings.derived_key(SECRETS)),
    )
