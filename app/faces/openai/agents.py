"""Foundry's agents: created in versions, read, listed and deleted, as `azure-ai-projects` asks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath
from msgspec import Struct

from app.faces.openai.models import model_json
from app.faces.openai.paths import PROJECT, reader, writer
from app.http.json_body import read_json
from app.http.query import MAX_PAGE, number
from app.services import AnyRequest, services
from jobs.errors import InvalidInput, NotFound
from jobs.model.metadata import checked_metadata

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.client.agents import AgentVersion, AgentWithLatest

MAX_DEFINITION_BYTES: Final = 256 * 1024
"""Of an agent's definition as JSON."""
MAX_DESCRIPTION_LENGTH: Final = 512
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_PAGING: Final = frozenset({"kind", "limit", "order", "after", "before", "include_drafts"})
_ORDERS: Final = ("asc", "desc")
_PAGE: Final = 20


class NewVersion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a new version."""

    definition: dict[str, Any]
    description: str | None = None
    metadata: dict[str, str] = {}
    draft: bool = False
    blueprint_reference: dict[str, Any] | None = None


class NewAgent(NewVersion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same with the agent's name, as the SDK's 2.0 betas create one."""

    name: str


def _both(path: str) -> list[str]:
    return [path, f"{PROJECT}{path}"]


@post(_both("/agents/{name:str}/versions"), status_code=200, include_in_schema=False)
async def create_agent_version(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """The next version of the agent; the first makes the agent."""
    caller = await writer(request)
    return model_json(version_json(await _added(request, caller, name, await _read(request, NewVersion))))


@post(_both("/agents"), status_code=200, include_in_schema=False)
async def create_agent(request: AnyRequest) -> Response[bytes]:
    """The same, named in the body, and answered with the agent."""
    caller = await writer(request)
    body = await _read(request, NewAgent)
    await _added(request, caller, body.name, body)
    return model_json(_agent_json(await services(request).agents.get(caller.org, body.name)))


@post(_both("/agents/{name:str}"), status_code=200, include_in_schema=False)
async def change_agent(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """A further version, answered with the agent; `{name}:enable` and `:disable` change whether it may be used."""
    caller = await writer(request)
    name, _, verb = name.partition(":")
    agents = services(request).agents
    if verb in {"enable", "disable"}:
        await agents.set_disabled(caller.org, name, disabled=verb == "disable")
        return Response(b"", status_code=204)
    if verb:
        raise NotFound("there is nothing at this path")
    await agents.get(caller.org, name)
    await _added(request, caller, name, await _read(request, NewVersion))
    return model_json(_agent_json(await agents.get(caller.org, name)))


@get(_both("/agents/{name:str}/versions/{version:str}"), include_in_schema=False)
async def get_agent_version(request: AnyRequest, name: FromPath[str], version: FromPath[str]) -> Response[bytes]:
    """One version by its number; `latest` is the newest."""
    caller, _ = await reader(request)
    agents = services(request).agents
    if version == "latest":
        return model_json(version_json((await agents.get(caller.org, name)).latest))
    return model_json(version_json(await agents.version(caller.org, name, _number(version, "version"))))


@get(_both("/agents/{name:str}"), include_in_schema=False)
async def get_agent(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """The agent with its latest version."""
    caller, _ = await reader(request)
    return model_json(_agent_json(await services(request).agents.get(caller.org, name)))


@get(_both("/agents"), include_in_schema=False)
async def list_agents(request: AnyRequest) -> Response[bytes]:
    """The org's agents, the newest first unless `order=asc`."""
    caller, query = await reader(request, _PAGING)
    if query.get("kind", "prompt") != "prompt":
        return _listed([], more=False)
    agents, more = await services(request).agents.page(
        caller.org,
        query.get("after"),
        _limit(query),
        before=query.get("before"),
        oldest_first=_oldest_first(query),
    )
    return _listed([_agent_json(agent) for agent in agents], more=more)


@get(_both("/agents/{name:str}/versions"), include_in_schema=False)
async def list_agent_versions(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """The agent's versions, the newest first unless `order=asc`; drafts with `include_drafts=true`."""
    caller, query = await reader(request, _PAGING)
    after, before = [_number(query[n].rpartition(":")[2], n) if n in query else None for n in ("after", "before")]
    versions, more = await services(request).agents.versions(
        caller.org, name, after, _limit(query), before=before, oldest_first=_oldest_first(query)
    )
    shown = [v for v in versions if not v.draft or query.get("include_drafts") == "true"]
    return _listed([version_json(version) for version in shown], more=more)


@delete(_both("/agents/{name:str}/versions/{version:str}"), status_code=200, include_in_schema=False)
async def delete_agent_version(request: AnyRequest, name: FromPath[str], version: FromPath[str]) -> Response[bytes]:
    """Forget a version; its number is not given again."""
    caller = await writer(request, frozenset({"force"}))
    await services(request).agents.delete_version(caller.org, name, _number(version, "version"))
    return model_json({"object": "agent.version.deleted", "name": name, "version": version, "deleted": True})


@delete(_both("/agents/{name:str}"), status_code=200, include_in_schema=False)
async def delete_agent(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """Forget the agent and all of its versions."""
    caller = await writer(request, frozenset({"force"}))
    await services(request).agents.delete(caller.org, name)
    return model_json({"object": "agent.deleted", "name": name, "deleted": True})


def version_json(version: AgentVersion) -> dict[str, Any]:
    """A version as Foundry tells it."""
    return {
        "object": "agent.version",
        "id": f"{version.name}:{version.number}",
        "name": version.name,
        "version": str(version.number),
        "description": version.description or "",
        "created_at": version.created_ms // 1000,
        "metadata": version.metadata,
        "definition": version.definition,
        "status": "active",
        "draft": version.draft,
    }


def _agent_json(found: AgentWithLatest) -> dict[str, Any]:
    state = "disabled" if found.agent.disabled else "enabled"
    return {
        "object": "agent",
        "id": found.agent.name,
        "name": found.agent.name,
        "state": state,
        "configuration_state": state,
        "versions": {"latest": version_json(found.latest)},
    }


def _listed(data: list[dict[str, Any]], *, more: bool) -> Response[bytes]:
    """A page. `last_id` is null on the last one: the SDK goes on while there is one, whatever `has_more` says."""
    more = more and bool(data)
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if more else None}
    return model_json({"object": "list", "data": data, **ends, "has_more": more})


async def _read(request: AnyRequest, kind: type[NewVersion]) -> Any:
    return await read_json(request, kind, any_type=True)


async def _added(request: AnyRequest, caller: Caller, name: str, body: NewVersion) -> AgentVersion:
    if not _NAME.fullmatch(name):
        raise InvalidInput("must be 1 to 63 letters, digits and hyphens, no hyphen at an end", field="name")
    if len(body.description or "") > MAX_DESCRIPTION_LENGTH:
        raise InvalidInput(f"must be at most {MAX_DESCRIPTION_LENGTH} characters", field="description")
    return await services(request).agents.add_version(
        caller.org,
        name,
        _checked(body.definition),
        description=body.description,
        metadata=checked_metadata(body.metadata),
        draft=body.draft,
    )


def _checked(definition: dict[str, Any]) -> dict[str, Any]:
    if definition.get("kind") != "prompt":
        raise InvalidInput("must be prompt: no other agents run here", field="definition.kind")
    if not isinstance(definition.get("model"), str) or not definition["model"]:
        raise InvalidInput("is required", field="definition.model", reason="missing_field")
    tools = definition.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidInput("must be a list of tools", field="definition.tools")
    if not isinstance(definition.get("instructions") or "", str):
        raise InvalidInput("must be a text", field="definition.instructions")
    if len(msgspec.json.encode(definition)) > MAX_DEFINITION_BYTES:
        raise InvalidInput(f"may have at most {MAX_DEFINITION_BYTES} bytes", field="definition")
    return definition


def _limit(query: dict[str, str]) -> int:
    return min(number(query, "limit", _PAGE), MAX_PAGE)


def _oldest_first(query: dict[str, str]) -> bool:
    if query.get("order", "desc") not in _ORDERS:
        raise InvalidInput(f"must be {' or '.join(_ORDERS)}", field="order")
    return query.get("order") == "asc"


def _number(text: str, field: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise InvalidInput("must be the number of a version", field=field)
    return int(text)


handlers: Final = (
    create_agent_version,
    create_agent,
    change_agent,
    get_agent_version,
    get_agent,
    list_agents,
    list_agent_versions,
    delete_agent_version,
    delete_agent,
)
