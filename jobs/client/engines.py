"""Servers of ComfyUI and Automatic1111 as one asks for models: what they have on disk, and whether they answer."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
import pybase64
from msgspec import Struct

from jobs.errors import InvalidInput, ServiceUnavailable
from jobs.outside.address import Address, OutsideError, Policy, parse
from jobs.outside.client import Outside

if TYPE_CHECKING:
    from jobs.settings import Settings

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of such an answer."""
SECONDS: Final = 5.0
"""For one such look."""
_LOADER: Final = "CheckpointLoaderSimple"
_PATHS: Final = {"comfyui": f"/object_info/{_LOADER}", "automatic1111": "/sdapi/v1/sd-models"}
ENGINES: Final = tuple(_PATHS)


class EngineModel(Struct, frozen=True):
    """A checkpoint: its id as the server takes it, and its name."""

    id: str
    name: str


class Engines:
    """Asks the deployment's own servers, and those that an administrator names. Nothing is kept between two calls."""

    def __init__(self, settings: Settings) -> None:
        self._own = {name: str(getattr(settings, f"{name}_base_url") or "") for name in ENGINES}
        keys = {"comfyui": settings.comfyui_api_key, "automatic1111": settings.automatic1111_api_auth}
        self._keys = {name: secret.get_secret_value() if secret else "" for name, secret in keys.items()}
        self._networks = settings.image_ref_allowed_networks

    async def models(self, engine: str) -> list[EngineModel]:
        """The checkpoints of the deployment's own server; none where it has none. Raises `ServiceUnavailable`."""
        if not self._own[engine]:
            return []
        try:
            found = await self._ask(engine, self._own[engine], self._keys[engine])
        except OutsideError as error:
            message = f"the {engine} server cannot be asked for its models just now"
            raise ServiceUnavailable(message, reason="provider_unavailable", retry_after=5) from error
        return _checkpoints(found) if engine == "comfyui" else _titles(found)

    async def verify(self, engine: str, url: str, key: str) -> None:
        """Whether such a server answers at that address. Raises `InvalidInput`.

        The deployment's own key goes to its own server alone, whoever asks.
        """
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput("must be printable ASCII", field="key")
        own = not url or _origin(url) == _origin(self._own[engine])
        try:
            await self._ask(engine, self._own[engine] if own else url, key or (self._keys[engine] if own else ""))
        except OutsideError:
            raise InvalidInput(f"no {engine} server answers there", field="url") from None

    async def _ask(self, engine: str, url: str, key: str) -> Any:
        own = bool(self._own[engine]) and _origin(url) == _origin(self._own[engine])
        policy = _trusted(parse(url)) if own else Policy(networks=self._networks)
        headers = _authorization(engine, key)
        content = await Outside(policy).get(
            url.rstrip("/") + _PATHS[engine], seconds=SECONDS, most=MAX_BYTES, headers=headers
        )
        try:
            return msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise OutsideError("not json") from None


def _checkpoints(found: Any) -> list[EngineModel]:
    """`{class: {input: {required: {ckpt_name: [[names…]] or ["COMBO", {options: [names…]}]}}}}`."""
    try:
        kind, *more = found[_LOADER]["input"]["required"]["ckpt_name"]
        names = kind if isinstance(kind, list) else more[0]["options"]
    except (LookupError, TypeError, ValueError):
        return []
    return [EngineModel(name, name) for name in names if isinstance(name, str)]


def _titles(found: Any) -> list[EngineModel]:
    models = found if isinstance(found, list) else []
    return [
        EngineModel(str(model["title"]), str(model.get("model_name") or model["title"]))
        for model in models
        if isinstance(model, dict) and model.get("title")
    ]


def _authorization(engine: str, key: str) -> dict[str, str]:
    if not key:
        return {}
    basic = pybase64.b64encode(key.encode()).decode()
    return {"Authorization": f"Bearer {key}" if engine == "comfyui" else f"Basic {basic}"}


def _trusted(address: Address) -> Policy:
    """The host that the operator named is asked on any port and network, as a call is."""
    return Policy(hosts=frozenset({address.host}), networks=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
