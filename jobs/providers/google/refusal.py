"""An error status of Google's as our own error."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.errors import ProviderError
from jobs.outside.retry_after import retry_after
from jobs.providers.errors import judged
from jobs.providers.google import quota


def refused(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """By the table of errors, and by what Google says of its quotas."""
    limit = quota.read(body)
    after = retry_after(headers)
    spent = ("quota_of_the_day",) if limit.spent else ()
    return judged(status, body, None, limit.retry_after if after is None else after, names=spent)
