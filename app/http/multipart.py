"""Reading `multipart/form-data` (RFC 7578) strictly: bounded in parts and bytes, files on disk while they arrive."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from app.http.json_body import MAX_BODY_BYTES, check_length, check_text, pieces, too_large
from jobs.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from jobs.pictures.sniff import MAX_BYTES

if TYPE_CHECKING:
    from litestar import Request

MEDIA_TYPE: Final = "multipart/form-data"
MAX_PARTS: Final = 100
MAX_TEXT_BYTES: Final = 256 * 1024
"""Bytes of a part that is no file."""
MAX_NAME_LENGTH: Final = 64
MAX_FILENAME_LENGTH: Final = 255
_ENCODINGS: Final = frozenset({"iso-8859-1", "us-ascii", "utf-8", "windows-1252"})
"""What a text may say that it is encoded in; without a word, or in another word, it is UTF-8."""
IN_MEMORY: Final = 64 * 1024
"""Bytes of a file beyond which it waits on disk for the rest of the body."""


class Part(Struct, frozen=True):
    """One part, in the order in which it came. `text` None: it is a file, whatever media type its sender gave it.

    A file field that nobody has filled in (HTML: no name, no bytes) is a text without characters.
    """

    name: str
    text: str | None = None
    data: bytes = b""
    filename: str = ""
    """As its sender calls the file."""


async def read_form(request: Request[Any, Any, Any]) -> list[Part]:
    """Every part of the body. Raises `UnsupportedMediaType`, `PayloadTooLarge`, `InvalidInput`."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != MEDIA_TYPE or not options.get("boundary"):
        raise UnsupportedMediaType(f"send Content-Type: {MEDIA_TYPE} with its boundary, or application/json")
    check_length(request, MAX_BODY_BYTES)
    with ExitStack() as files:
        form = _Form(files)
        try:
            with _Parser(options["boundary"], max_segment_count=MAX_PARTS) as parser:
                async for piece in pieces(request):
                    form.count(piece)
                    for event in parser.parse(piece) if piece else ():
                        form.take(event)
        except ParserLimitReached:
            raise PayloadTooLarge(
                f"the form has more than {MAX_PARTS} parts, or parts with more than headers"
            ) from None
        except MultipartError:
            raise InvalidInput("the form cannot be read: it is cut, or no multipart/form-data") from None
        return await asyncio.to_thread(form.parts)


class _Parser(PushMultipartParser):  # type: ignore[misc]  # the library has no types
    """The library joins the lines of a folded header again and again; nobody folds them any more (RFC 7578)."""

    def _on_segment_headerline(self, line: bytes) -> None:
        if line.startswith((b" ", b"\t")):
            raise MultipartError("a folded header")
        super()._on_segment_headerline(line)


class _Form:
    """What has come so far."""

    def __init__(self, files: ExitStack) -> None:
        self._files = files
        self._bytes = 0
        self._open: tuple[MultipartSegment, SpooledTemporaryFile[bytes]] | None = None
        self._whole: list[tuple[MultipartSegment, SpooledTemporaryFile[bytes]]] = []

    def count(self, piece: bytes) -> None:
        """Raises `PayloadTooLarge` once the body has more than it may."""
        self._bytes += len(piece)
        if self._bytes > MAX_BODY_BYTES:
            raise too_large(MAX_BODY_BYTES)

    def take(self, event: MultipartSegment | bytearray | bytes | None) -> None:
        """One event of the parser: a part begins, some of its bytes, or its end."""
        if isinstance(event, MultipartSegment):
            file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # the stack closes it
            self._files.enter_context(file)
            self._open = event, file
        elif self._open is not None and event is None:
            self._whole.append(self._open)
            self._open = None
        elif self._open is not None and event is not None:
            segment, file = self._open
            file.write(event)
            self._check_size(segment, file.tell())

    def parts(self) -> list[Part]:
        """The parts that came whole."""
        return [_part(segment, file) for segment, file in self._whole]

    @staticmethod
    def _check_size(segment: MultipartSegment, size: int) -> None:
        most = MAX_BYTES if _is_file(segment) else MAX_TEXT_BYTES
        if size > most:
            name = segment.name[:MAX_NAME_LENGTH]
            raise PayloadTooLarge(f"{name}: may have at most {most} bytes", field=name, limit=most)


def _part(segment: MultipartSegment, file: SpooledTemporaryFile[bytes]) -> Part:
    file.seek(0)
    data = file.read()
    name = segment.name[:MAX_NAME_LENGTH]
    if _is_file(segment) and (data or segment.filename):
        return Part(name, None, data, (segment.filename or "")[:MAX_FILENAME_LENGTH])
    encoding = (segment.charset or "").lower()
    try:
        text = data.decode(encoding if encoding in _ENCODINGS else "utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("is not UTF-8", field=name) from None
    check_text(text, name)
    return Part(name, text)


def _is_file(segment: MultipartSegment) -> bool:
    """Some clients give a picture a media type and no file name."""
    kind = (segment.content_type or "").lower()
    return segment.filename is not None or kind.startswith("image/") or kind == "application/octet-stream"
