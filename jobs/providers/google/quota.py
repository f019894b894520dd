"""What Google says in the body of a 429 (google.rpc's error details): which quota, and when to come back."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
"""protobuf's JSON form of a duration."""


class Quota(Struct, frozen=True):
    """`retry_after` in seconds; `spent`: it is the quota of a day, or of the account, and nothing to wait for."""

    retry_after: float | None = None
    spent: bool = False


class _Violation(Struct, rename="camel"):
    quota_id: str = ""


class _Detail(Struct, rename="camel"):
    retry_delay: str = ""
    violations: list[_Violation] = []


def read(body: bytes) -> Quota:
    """What is not of the shape that we know says nothing."""
    details = _details(body)
    spent = any("PerDay" in v.quota_id for detail in details for v in detail.violations)
    delays = [_DURATION.fullmatch(detail.retry_delay) for detail in details]
    return Quota(next((float(found[1]) for found in delays if found), None), spent)


def _details(body: bytes) -> list[_Detail]:
    try:
        found: Any = msgspec.json.decode(body)["error"]["details"]
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return []
    details = [_detail(each) for each in found] if isinstance(found, list) else []
    return [detail for detail in details if detail is not None]


def _detail(value: Any) -> _Detail | None:
    try:
        return msgspec.convert(value, _Detail)
    except msgspec.ValidationError:
        return None
