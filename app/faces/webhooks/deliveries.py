"""The deliveries face: what was posted to webhooks, what was given up, and sending it again."""

from __future__ import annotations

from typing import Final

from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Struct

from app.auth.caller import READ, WRITE
from app.faces.webhooks.endpoints import MAX_BODY_BYTES, known_endpoint
from app.faces.webhooks.endpoints import PATH as ENDPOINTS
from app.http.caller import known_caller
from app.http.json_body import read_json
from app.http.problems import answer
from app.http.query import instant, known_id, only_query, page
from app.services import AnyRequest, services
from jobs.errors import InvalidInput
from jobs.model.times import moment
from jobs.webhooks.delivery import ENDINGS, DeliveryState
from jobs.webhooks.json import delivery_log_json
from jobs.webhooks.log import Redelivered, Wanted

PATH: Final = "/api/v1/webhook-deliveries"
_QUERY: Final = {
    "limit": "at most 100",
    "cursor": "from the page before",
    "endpointId": "",
    "jobId": "",
    "state": ", ".join(DeliveryState),
    "type": f"such as {ENDINGS[0]}",
}


class Redelivery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The body: `since` and `until`, with `states` if not the dead alone; or `jobId`."""

    since: str | None = None
    until: str | None = None
    states: list[str] | None = None
    job_id: str | None = None


@post(
    f"{ENDPOINTS}/{{endpoint_id:str}}/redeliver",
    status_code=202,
    opt={
        "body": Redelivery,
        "example": {"since": "2026-01-31T12:00:00Z", "until": "2026-02-01T12:00:00Z", "states": ["dead"]},
        "result": "redelivery",
    },
)
async def redeliver(request: AnyRequest, endpoint_id: FromPath[str]) -> Response[bytes]:
    """Send an endpoint's deliveries of a time, or of a job, again: at most 1,000; `since` says where to go on."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    body = await read_json(request, Redelivery, MAX_BODY_BYTES)
    log, known = services(request).deliveries, known_endpoint(endpoint_id)
    if body.job_id is not None:
        if body.since or body.until or body.states:
            raise InvalidInput("stands alone: since, until and states are another way to say which", field="jobId")
        return _redelivered(await log.redeliver_job(caller.org, known, body.job_id))
    since, until = instant(body.since, "since"), instant(body.until, "until")
    if since is None or until is None:
        raise InvalidInput("is missing: give since and until, or jobId", field="since" if since is None else "until")
    states = [DeliveryState.DEAD] if body.states is None else body.states
    if not states or not set(states) <= _ENDED:
        raise InvalidInput(f"must be of {', '.join(sorted(_ENDED))}", field="states")
    return _redelivered(await log.redeliver_between(caller.org, known, since, until, states))


@get(PATH, opt={"result": "deliveries", "query": _QUERY})
async def list_deliveries(request: AnyRequest) -> Response[bytes]:
    """What was posted or is to be, newest first. A short page may still have a cursor: it ends where that is null."""
    caller = await known_caller(request, READ)
    query = only_query(request, frozenset(_QUERY))
    wanted = Wanted(
        endpoint_id=query.get("endpointId"),
        job_id=query.get("jobId"),
        state=_state(query.get("state")),
        type=query.get("type"),
    )
    found, after = await services(request).deliveries.page(caller.org, wanted, *page(query, "dlv"))
    return answer({"object": "list", "deliveries": [delivery_log_json(d) for d in found], "cursor": after})


@get(f"{PATH}/{{delivery_id:str}}", opt={"result": "delivery"})
async def get_delivery(request: AnyRequest, delivery_id: FromPath[str]) -> Response[bytes]:
    """One delivery, with each attempt."""
    caller = await known_caller(request, READ)
    only_query(request)
    found = await services(request).deliveries.get(caller.org, _known(delivery_id))
    return answer(delivery_log_json(found, with_attempts=True))


@post(f"{PATH}/{{delivery_id:str}}/redeliver", status_code=202, opt={"result": "delivery"})
async def redeliver_one(request: AnyRequest, delivery_id: FromPath[str]) -> Response[bytes]:
    """Send one delivery again now, with the same `webhook-id` and body."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    again = await services(request).deliveries.redeliver(caller.org, _known(delivery_id))
    return answer(delivery_log_json(again, with_attempts=True), 202)


def _redelivered(told: Redelivered) -> Response[bytes]:
    shown = {"object": "webhook.redelivery", "redelivered": told.count, "since": moment(told.since_ms)}
    return answer(shown, 202)


def _known(delivery_id: str) -> str:
    return known_id(delivery_id, "dlv", "delivery")


def _state(word: str | None) -> DeliveryState | None:
    if word is not None and word not in set(DeliveryState):
        raise InvalidInput(f"must be of {', '.join(DeliveryState)}", field="state")
    return None if word is None else DeliveryState(word)


_ENDED: Final = frozenset({DeliveryState.DEAD, DeliveryState.DELIVERED})

handlers: Final = (redeliver, list_deliveries, get_delivery, redeliver_one)
