"""One line a record, with secrets, prompts and pictures cut out before anything is written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_SECRET_NAMES: Final = re.compile(
    r"authorization|api[-_]?key|secret|token|password|cookie|prompt|b64|signature|sig$", re.IGNORECASE
)
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{200,}+={0,2}")
_API_KEY: Final = re.compile(r"aigw_sk_[0-9A-Za-z]+")
_DATA_URL: Final = re.compile(r"data:[\w/+.-]+;base64,\S+")
_QUERY: Final = re.compile(r"(https?://[^\s?#\"']++)(\?[^\s\"']*+)?")
"""An address with or without a query: what matches is passed over as a whole, not looked at again from its middle."""
_LONGEST: Final = 500
_CHATTY: Final = (
    "httpx",
    "httpx2",
    "httpcore",
    "google_genai",
    "azure",
    "arq",
    "aiohttp",
    "uvicorn",
    "asyncio",
    "PIL",
    "openai",
)


def configure(form: str, level: str) -> None:
    """Write to standard error as `console` or `json`, from `level` up. Other people's loggers from WARNING."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def redact(_: Any, __: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut secrets by name, and our own keys, base64, data URLs, query strings and overlong text by form."""
    return {name: _clean(name, value) for name, value in record.items()}


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name):
        return "[redacted]"
    if isinstance(value, dict):
        return {k: _clean(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", v) for v in value]
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if isinstance(value, str):
        limit = 8_000 if name == "exception" else _LONGEST
        text = _redacted(value[: 2 * limit])  # callers choose how long it is
        return text if len(value) <= limit else f"{text[:limit]}… [{len(value)} characters]"
    return value


def _redacted(text: str) -> str:
    text = _API_KEY.sub("[API key]", _BASE64.sub("[base64]", _DATA_URL.sub("[data URL]", text)))
    return _QUERY.sub(lambda found: f"{found[1]}?[redacted]" if found[2] else found[1], text)
