"""Pictures, checked and made in processes of their own: a few at a time, for each takes memory."""

from __future__ import annotations

from jobs.errors import InvalidPicture
from jobs.pictures.apart import Apart
from jobs.pictures.gate import PNG_AND_JPEG, CleanPicture
from jobs.pictures.heads import TAKEN
from jobs.pictures.sniff import NotAPicture
from jobs.pictures.tasks import Check, CheckMask, CheckOwn, Convert, Shrink, Task


class Decoder:
    """Checks and makes pictures beside the event loop. One a process."""

    def __init__(self) -> None:
        self._apart = Apart()

    async def close(self) -> None:
        """End its processes."""
        await self._apart.close()

    async def picture(self, data: bytes, media_type: str | None, *, field: str) -> CleanPicture:
        """A reference image, fit to be stored and sent. Raises `InvalidPicture` with `field`.

        `media_type` is the one that its sender declared; None or an empty one: no claim.
        """
        return await self._done(field, Check(data, media_type or None, PNG_AND_JPEG if media_type else TAKEN))

    async def own(self, data: bytes, *, field: str) -> CleanPicture:
        """A picture that we issued, whatever its size, fit to be sent. Raises `InvalidPicture` with `field`."""
        return await self._done(field, CheckOwn(data))

    async def smaller(self, data: bytes, most_bytes: int, *, field: str) -> CleanPicture:
        """The picture in at most so many bytes. Raises `InvalidPicture` with `field`."""
        return await self._done(field, Shrink(data, most_bytes))

    async def mask(self, data: bytes, size: tuple[int, int] | None, *, field: str) -> CleanPicture:
        """A mask, fit to be stored and sent. Raises `InvalidPicture` with `field`.

        `size` is its reference image's in pixels, None where that is not known yet.
        """
        return await self._done(field, CheckMask(data, size))

    async def converted(self, data: bytes, media_type: str, quality: int) -> bytes:
        """The picture as another media type of ours; see `convert.converted`. Raises `NotAPicture`."""
        return (await self._apart.do(Convert(data, media_type, quality))).data

    async def _done(self, field: str, task: Task) -> CleanPicture:
        try:
            return await self._apart.do(task)
        except NotAPicture as error:
            raise InvalidPicture(str(error), field=field) from None
