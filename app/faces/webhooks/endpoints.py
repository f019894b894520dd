"""The webhooks face: the org's endpoints, and the key by which receivers know that a post is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from litestar import MediaType, Response, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Struct, UnsetType

from app.auth.caller import READ, WRITE
from app.http.caller import known_caller
from app.http.json_body import read_json, read_optional_json
from app.http.problems import answer
from app.http.query import known_id, only_query, page
from app.services import AnyRequest, services
from jobs.errors import InvalidInput
from jobs.model.choices import Include, one_of
from jobs.model.metadata import checked_metadata
from jobs.webhooks.delivery import ENDINGS, delivered
from jobs.webhooks.endpoints import OVERLAP_SECONDS, EndpointSpec
from jobs.webhooks.json import endpoint_json
from jobs.webhooks.signing import SIGNING, Signer

if TYPE_CHECKING:
    from jobs.webhooks.endpoints import EndpointWithSecret

PATH: Final = "/api/v1/webhooks"
FRESH_SECONDS: Final = 300
MAX_BODY_BYTES: Final = 64 * 1024
MAX_DESCRIPTION_LENGTH: Final = 256
EXAMPLE: Final = {
    "url": "https://shop.example/hook",
    "events": ["image.job.succeeded", "image.job.failed"],
    "description": "The shop's catalogue",
}
_CURSOR: Final = {"limit": "at most 100", "cursor": "from the page before"}

_log = structlog.get_logger()


class NewEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The body: `url` is required. Without `events` the ends of jobs are posted; without `secret` we make one."""

    url: str
    events: list[str] | None = None
    include: str = "full"
    description: str | None = None
    secret: str | None = None
    metadata: dict[str, str] = {}


class EndpointChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The body: what is to change, and nothing else."""

    url: str | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET
    include: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class SecretRotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The body, which may be left out. `overlap_seconds`: how long the secret before signs too, at most 7 days."""

    overlap_seconds: int = OVERLAP_SECONDS
    secret: str | None = None


@post(PATH, status_code=201, opt={"body": NewEndpoint, "example": EXAMPLE, "result": "new_endpoint"})
async def create_endpoint(request: AnyRequest) -> Response[bytes]:
    """Make a webhook endpoint. The answer's `secret` is shown this once."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    body = await read_json(request, NewEndpoint, MAX_BODY_BYTES)
    spec = EndpointSpec(
        url=body.url,
        events=ENDINGS if body.events is None else tuple(body.events),
        include=one_of(Include, body.include, "include"),
        description=_description(body.description),
        secret=body.secret,
        metadata=checked_metadata(body.metadata),
    )
    made = await services(request).endpoints.create(caller.org, spec)
    _log.info("webhook endpoint created", endpoint=made.endpoint.id, org=caller.org, by=caller.subject)
    base = services(request).settings.public_base_url
    return _shown_once(made, 201, {"Location": f"{base}{PATH}/{made.endpoint.id}"})


@get(PATH, opt={"result": "endpoints", "query": _CURSOR})
async def list_endpoints(request: AnyRequest) -> Response[bytes]:
    """The org's webhook endpoints, newest first."""
    caller = await known_caller(request, READ)
    query = only_query(request, frozenset(_CURSOR))
    found, after = await services(request).endpoints.page(caller.org, *page(query, "whe"))
    return answer({"object": "list", "endpoints": [endpoint_json(e) for e in found], "cursor": after})


@get(f"{PATH}/{{endpoint_id:str}}", opt={"result": "endpoint"})
async def get_endpoint(request: AnyRequest, endpoint_id: FromPath[str]) -> Response[bytes]:
    """One webhook endpoint, without its secret."""
    caller = await known_caller(request, READ)
    only_query(request)
    return answer(endpoint_json(await services(request).endpoints.get(caller.org, known_endpoint(endpoint_id))))


@patch(
    f"{PATH}/{{endpoint_id:str}}",
    opt={"body": EndpointChange, "example": {"description": "Both shops"}, "result": "endpoint"},
)
async def change_endpoint(request: AnyRequest, endpoint_id: FromPath[str]) -> Response[bytes]:
    """Change a webhook endpoint; `enabled: false` gives up what waits for it."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    body = await read_json(request, EndpointChange, MAX_BODY_BYTES)
    fields = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    if "enabled" in fields:
        fields["disabled"] = None if fields.pop("enabled") else "by request"
    if "include" in fields:
        fields["include"] = one_of(Include, fields["include"], "include")
    if "events" in fields:
        fields["events"] = tuple(fields["events"])
    _description(fields.get("description"))
    checked_metadata(fields.get("metadata", {}))
    return answer(
        endpoint_json(await services(request).endpoints.change(caller.org, known_endpoint(endpoint_id), fields))
    )


@delete(f"{PATH}/{{endpoint_id:str}}", status_code=204, opt={"statuses": {204: "deleted"}})
async def delete_endpoint(request: AnyRequest, endpoint_id: FromPath[str]) -> None:
    """Delete a webhook endpoint; what waits for it is given up."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    await services(request).endpoints.delete(caller.org, known_endpoint(endpoint_id))
    _log.info("webhook endpoint deleted", endpoint=endpoint_id, org=caller.org, by=caller.subject)


@post(f"{PATH}/{{endpoint_id:str}}/enable", status_code=200, opt={"result": "endpoint"})
async def enable_endpoint(request: AnyRequest, endpoint_id: FromPath[str]) -> Response[bytes]:
    """Enable a webhook endpoint again; what was given up meanwhile can be redelivered."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    return answer(
        endpoint_json(
            await services(request).endpoints.change(caller.org, known_endpoint(endpoint_id), {"disabled": None})
        )
    )


@post(
    f"{PATH}/{{endpoint_id:str}}/rotate-secret",
    status_code=200,
    opt={"body": SecretRotation, "example": {"overlapSeconds": 3600}, "optional_body": True, "result": "new_endpoint"},
)
async def rotate_secret(request: AnyRequest, endpoint_id: FromPath[str]) -> Response[bytes]:
    """Give a webhook endpoint a new secret, shown this once; posts carry both signatures for `overlapSeconds`."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    asked = await read_optional_json(request, SecretRotation, MAX_BODY_BYTES)
    shown = await services(request).endpoints.rotate(
        caller.org, known_endpoint(endpoint_id), asked.overlap_seconds, asked.secret
    )
    _log.info("webhook secret rotated", endpoint=endpoint_id, org=caller.org, by=caller.subject)
    return _shown_once(shown, 200, {})


@post(f"{PATH}/{{endpoint_id:str}}/test", status_code=200, opt={"result": "ping"})
async def ping_endpoint(request: AnyRequest, endpoint_id: FromPath[str]) -> Response[bytes]:
    """Post a signed `webhook.test` now, and answer with what the receiver did."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    pinged = await services(request).deliveries.ping(caller.org, known_endpoint(endpoint_id))
    attempt = pinged.attempt
    shown = {
        "object": "webhook.test",
        "endpointId": endpoint_id,
        "eventId": pinged.event_id,
        "delivered": delivered(attempt),
        "status": attempt.status,
        "tookMs": attempt.took_ms,
        "error": attempt.error,
        "response": attempt.response,
    }
    return answer(shown)


@get("/.well-known/jwks.json", opt={"result": "jwks", "open": True})
async def jwks(request: AnyRequest) -> Response[bytes]:
    """The Ed25519 key of `v1a` webhook signatures, as a JSON Web Key Set (RFC 7517, RFC 8037)."""
    signer = Signer(services(request).settings.derived_key(SIGNING))
    headers = {"Cache-Control": f"public, max-age={FRESH_SECONDS}"}
    return Response(msgspec.json.encode({"keys": [signer.jwk()]}), headers=headers, media_type=MediaType.JSON)


def _description(text: str | None) -> str | None:
    if text is not None and not 1 <= len(text) <= MAX_DESCRIPTION_LENGTH:
        raise InvalidInput(f"must be 1 to {MAX_DESCRIPTION_LENGTH} characters", field="description")
    return text


def _shown_once(shown: EndpointWithSecret, status: int, headers: dict[str, str]) -> Response[bytes]:
    return answer({**endpoint_json(shown.endpoint), "secret": shown.secret}, status, headers)


def known_endpoint(endpoint_id: str) -> str:
    """The id, when it can be one of ours. Raises `NotFound`."""
    return known_id(endpoint_id, "whe", "endpoint")


handlers: Final = (
    create_endpoint,
    list_endpoints,
    get_endpoint,
    change_endpoint,
    delete_endpoint,
    enable_endpoint,
    rotate_secret,
    ping_endpoint,
    jwks,
)
