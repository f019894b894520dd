"""When a far end says it is to be asked again."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a far end's word of when to come back, or None.

    `Retry-After` (RFC 9110: seconds or a date; of several in one line the first), or in milliseconds `retry-after-ms`
    and Azure's `x-ms-retry-after-ms`, which go before it.
    """
    exact = next((headers[name] for name in _MILLISECONDS if name in headers), None)
    try:
        if exact is not None:
            seconds = float(exact) / 1000
        else:
            text = headers.get("retry-after", "").strip()
            first = text.partition(",")[0].strip()
            digits = first.replace(".", "", 1).isdigit()
            seconds = float(first) if digits else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


_MILLISECONDS: Final = ("retry-after-ms", "x-ms-retry-after-ms")
