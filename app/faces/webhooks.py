"""The webhooks face: the key by which receivers know that a post is ours."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import MediaType, Response, get

from app.ask import AnyRequest
from jobs.webhook import SIGNING, Signer

FRESH_SECONDS: Final = 300


@get("/.well-known/jwks.json", opt={"result": "jwks", "open": True})
async def jwks(request: AnyRequest) -> Response[bytes]:
    """The Ed25519 key of `v1a` webhook signatures, as a JSON Web Key Set (RFC 7517, RFC 8037)."""
    signer = Signer(request.app.state.settings.derived_key(SIGNING))
    headers = {"Cache-Control": f"public, max-age={FRESH_SECONDS}"}
    return Response(msgspec.json.encode({"keys": [signer.jwk()]}), headers=headers, media_type=MediaType.JSON)


handlers: Final = (jwks,)
