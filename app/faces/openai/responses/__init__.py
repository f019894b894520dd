"""OpenAI's Responses with the tool `image_generation`: each response is a job, and its id leads to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from litestar import Response, delete, get, post
from litestar.params import FromPath

from app.faces.openai.models import model_json
from app.faces.openai.paths import everywhere, reader, writer
from app.faces.openai.responses.body import read_response
from app.faces.openai.responses.context import Asked, asked
from app.faces.openai.responses.keeping import kept_first, of_job
from app.faces.openai.responses.rendering import answered
from app.faces.openai.responses.streams import follow, streamed
from app.http.job_headers import Preference
from app.http.query import MAX_PAGE, number
from app.http.responses import Renderer
from app.http.sse import open_stream
from app.http.wait import answer_now_or_later
from app.services import AnyRequest, services
from jobs.errors import InvalidInput, NotFound
from jobs.model.job import Job, Status

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.client.responses import KeptResponse

CANCEL_SECONDS: Final = 2.0
"""How long a cancel waits for the worker that has the job."""
_ID: Final = re.compile(r"resp_[0-9a-z]{30}")
_LOOKS: Final = frozenset({"include", "include[]", "stream", "starting_after", "include_obfuscation"})
_PAGING: Final = frozenset({"after", "limit", "order", "include", "include[]"})
_PAGE: Final = 20


@post(everywhere("/responses"), status_code=200, include_in_schema=False)
async def create_response(request: AnyRequest) -> Response[Any]:
    """Make a picture of the input; with `stream` as events, with `background` to be read later."""
    caller = await writer(request)
    body = await read_response(request)
    found = await asked(request, caller, body)
    return await (streamed if body.stream else _answered_or_later)(request, found)


@get(everywhere("/responses/{response_id:str}"), include_in_schema=False)
async def get_response(request: AnyRequest, response_id: FromPath[str]) -> Response[Any]:
    """The response as it stands; with `stream=true` its events, those after `starting_after`."""
    caller, query = await reader(request, _LOOKS)
    kept, job = await _found(request, caller, response_id)
    if query.get("stream", "false") != "true":
        return await answered(request, kept, job)
    after = number(query, "starting_after", -1, 0)
    return follow(request, kept, job, open_stream(request, caller.org, caller.subject), after=after)


@post(everywhere("/responses/{response_id:str}/cancel"), status_code=200, include_in_schema=False)
async def cancel_response(request: AnyRequest, response_id: FromPath[str]) -> Response[Any]:
    """End a response that goes on in the background; one that has ended stays as it is."""
    caller = await writer(request)
    kept, _ = await _found(request, caller, response_id)
    if not kept.background:
        raise InvalidInput("only a response with background: true can be cancelled", field="response_id")
    job = await services(request).eraser.cancel(caller.org, kept.job_id, by=caller.subject)
    if not job.status.terminal:
        job = await services(request).jobs.wait(caller.org, job.id, CANCEL_SECONDS)
    return await answered(request, kept, job)


@delete(everywhere("/responses/{response_id:str}"), status_code=200, include_in_schema=False)
async def delete_response(request: AnyRequest, response_id: FromPath[str]) -> Response[bytes]:
    """Forget a response with its job and its picture."""
    caller = await writer(request)
    kept, _ = await _found(request, caller, response_id)
    await services(request).eraser.erase(caller.org, kept.job_id, by=caller.subject)
    await services(request).responses.delete(caller.org, kept.id)
    return model_json({"id": kept.id, "object": "response", "deleted": True})


@get(everywhere("/responses/{response_id:str}/input_items"), include_in_schema=False)
async def list_input_items(request: AnyRequest, response_id: FromPath[str]) -> Response[bytes]:
    """What came in, the newest first unless `order=asc`."""
    caller, query = await reader(request, _PAGING)
    kept, _ = await _found(request, caller, response_id)
    items = [{"id": f"{kept.id.replace('resp', 'msg', 1)}_{i}", **item} for i, item in enumerate(kept.input)]
    if query.get("order", "desc") not in {"asc", "desc"}:
        raise InvalidInput("must be asc or desc", field="order")
    if query.get("order", "desc") == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    page = items[start : start + min(number(query, "limit", _PAGE), MAX_PAGE)]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return model_json({"object": "list", "data": page, **ends, "has_more": start + len(page) < len(items)})


async def _found(request: AnyRequest, caller: Caller, response_id: str) -> tuple[KeptResponse, Job]:
    """The response and its job. Raises `NotFound`, `Gone`."""
    if not _ID.fullmatch(response_id):
        raise NotFound("there is no such response")
    kept = await services(request).responses.get(caller.org, response_id)
    return kept, await services(request).jobs.get(caller.org, kept.job_id)


async def _answered_or_later(request: AnyRequest, found: Asked) -> Response[Any]:
    async def told(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[Any]:
        return await answered(request, await of_job(request, found.kept, job), job, headers)

    prefer = Preference(0) if found.kept.background else None
    async with kept_first(request, found.kept):
        return await answer_now_or_later(request, found.submission, Renderer(told, told, _is_told), prefer)


def _is_told(job: Job) -> bool:
    """Whether a job's end is a response; any other end of a wait is an error by its status."""
    refused = job.failure is not None and job.failure.reason == "content_policy"
    return job.status is Status.SUCCEEDED or refused


handlers: Final = (create_response, get_response, cancel_response, delete_response, list_input_items)
