"""What is done with pictures apart from the process that asks for it: each a message to it, and what it answers."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from jobs.pictures.convert import converted
from jobs.pictures.gate import CleanPicture, validate, validate_mask, validate_own
from jobs.pictures.shrinking import smaller
from jobs.pictures.sniff import MAX_OWN_PIXELS, NotAPicture, measure


class Check(Struct, frozen=True, tag=True):
    """Let a reference image in; see `gate.validate`."""

    data: bytes
    declared: str | None
    taken: frozenset[str]

    def done(self) -> CleanPicture:
        """Raises `NotAPicture`."""
        return validate(self.data, self.declared, self.taken)


class CheckMask(Struct, frozen=True, tag=True):
    """Let a mask in; see `gate.validate_mask`."""

    data: bytes
    size: tuple[int, int] | None

    def done(self) -> CleanPicture:
        """Raises `NotAPicture`."""
        return validate_mask(self.data, self.size)


class CheckOwn(Struct, frozen=True, tag=True):
    """Make a picture that we issued fit to be sent; see `gate.validate_own`."""

    data: bytes

    def done(self) -> CleanPicture:
        """Raises `NotAPicture`."""
        return validate_own(self.data)


class Shrink(Struct, frozen=True, tag=True):
    """Make a picture smaller; see `shrinking.smaller`."""

    data: bytes
    most_bytes: int

    def done(self) -> CleanPicture:
        """Raises `NotAPicture`."""
        return CleanPicture(*smaller(self.data, self.most_bytes))


class Convert(Struct, frozen=True, tag=True):
    """Make a picture another format; see `convert.converted`."""

    data: bytes
    media_type: str
    quality: int

    def done(self) -> CleanPicture:
        """Raises `NotAPicture`."""
        made = converted(self.data, self.media_type, self.quality)
        size = measure(made, MAX_OWN_PIXELS)
        return CleanPicture(made, size.media_type, size.width, size.height)


Task = Check | CheckMask | CheckOwn | Shrink | Convert


class Answer(Struct, frozen=True):
    """What became of a task: a picture, or why there is none."""

    picture: CleanPicture | None = None
    refused: str = ""


decode_task: Final = msgspec.msgpack.Decoder(Task).decode
decode_answer: Final = msgspec.msgpack.Decoder(Answer).decode
encode: Final = msgspec.msgpack.Encoder().encode


def answered(message: bytes) -> bytes:
    """The answer to a task, both as they are sent."""
    task = decode_task(message)
    del message  # as large as the picture in it
    try:
        return encode(Answer(picture=task.done()))
    except NotAPicture as error:
        return encode(Answer(refused=str(error)))
    except MemoryError:
        return encode(Answer(refused="it takes too much memory to be read"))
