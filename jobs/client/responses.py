"""Responses (OpenAI's): what was asked for in one, kept beside the job that makes its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from jobs.errors import NotFound
from jobs.ids import new_id, twin
from jobs.store.durations import DAY_MS
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEPT_MS: Final = 32 * DAY_MS
"""A job lives for a day at most, and its record for 30 days after its end at most."""


class KeptResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a response says beside what its job says. No picture is in it: those are the job's. Times are Unix ms."""

    id: str
    """`resp_…`, the rest as in the id of its job: the one follows from the other."""
    org: str
    created_ms: int
    model: str
    """As it was asked for: a text model's name, or an image model's."""
    input: list[dict[str, Any]]
    """The items, as `input_items` lists them."""
    action: str
    instructions: str | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: Any = "auto"
    metadata: dict[str, str] = {}
    previous_response_id: str | None = None
    background: bool = False
    store: bool = True
    agent: dict[str, str] | None = None
    echoed: dict[str, Any] = {}
    """What concerns a text model: said back as it was sent."""
    ignored: list[str] = []
    """Fields that had no effect."""

    @property
    def job_id(self) -> str:
        """The id of the job that makes its picture."""
        return twin(self.id, "job")


class Responses:
    """The responses of every org. Raises only `errors.DarkroomError`."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._records = Records(redis, prefix, "response", KeptResponse, lasting=lambda r: r.created_ms + KEPT_MS)

    async def put(self, response: KeptResponse) -> None:
        """Keep a response, unless it is not to be stored. It is written before its job: no job is without one."""
        if response.store:
            await self._records.put(response)

    async def get(self, org: str, response_id: str) -> KeptResponse:
        """One response of the org. Raises `NotFound`."""
        response = await self._records.get(org, response_id)
        if response is None:
            raise NotFound(f"there is no response {response_id[:64]}")
        return response

    async def of_job(self, org: str, job_id: str) -> KeptResponse | None:
        """The response whose job it is; None: another face asked for it, or it was not to be stored."""
        return await self._records.get(org, response_id_of(job_id))

    async def delete(self, org: str, response_id: str) -> None:
        """Forget what was asked; the job is not touched."""
        await self._records.delete(org, response_id)


def new_response_id() -> str:
    """An id from which its job's follows."""
    return new_id("resp")


def response_id_of(job_id: str) -> str:
    """The id of the response whose job it is."""
    return twin(job_id, "resp")
