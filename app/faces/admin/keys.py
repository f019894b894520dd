"""The keys face: `/api/v1/keys`, for whoever has the scope `admin:image-gen`, over the keys of its own org."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from litestar import Response, delete, get, post
from litestar.params import FromPath
from msgspec import Struct

from app.auth.caller import ADMIN
from app.http.caller import known_caller
from app.http.json_body import read_json, read_optional_json
from app.http.problems import answer
from app.http.query import instant, known_id, only_query, page
from app.services import AnyRequest, services
from jobs.access.api_key import Grant, KeySpec, Limits, key_json

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.access.keys import KeyWithSecret

PATH: Final = "/api/v1/keys"
MAX_BODY_BYTES: Final = 64 * 1024
EXAMPLE: Final = {
    "name": "Nightly catalogue run",
    "scopes": {"capabilities": ["images"], "providerIds": ["gemini"]},
    "rateLimits": {"requestsPerMinute": 60, "imagesPerDay": 500, "costPerDay": 20},
    "expiresAt": "2099-12-31T00:00:00Z",
}

_log = structlog.get_logger()


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The body: `name` is required. Without `subject` the key's jobs belong to the key itself."""

    name: str
    subject: str | None = None
    scopes: Grant = Grant()
    rate_limits: Limits = Limits()
    expires_at: str | None = None
    metadata: dict[str, str] = {}


class Rotation(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The body, which may be left out. `overlap_seconds`: how long the secret before stays valid, at most 7 days."""

    overlap_seconds: int = 0


@post(PATH, status_code=201, opt={"body": NewKey, "example": EXAMPLE, "result": "new_key"})
async def create_key(request: AnyRequest) -> Response[bytes]:
    """Make a key. The answer's `key` is the secret, shown this once; nobody may grant more than they have.

    Made by a key that ends, it ends with it, unless `expiresAt` is sooner.
    """
    caller = await known_caller(request, ADMIN)
    only_query(request)
    body = await read_json(request, NewKey, MAX_BODY_BYTES)
    caller.require_grant(body.scopes, body.rate_limits)
    expires_ms = caller.ends_ms if body.expires_at is None else instant(body.expires_at, "expiresAt")
    caller.require_outlasts(expires_ms)
    spec = KeySpec(
        name=body.name,
        subject=body.subject,
        grant=body.scopes,
        limits=body.rate_limits,
        expires_ms=expires_ms,
        metadata=body.metadata,
    )
    issued = await services(request).keys.create(caller.org, spec, by=_name(caller))
    _log.info("api key created", key_id=issued.key.id, org=caller.org, by=_name(caller))
    return _shown_once(issued, 201, {"Location": f"{services(request).settings.public_base_url}{PATH}/{issued.key.id}"})


@get(PATH, opt={"result": "keys", "query": {"limit": "at most 100", "cursor": "from the page before"}})
async def list_keys(request: AnyRequest) -> Response[bytes]:
    """The org's keys, newest first, also those that expired or were revoked."""
    caller = await known_caller(request, ADMIN)
    query = only_query(request, frozenset({"limit", "cursor"}))
    found, after = await services(request).keys.page(caller.org, *page(query, "key"))
    used = await services(request).keys.last_used(found)
    shown = [key_json(key, ms) for key, ms in zip(found, used, strict=True)]
    return answer({"object": "list", "keys": shown, "cursor": after})


@get(f"{PATH}/{{key_id:str}}", opt={"result": "key"})
async def get_key(request: AnyRequest, key_id: FromPath[str]) -> Response[bytes]:
    """One key of the org, without its secret."""
    caller = await known_caller(request, ADMIN)
    only_query(request)
    key = await services(request).keys.get(caller.org, _known_id(key_id))
    (used,) = await services(request).keys.last_used([key])
    return answer(key_json(key, used))


@delete(f"{PATH}/{{key_id:str}}", status_code=204, opt={"statuses": {204: "revoked"}})
async def revoke_key(request: AnyRequest, key_id: FromPath[str]) -> None:
    """End a key at once and for good. Its record stays; a second time changes nothing. Nobody ends a wider one."""
    caller = await known_caller(request, ADMIN)
    only_query(request)
    keys = services(request).keys
    key = await keys.get(caller.org, _known_id(key_id))
    caller.require_grant(key.grant, key.limits)
    await keys.revoke(caller.org, key_id)
    _log.info("api key revoked", key_id=key_id, org=caller.org, by=_name(caller))


@post(
    f"{PATH}/{{key_id:str}}/rotate",
    status_code=200,
    opt={"body": Rotation, "example": {"overlapSeconds": 3600}, "optional_body": True, "result": "new_key"},
)
async def rotate_key(request: AnyRequest, key_id: FromPath[str]) -> Response[bytes]:
    """Give a key a new secret, shown this once; the one before stays valid for `overlapSeconds` (default 0)."""
    caller = await known_caller(request, ADMIN)
    only_query(request)
    asked = await read_optional_json(request, Rotation, MAX_BODY_BYTES)
    keys = services(request).keys
    key = await keys.get(caller.org, _known_id(key_id))
    caller.require_grant(key.grant, key.limits)
    caller.require_outlasts(key.expires_ms)
    issued = await keys.rotate(caller.org, key_id, asked.overlap_seconds)
    _log.info("api key rotated", key_id=key_id, org=caller.org, by=_name(caller))
    return _shown_once(issued, 200, {})


def _name(caller: Caller) -> str:
    return caller.subject if caller.key is None else caller.key.id


def _shown_once(issued: KeyWithSecret, status: int, headers: dict[str, str]) -> Response[bytes]:
    return answer({**key_json(issued.key), "key": issued.secret}, status, headers)


def _known_id(key_id: str) -> str:
    return known_id(key_id, "key", "key")


handlers: Final = (create_key, list_keys, get_key, revoke_key, rotate_key)
