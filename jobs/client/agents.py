"""Foundry's prompt agents: named definitions of an org, in numbered versions that never change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import NotFound
from jobs.ids import new_id
from jobs.model.times import now_ms
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

_PART: Final = 100
"""Versions that are deleted together."""


class Agent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name, and the number of its newest version: of one that was deleted, too, no number is given twice."""

    id: str
    org: str
    name: str
    last: int = 0
    disabled: bool = False


class AgentVersion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version as it was created. Times are Unix milliseconds."""

    id: str
    """Sorts by number among the versions of its agent."""
    org: str
    """The agent's id: a version is its agent's, and in the list of no other."""
    name: str
    number: int
    definition: dict[str, Any]
    """As it was sent: `kind`, `model`, `instructions`, `tools`, …"""
    created_ms: int
    description: str | None = None
    metadata: dict[str, str] = {}
    draft: bool = False


class AgentWithLatest(Struct, frozen=True):
    """An agent, and its newest version that is no draft, or the newest draft where all are."""

    agent: Agent
    latest: AgentVersion


class Agents:
    """The agents of every org. Raises only `errors.DarkroomError`."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._agents = Records(redis, prefix, "agent", Agent, lambda a: {_owned(a.org, a.name): None})
        self._versions = Records(redis, prefix, "agent_version", AgentVersion)

    async def add_version(  # noqa: PLR0913  # what a version says, each by name
        self,
        org: str,
        name: str,
        definition: dict[str, Any],
        *,
        description: str | None = None,
        metadata: dict[str, str] | None = None,
        draft: bool = False,
    ) -> AgentVersion:
        """The next version of the agent, which need not be there yet. The number is taken first, by one alone."""
        while True:
            new = Agent(id=new_id("agt"), org=org, name=name)
            agent_id = await self._agents.add(new) or new.id
            agent = await self._agents.update(org, agent_id, lambda a: replace(a, last=a.last + 1))
            if agent is not None:  # else it was deleted meanwhile
                break
        version = AgentVersion(
            id=_version_id(agent.id, agent.last),
            org=agent.id,
            name=name,
            number=agent.last,
            definition=definition,
            created_ms=now_ms(),
            description=description,
            metadata=metadata or {},
            draft=draft,
        )
        await self._versions.put(version)
        return version

    async def get(self, org: str, name: str) -> AgentWithLatest:
        """The agent with its latest version. Raises `NotFound`."""
        found = await self._with_latest(await self._agent(org, name))
        if found is None:
            raise _missing(name)
        return found

    async def version(self, org: str, name: str, number: int) -> AgentVersion:
        """One version. Raises `NotFound`."""
        agent = await self._agent(org, name)
        found = await self._versions.get(agent.id, _version_id(agent.id, number))
        if found is None:
            raise NotFound(f"the agent {name} has no version {number}")
        return found

    async def page(
        self, org: str, after: str | None, limit: int, *, before: str | None = None, oldest_first: bool = False
    ) -> tuple[list[AgentWithLatest], bool]:
        """Agents beyond the one named `after`, by the time they were made, and whether there may be more."""
        bounds = [None if n is None else (await self._agent(org, n)).id for n in (after, before)]
        agents, more = await self._agents.page(org, bounds[0], limit, before=bounds[1], oldest_first=oldest_first)
        found = await asyncio.gather(*map(self._with_latest, agents))
        return [agent for agent in found if agent is not None], more is not None

    async def versions(  # noqa: PLR0913  # whose, and which part of the list
        self,
        org: str,
        name: str,
        after: int | None,
        limit: int,
        *,
        before: int | None = None,
        oldest_first: bool = False,
    ) -> tuple[list[AgentVersion], bool]:
        """The versions beyond the number `after`, and whether there may be more. Raises `NotFound`."""
        agent = await self._agent(org, name)
        first, last = [None if n is None else _version_id(agent.id, n) for n in (after, before)]
        found, more = await self._versions.page(agent.id, first, limit, before=last, oldest_first=oldest_first)
        return found, more is not None

    async def set_disabled(self, org: str, name: str, *, disabled: bool) -> None:
        """Let the agent be used, or not. Raises `NotFound`."""
        agent = await self._agent(org, name)
        await self._agents.update(org, agent.id, lambda a: replace(a, disabled=disabled))

    async def delete_version(self, org: str, name: str, number: int) -> None:
        """Forget a version; with the last one the agent is found no longer. Raises `NotFound`."""
        version = await self.version(org, name, number)
        await self._versions.delete(version.org, version.id)

    async def delete(self, org: str, name: str) -> None:
        """Forget the agent and every version; the versions first, so that a crash leaves none behind."""
        agent = await self._agent(org, name)
        while versions := (await self._versions.page(agent.id, None, _PART))[0]:
            await asyncio.gather(*(self._versions.delete(agent.id, version.id) for version in versions))
        await self._agents.delete(org, agent.id)

    async def _agent(self, org: str, name: str) -> Agent:
        agent_id = await self._agents.named(_owned(org, name))
        agent = None if agent_id is None else await self._agents.get(org, agent_id)
        if agent is None:
            raise _missing(name)
        return agent

    async def _with_latest(self, agent: Agent) -> AgentWithLatest | None:
        versions, _ = await self._versions.page(agent.id, None, _PART)
        if not versions:
            return None
        return AgentWithLatest(agent, next((v for v in versions if not v.draft), versions[0]))


def _owned(org: str, name: str) -> str:
    return f"{org}/{name}"


def _version_id(agent_id: str, number: int) -> str:
    return f"{agent_id}:{number:09d}"


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no agent {name}")
