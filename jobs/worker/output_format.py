"""Pictures in the output format that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from jobs.catalog.families import native
from jobs.model import ledger
from jobs.model.request import Warning_
from jobs.pictures.heads import read_head

if TYPE_CHECKING:
    from jobs.catalog.families import Catalog
    from jobs.model.job import Job
    from jobs.model.picture import Picture
    from jobs.pictures.decoding import Decoder
    from jobs.pictures.heads import Head

BEST_QUALITY: Final = 100
"""The quality of a picture whose request names no compression, as OpenAI documents it."""

_log = structlog.get_logger()


class WantedFormat(Struct, frozen=True):
    """What a picture is to be made; `quality` is that of JPEG and WebP, 0 to 100."""

    media_type: str
    quality: int


def damage(picture: Picture, head: Head | None) -> Warning_ | None:
    """The warning of a picture that was kept although it is torn, or does not say how large it is."""
    if head is None or (head.whole and head.width is not None):
        return None
    what = "its size cannot be read" if head.whole else "its end is missing"
    message = f"picture {picture.index + 1} is kept as it came, and it is damaged: {what}"
    return Warning_(code="damaged_picture", message=message)


class Converter:
    """Converts pictures that their provider did not make as they were asked for. One a process."""

    def __init__(self, catalog: Catalog, decoder: Decoder) -> None:
        self._catalog = catalog
        self._decoder = decoder

    def wanted(self, job: Job, call: int, picture: Picture) -> WantedFormat | None:
        """What is to be made of a picture of a call; None where it is right as it came."""
        request, row = job.request, ledger.row_of(job, call)
        wanted = f"image/{request.output_format}"
        family = self._catalog.family(row.provider or request.provider, row.model or request.model)
        compressed = request.output_compression is not None and not native(request, family)
        if request.output_format is None or (picture.media_type == wanted and not compressed):
            return None
        return WantedFormat(wanted, BEST_QUALITY if request.output_compression is None else request.output_compression)

    async def convert(self, picture: Picture, wanted: WantedFormat) -> tuple[Picture, Warning_ | None]:
        """The picture in the wanted format; where that fails, the picture as it came and a warning."""
        try:
            data = await self._decoder.converted(picture.data, wanted.media_type, wanted.quality)
        except Exception as error:  # noqa: BLE001  # whatever the decoder makes of it: the bytes are paid for
            came = picture.media_type
            torn = "" if damage(picture, read_head(picture.data)) is None else ", and it is damaged"
            _log.warning("picture kept as it came", wanted=wanted.media_type, error=str(error))
            message = f"outputFormat: the picture is {came}, as it came: it could not be made {wanted.media_type}{torn}"
            return picture, Warning_(code="ignored_option", field="outputFormat", message=message)
        return replace(picture, data=data, media_type=wanted.media_type), None
