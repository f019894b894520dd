"""What Open WebUI's administrators do under Settings, Images: read and set the configuration, try a server out."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get, post
from msgspec import Struct

from app.faces.openwebui.answers import PREFIXES, TOLD, json
from app.faces.openwebui.errors import ADDRESS, FORMAT
from app.faces.openwebui.forms import read_form
from app.faces.openwebui.images_config import MASK, ImagesConfig, check, merged, of_kept, shown, to_keep, unknown_of
from app.faces.openwebui.users import known_admin
from app.http.query import only_query
from app.services import AnyRequest, services
from jobs.client.engines import ENGINES
from jobs.errors import InvalidInput

_CONFIG: Final = {"result": "openwebui_config", **TOLD}
_UPDATE: Final = {"body": ImagesConfig, "example": {"IMAGE_GENERATION_ENGINE": "comfyui", "IMAGE_STEPS": 20}, **_CONFIG}


class Verification(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that is to be tried out; without `url`, the deployment's own."""

    engine: str
    url: str = ""
    key: str = ""


async def config_of(request: AnyRequest, org: str) -> ImagesConfig:
    """What is in force for an org."""
    return of_kept(await services(request).image_configs.get(org))


@get([f"{prefix}/config" for prefix in PREFIXES], opt=_CONFIG)
async def get_images_config(request: AnyRequest) -> Response[bytes]:
    """The configuration of the caller's org, its secrets masked."""
    user = await known_admin(request)
    only_query(request)
    return json(shown(await config_of(request, user.caller.org)))


@post([f"{prefix}/config/update" for prefix in PREFIXES], status_code=200, opt=_UPDATE)
async def update_images_config(request: AnyRequest) -> Response[bytes]:
    """Set it. A key that is left out, null, or masked as it was shown stays as it is; one that there is not is told."""
    user = await known_admin(request)
    only_query(request)
    before, unknown = await config_of(request, user.caller.org), list[str]()

    def reshaped(sent: dict[str, Any]) -> dict[str, Any]:
        unknown.extend(unknown_of(sent))
        return merged(sent, before)

    config = await read_form(request, ImagesConfig, reshaped)
    check(config)
    await services(request).image_configs.put(user.caller.org, to_keep(config))
    return json(shown(config, unknown))


@post(
    [f"{prefix}/verify" for prefix in PREFIXES],
    status_code=200,
    opt={"body": Verification, "example": {"engine": "comfyui"}, "result": "openwebui_true", **TOLD},
)
async def verify_engine(request: AnyRequest) -> Response[bytes]:
    """Whether a ComfyUI or Automatic1111 answers at an address: `true`, or 400."""
    user = await known_admin(request)
    only_query(request)
    asked = await read_form(request, Verification)
    return await _verified(request, await config_of(request, user.caller.org), asked)


@get([f"{prefix}/config/url/verify" for prefix in PREFIXES], opt={"result": "openwebui_true", **TOLD})
async def verify_configured_engine(request: AnyRequest) -> Response[bytes]:
    """The same of the engine that is configured, as older front ends ask."""
    user = await known_admin(request)
    only_query(request)
    config = await config_of(request, user.caller.org)
    if config.image_generation_engine not in ENGINES:
        return json(True)  # noqa: FBT003  # the body of the answer
    return await _verified(request, config, Verification(engine=config.image_generation_engine, url=_url(config)))


async def _verified(request: AnyRequest, config: ImagesConfig, asked: Verification) -> Response[bytes]:
    """Raises `InvalidInput` in the words of this face."""
    if asked.engine not in ENGINES:
        raise InvalidInput(f" ({' or '.join(ENGINES)}).", field="engine", reason=FORMAT)
    kept_key = config.comfyui_api_key if asked.engine == "comfyui" else config.automatic1111_api_auth
    kept_url = config.comfyui_base_url if asked.engine == "comfyui" else config.automatic1111_base_url
    masked = asked.key in {"", MASK}
    key = (kept_key if asked.url == kept_url else "") if masked else asked.key
    try:
        await services(request).engines.verify(asked.engine, asked.url, key)
    except InvalidInput as error:
        raise InvalidInput(error.message, field="url", reason=ADDRESS) from None
    return json(True)  # noqa: FBT003  # the body of the answer


def _url(config: ImagesConfig) -> str:
    comfyui = config.image_generation_engine == "comfyui"
    return config.comfyui_base_url if comfyui else config.automatic1111_base_url


handlers: Final = (get_images_config, update_images_config, verify_engine, verify_configured_engine)
