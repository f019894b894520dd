"""What orgs may do: `/api/v1/orgs/{org}` for administrators, `/api/v1/limits` for everybody's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response, get, patch
from litestar.params import FromPath

from app.auth.authenticator import ORG
from app.auth.caller import ADMIN, READ
from app.http.caller import known_caller
from app.http.json_body import read_json
from app.http.problems import answer
from app.http.query import only_query
from app.services import AnyRequest, services
from jobs.access.api_key import Grant
from jobs.access.orgs import OrgChange, OrgLimits
from jobs.errors import NotFound

if TYPE_CHECKING:
    from app.auth.caller import Caller

PATH: Final = "/api/v1/orgs"
MAX_BODY_BYTES: Final = 64 * 1024
EXAMPLE: Final = {"weight": 2, "maxQueued": 1000, "imagesPerDay": 5000}

_WHOLE_ORG: Final = Grant(capabilities=("admin",))


@get("/api/v1/limits", opt={"result": "limits"})
async def get_limits(request: AnyRequest) -> Response[bytes]:
    """The caller's own org: what it may do, has used today, what waits and runs; and its API key's limits and use."""
    caller = await known_caller(request, READ)
    only_query(request)
    own = {"keyRateLimits": None, "keyUsedToday": None}
    if caller.key is not None:
        used = await services(request).orgs.used_by(caller.key.id)
        own = {"keyRateLimits": msgspec.to_builtins(caller.key.limits), "keyUsedToday": msgspec.to_builtins(used)}
    return answer({**await _shown(request, caller.org), **own})


@get(f"{PATH}/{{org:str}}", opt={"result": "limits"})
async def get_org(request: AnyRequest, org: FromPath[str]) -> Response[bytes]:
    """What an org may do and has used."""
    _own(await known_caller(request, ADMIN), org)
    only_query(request)
    return answer(await _shown(request, org))


@patch(f"{PATH}/{{org:str}}", status_code=200, opt={"body": OrgChange, "example": EXAMPLE, "result": "limits"})
async def change_org(request: AnyRequest, org: FromPath[str]) -> Response[bytes]:
    """Change an org's limits: what is left out stays, null takes a limit away. Accepted jobs stay accepted.

    They are everybody's in the org: a key that is itself limited to providers, models or amounts cannot.
    """
    caller = await known_caller(request, ADMIN)
    _own(caller, org)
    only_query(request)
    caller.require_grant(_WHOLE_ORG)
    await services(request).orgs.change(org, await read_json(request, OrgChange, MAX_BODY_BYTES))
    return answer(await _shown(request, org))


async def _shown(request: AnyRequest, org: str) -> dict[str, Any]:
    orgs = services(request).orgs
    limits: OrgLimits = await orgs.limits(org)
    queued, running = await orgs.queue(org)
    return {
        "object": "org",
        "orgId": org,
        "limits": msgspec.to_builtins(limits),
        "usedToday": msgspec.to_builtins(await orgs.used(org)),
        "queued": queued,
        "running": running,
    }


def _own(caller: Caller, org: str) -> None:
    """Administrators are those of one org; the operators use `darkroom orgs`."""
    if not ORG.fullmatch(org) or caller.org != org:
        raise NotFound("no such org")


handlers: Final = (get_limits, get_org, change_org)
