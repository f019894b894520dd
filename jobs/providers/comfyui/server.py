"""What we ask a ComfyUI server over HTTP (its routes as of 0.3.64 and 0.33)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from jobs.errors import Outcome, ProviderError, ServiceUnavailable
from jobs.model.picture import Picture
from jobs.providers import fresh
from jobs.providers.comfyui.workflow import Graph
from jobs.providers.outcomes import CONNECT_SECONDS, bad_response, cut, refused_request, refused_status

ANSWER_SECONDS: Final = 60.0
"""For one answer: nothing that is asked here waits for a run."""
_OK: Final = 200
_BAD: Final = 400
_NO_ROUTE: Final = frozenset({404, 405})
_MAX_FAULTS: Final = 5
"""Faults of a graph that are told."""


class Server:
    """One server. Everything that goes wrong is raised as `ProviderError`."""

    def __init__(self, base_url: str, api_key: str) -> None:
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._client = fresh.client(base_url, headers=authorization(api_key), timeout=timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def upload(self, picture: Picture, name: str) -> str:
        """Store an input picture; the name by which a graph finds it."""
        files = {"image": (name, picture.data, picture.media_type)}
        answer = await self._ask("POST", "/upload/image", files=files, data={"type": "input", "overwrite": "true"})
        told = _json(answer)
        return f"{told['subfolder']}/{told['name']}" if told.get("subfolder") else str(told["name"])

    async def start(self, graph: Graph, prompt_id: str) -> None:
        """Queue a run under our own id, whose socket has that id as well.

        Of two outputs one may be refused and the other begun: that is a refusal, and what was begun is canceled.
        """
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": prompt_id}
        try:
            answer = await self._client.post("/prompt", json=body)
        except httpx.TransportError as error:
            raise cut(error) from error
        if answer.status_code == _BAD:
            raise refused_request(_faults(answer), _BAD, prompt_id)
        if answer.status_code != _OK:
            raise refused_status(answer.status_code, prompt_id, None)
        if (_json(answer)).get("node_errors"):
            await self.cancel(prompt_id)
            raise refused_request(_faults(answer), _OK, prompt_id)

    async def waits(self, prompt_id: str) -> bool:
        """Whether the run is queued, or runs."""
        told = _json(await self._ask("GET", "/queue"))
        return any(entry[1] == prompt_id for part in ("queue_running", "queue_pending") for entry in told[part])

    async def history(self, prompt_id: str) -> dict[str, Any] | None:
        """How the run ended: `{outputs, status, …}`; None: it has not, or the server knows nothing of it."""
        found: dict[str, Any] | None = _json(await self._ask("GET", f"/history/{prompt_id}")).get(prompt_id)
        return found

    async def view(self, image: Mapping[str, str]) -> bytes:
        """The bytes of an output."""
        wanted = {name: str(image.get(name, "")) for name in ("filename", "subfolder", "type")}
        return (await self._ask("GET", "/view", params=wanted)).content

    async def cancel(self, prompt_id: str) -> bool:
        """End that run, and no other: an interrupt without an id would end whichever runs. Whether it was there."""
        if not prompt_id:
            raise ValueError("an id")
        answer = await self._send("POST", f"/api/jobs/{prompt_id}/cancel")
        if answer.status_code not in _NO_ROUTE:
            return answer.is_success and bool(_json(answer).get("cancelled"))
        waited = await self.waits(prompt_id)  # an older server
        await self._ask("POST", "/queue", json={"delete": [prompt_id]})
        await self._ask("POST", "/interrupt", json={"prompt_id": prompt_id})
        return waited

    async def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        answer = await self._send(method, path, **content)
        if answer.status_code != _OK:
            raise refused_status(answer.status_code, None, None)
        return answer

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Nothing of this is paid for, so a connection that was cut says no more than that."""
        try:
            return await self._client.request(method, path, **content)
        except httpx.TransportError as error:
            raise unreached() from error


def unreached() -> ProviderError:
    """Nothing was ordered: the server, or a proxy before it, is away."""
    failure = ServiceUnavailable("the provider cannot be reached", reason="provider_unavailable")
    return ProviderError(Outcome.NOT_SENT, failure)


def authorization(api_key: str) -> dict[str, str]:
    """What a proxy before the server asks for, as Open WebUI sends it; ComfyUI itself has no keys."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError as error:
        raise bad_response("the provider's answer cannot be read") from error
    if not isinstance(told, dict):
        raise bad_response("the provider's answer cannot be read")
    return told


def _faults(answer: httpx.Response) -> str:
    """What the server found wrong with the graph, node by node: its own short words, no values."""
    told = _json(answer)
    faults = [
        f"node {node_id} ({node.get('class_type')}): {fault.get('message')}, {fault.get('details')}"
        for node_id, node in (told.get("node_errors") or {}).items()
        for fault in node.get("errors", [])
    ]
    if faults:
        return "; ".join(faults[:_MAX_FAULTS])
    error = told.get("error")
    return str(error.get("message") if isinstance(error, dict) else error)


def failed_node(status: Mapping[str, Any]) -> ProviderError:
    """Why a run that is in the history has no picture: the node, its class and the kind of error.

    Server paths, tracebacks and the prompt, which the server says as well, are passed on to nobody.
    """
    kind, data = next(reversed(status.get("messages") or [["", {}]]))
    if kind == "execution_interrupted":
        failure = ServiceUnavailable("the run was interrupted at the server", reason="provider_interrupted")
        return ProviderError(Outcome.REFUSED, failure, provider_status=_OK)
    if kind == "execution_error":
        node, error = f"node {data.get('node_id')} ({data.get('node_type')})", str(data.get("exception_type"))
        return bad_response(f"{node} failed: {error.rpartition('.')[2]}")
    return bad_response("the provider answered without a picture")
