"""Where OpenAI's newer endpoints are found: below OpenAI's own path, Azure's, and those of a Foundry project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.auth.caller import READ, WRITE
from app.http.caller import known_caller
from app.http.query import only_query
from app.services import AnyRequest

if TYPE_CHECKING:
    from app.auth.caller import Caller

PROJECT: Final = "/api/projects/{project:str}"
"""A Foundry project: a label, no tenant; what is below it is there without it, too."""
AZURE: Final = ("/openai/", "/api/projects/")
"""How the paths begin by which a model's name is a deployment."""
_BEFORE: Final = ("/v1", "/openai/v1", "/openai", f"{PROJECT}/openai/v1", f"{PROJECT}/openai")
_QUERY: Final = frozenset({"api-version"})


def everywhere(path: str) -> list[str]:
    """The path below everything that it may stand below."""
    return [f"{before}{path}" for before in _BEFORE]


async def writer(request: AnyRequest, known: frozenset[str] = frozenset()) -> Caller:
    """The caller, who may create and change; the query has nothing but what is known."""
    caller = await known_caller(request, WRITE)
    only_query(request, known | _QUERY)
    return caller


async def reader(request: AnyRequest, known: frozenset[str] = frozenset()) -> tuple[Caller, dict[str, str]]:
    """The caller, who may read, and the query, which has nothing but what is known."""
    caller = await known_caller(request, READ, looks=True)
    return caller, only_query(request, known | _QUERY)
