"""A job's record as bytes: JSON that begins with the number of its form."""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from msgspec import Struct

from jobs.errors import ServiceUnavailable
from jobs.model.job import Job
from jobs.store.packing import squeeze, unsqueeze

SCHEMA: Final = 2
"""The form that is written. The one before is read, too, so that two versions of us can run side by side."""

_log = structlog.get_logger()


class SchemaUnknown(ServiceUnavailable):
    """The record is of a newer version of us, or of one that is too old: it is left as it is."""

    def __init__(self, schema: int) -> None:
        message = f"the job's record has form {schema}: this version reads {SCHEMA - 1} and {SCHEMA}"
        super().__init__(message, reason="record_form_unknown", retry_after=30)


def pack(job: Job) -> bytes:
    """The record as it is kept; one that has ended small. Equal ones become equal: so the store knows its own write."""
    document = _BEGINNING + _encoder.encode(job)[1:]
    return squeeze(document) if job.status.terminal else document


def unpack(document: bytes) -> Job:
    """The record as it was kept. Raises `SchemaUnknown`."""
    document = unsqueeze(document)
    if not document.startswith(_BEGINNING) and (schema := _form.decode(document).schema) != SCHEMA - 1:
        _log.error("job of another version", form=schema, reads=(SCHEMA - 1, SCHEMA))
        raise SchemaUnknown(schema)
    return _decoder.decode(document)


class _Form(Struct, frozen=True):
    schema: int = 1
    """The first form did not say its number."""


_BEGINNING: Final = b'{"schema":%d,' % SCHEMA
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)
_form = msgspec.json.Decoder(_Form)
