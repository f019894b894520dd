"""How long things are kept and how far they reach, in milliseconds."""

from __future__ import annotations

from typing import Final

from jobs.model.choices import Priority

TURN_START_MS: Final = 10_000
"""A turn that no worker has begun by then is asked for again."""
DAY_MS: Final = 86_400_000
TOMB_MS: Final = 30 * DAY_MS
"""How long a job that is gone is known to be gone."""
ADOPT_MS: Final = 600_000
"""How long a result that nobody has is kept for whoever asks the same again."""
TOLD_MS: Final = 60_000
"""How long an adoption is answered again to who asks with the same job: longer than anybody asks (`CREATE_SECONDS`)."""
PROBE_MS: Final = 15_000
"""How long the one job that tries a provider out keeps the others waiting."""
AGES_MS: Final = {Priority.HIGH: 0, Priority.NORMAL: 300_000, Priority.LOW: 1_800_000}
"""Priority orders only inside an org, and ages: a low job that has waited half an hour is before a new high one."""
HEAD_START_MS: Final = 60_000
"""A job that somebody waits for is before those of its org that are less than a minute older."""
USED_MS: Final = 3 * 86_400_000
"""How long the use of a day is kept."""
DELIVERY_MS: Final = 14 * DAY_MS
"""How long a webhook delivery is kept after its end."""
