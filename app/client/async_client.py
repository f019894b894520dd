"""The client for asyncio: the methods of `Darkroom`, awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import httpx

from app.client import talk
from app.client.client import id_of
from app.client.errors import DarkroomError
from app.client.job import Event, Job
from app.client.settings import PATIENCE_SECONDS, WAIT_SECONDS, connection, many, timeout
from app.client.talk import Frames, T, Talk, Tries
from app.client.wish import Picture, body_of


class AsyncDarkroom:
    """As `Darkroom`, to which each method's words are left."""

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._http = httpx.AsyncClient(**connection(url, api_key))
        self._patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def generate(  # noqa: PLR0913  # all but the prompt by name
        self,
        prompt: str,
        *,
        model: str,
        provider: str | None = None,
        images: Sequence[Picture] = (),
        mask: Picture | None = None,
        seconds: float = WAIT_SECONDS,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """A picture of the prompt: the job at its good end. Options are the further fields of `POST /api/v1/jobs`.

        `model` is `provider/model`, or the provider is given. Raises `JobFailed`, and `StillRunning` after so many
        `seconds`: then the job goes on, and `wait` waits for it again.
        """
        body = body_of(prompt, model=model, provider=provider, images=images, mask=mask, options=options)
        return await self._hold(talk.generate(body, idempotency_key, seconds))

    async def submit(  # noqa: PLR0913  # as `generate`
        self,
        prompt: str,
        *,
        model: str,
        provider: str | None = None,
        images: Sequence[Picture] = (),
        mask: Picture | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Ask for a picture, and wait for nothing: the job as it begins."""
        body = body_of(prompt, model=model, provider=provider, images=images, mask=mask, options=options)
        return await self._hold(talk.create(body, idempotency_key, 0))

    async def generate_many(
        self, wishes: Iterable[str | Mapping[str, Any]], *, limit: int = 4, **common: Any
    ) -> list[Job | DarkroomError]:
        """One picture a wish, `limit` at a time: in their order the jobs, and why there is none.

        A wish is a prompt, or the arguments of `generate`; `common` holds for all of them.
        """
        turns = asyncio.Semaphore(limit)

        async def one(wish: Mapping[str, Any]) -> Job | DarkroomError:
            async with turns:
                try:
                    return await self.generate(**wish)
                except DarkroomError as error:
                    return error

        return await asyncio.gather(*(one(wish) for wish in many(wishes, common)))

    async def wait(self, job: Job | str, seconds: float = WAIT_SECONDS) -> Job:
        """The job at its end, good or bad. Raises `StillRunning`."""
        return await self._hold(talk.wait(id_of(job), seconds))

    async def get(self, job: Job | str) -> Job:
        """The job as it stands."""
        return await self._hold(talk.get(id_of(job)))

    async def jobs(self, **filters: str) -> AsyncIterator[Job]:
        """One's jobs, newest first, page after page. Filters are those of `GET /api/v1/jobs`, in their own spelling."""
        cursor: str | None = ""
        while cursor is not None:
            jobs, cursor = await self._hold(talk.page(filters | ({"cursor": cursor} if cursor else {})))
            for job in jobs:
                yield job

    async def cancel(self, job: Job | str) -> Job:
        """Ask for a job to be canceled: the job as it stands then."""
        return await self._hold(talk.cancel(id_of(job)))

    async def erase(self, job: Job | str) -> None:
        """Forget a job and its pictures."""
        await self._hold(talk.erase(id_of(job)))

    async def content(self, job: Job | str, index: int = 0) -> bytes:
        """The bytes of one of its pictures."""
        return await self._hold(talk.content(id_of(job), index))

    async def save(self, job: Job | str, path: str | os.PathLike[str], index: int = 0) -> None:
        """Write one of its pictures into a file."""
        data = await self.content(job, index)
        await asyncio.to_thread(Path(path).write_bytes, data)

    async def stream(self, job: Job | str) -> AsyncIterator[Event]:
        """Each event of a job as it comes, to its end; a stream that is cut goes on where it was."""
        seen, tries, ended = None, Tries(self._patience), False
        while not ended:
            try:
                async with self._http.stream("GET", **talk.stream(id_of(job), seen)) as answer:
                    if not answer.is_success:
                        await answer.aread()
                    pause = tries.after(answer)
                    frames = Frames()
                    async for line in answer.aiter_lines():
                        if pause is None and (event := frames.take(line)):
                            seen, ended, tries = event.sequence or seen, event.data.ended, Tries(self._patience)
                            yield event
                    ended |= answer.status_code == httpx.codes.NO_CONTENT
            except httpx.TransportError as error:
                pause = tries.after_cut(error)
            await asyncio.sleep(0 if ended else pause or 0.25)

    async def _hold(self, said: Talk[T]) -> T:
        call = next(said)
        while True:
            try:
                call = said.send(await self._answer(call))
            except StopIteration as end:
                return cast("T", end.value)

    async def _answer(self, call: talk.Call) -> httpx.Response:
        tries = Tries(self._patience)
        while True:
            try:
                answer = await self._http.request(timeout=timeout(call.seconds), **call.words)
            except httpx.TransportError as error:
                await asyncio.sleep(tries.after_cut(error))
                continue
            pause = tries.after(answer)
            if pause is None:
                return answer
            await asyncio.sleep(pause)
