"""What operators hear of a call: in the log how it failed, and as news what only they can mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobs.errors import ProviderError, ServiceUnavailable

if TYPE_CHECKING:
    from jobs.model.job import Failure
    from jobs.store.troubles import Troubles
    from jobs.webhooks.news import News

_log = structlog.get_logger()


class Operators:
    """Tells them. Never fails: a job's own end does not wait for it."""

    def __init__(self, troubles: Troubles, news: News) -> None:
        self._troubles = troubles
        self._news = news

    async def hear(self, error: ProviderError, failure: Failure, provider: str, *, call: int) -> None:
        """A call has failed; a trouble of theirs is told at level error, and once as news."""
        log = _log.warning if error.trouble is None else _log.error
        log(
            "provider call failed",
            call=call,
            outcome=str(error.outcome),
            provider=provider,
            status=failure.provider_status,
            reason=failure.reason,
            cause=error.cause,
            trouble=error.trouble,
        )
        if error.trouble is None:
            return
        try:
            trouble = await self._troubles.met(provider, error.trouble, error.error.message, failure.provider_status)
            if trouble is not None:
                await self._news.trouble(trouble)
        except ServiceUnavailable as away:
            _log.warning("trouble not told", provider=provider, error=away.message)
