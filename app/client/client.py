"""The client for programs that wait: each method comes back with its answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, cast

import httpx

from app.client import talk
from app.client.errors import DarkroomError
from app.client.job import Event, Job
from app.client.settings import PATIENCE_SECONDS, WAIT_SECONDS, connection, many, timeout
from app.client.talk import Frames, T, Talk, Tries
from app.client.wish import Picture, body_of


class Darkroom:
    """A gateway. `url` and `api_key` are those of `DARKROOM_URL` and `DARKROOM_API_KEY` where they are not given.

    What is cut, or refused for now, is asked again for `patience` seconds: a picture is asked for with an idempotency
    key, so it is bought once. Every method raises `ApiError` and `Unreachable`.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._http = httpx.Client(**connection(url, api_key))
        self._patience = patience

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(  # noqa: PLR0913  # all but the prompt by name
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
        return self._hold(talk.generate(body, idempotency_key, seconds))

    def submit(  # noqa: PLR0913  # as `generate`
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
        return self._hold(talk.create(body, idempotency_key, 0))

    def generate_many(
        self, wishes: Iterable[str | Mapping[str, Any]], *, limit: int = 4, **common: Any
    ) -> list[Job | DarkroomError]:
        """One picture a wish, `limit` at a time: in their order the jobs, and why there is none.

        A wish is a prompt, or the arguments of `generate`; `common` holds for all of them.
        """

        def one(wish: Mapping[str, Any]) -> Job | DarkroomError:
            try:
                return self.generate(**wish)
            except DarkroomError as error:
                return error

        with ThreadPoolExecutor(limit) as pool:
            return list(pool.map(one, many(wishes, common)))

    def wait(self, job: Job | str, seconds: float = WAIT_SECONDS) -> Job:
        """The job at its end, good or bad. Raises `StillRunning`."""
        return self._hold(talk.wait(id_of(job), seconds))

    def get(self, job: Job | str) -> Job:
        """The job as it stands."""
        return self._hold(talk.get(id_of(job)))

    def jobs(self, **filters: str) -> Iterator[Job]:
        """One's jobs, newest first, page after page. Filters are those of `GET /api/v1/jobs`, in their own spelling."""
        cursor: str | None = ""
        while cursor is not None:
            jobs, cursor = self._hold(talk.page(filters | ({"cursor": cursor} if cursor else {})))
            yield from jobs

    def cancel(self, job: Job | str) -> Job:
        """Ask for a job to be canceled: the job as it stands then."""
        return self._hold(talk.cancel(id_of(job)))

    def erase(self, job: Job | str) -> None:
        """Forget a job and its pictures."""
        self._hold(talk.erase(id_of(job)))

    def content(self, job: Job | str, index: int = 0) -> bytes:
        """The bytes of one of its pictures."""
        return self._hold(talk.content(id_of(job), index))

    def save(self, job: Job | str, path: str | os.PathLike[str], index: int = 0) -> None:
        """Write one of its pictures into a file."""
        Path(path).write_bytes(self.content(job, index))

    def stream(self, job: Job | str) -> Iterator[Event]:
        """Each event of a job as it comes, to its end; a stream that is cut goes on where it was."""
        seen, tries, ended = None, Tries(self._patience), False
        while not ended:
            try:
                with self._http.stream("GET", **talk.stream(id_of(job), seen)) as answer:
                    if not answer.is_success:
                        answer.read()
                    pause = tries.after(answer)
                    frames = Frames()
                    for line in answer.iter_lines():
                        if pause is None and (event := frames.take(line)):
                            seen, ended, tries = event.sequence or seen, event.data.ended, Tries(self._patience)
                            yield event
                    ended |= answer.status_code == httpx.codes.NO_CONTENT
            except httpx.TransportError as error:
                pause = tries.after_cut(error)
            time.sleep(0 if ended else pause or 0.25)

    def _hold(self, said: Talk[T]) -> T:
        call = next(said)
        while True:
            try:
                call = said.send(self._answer(call))
            except StopIteration as end:
                return cast("T", end.value)

    def _answer(self, call: talk.Call) -> httpx.Response:
        tries = Tries(self._patience)
        while True:
            try:
                answer = self._http.request(timeout=timeout(call.seconds), **call.words)
            except httpx.TransportError as error:
                time.sleep(tries.after_cut(error))
                continue
            pause = tries.after(answer)
            if pause is None:
                return answer
            time.sleep(pause)


def id_of(job: Job | str) -> str:
    """The id of a job, or what is one."""
    return job if isinstance(job, str) else job.id
