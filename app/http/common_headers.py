"""Headers that every answer has: the request's id, what is left of rate limits, and what browsers are held to."""

from __future__ import annotations

from typing import Final

from litestar.config.cors import CORSConfig
from litestar.routes import HTTPRoute
from litestar.types import Message, Scope

from app.http.problems import id_of
from app.http.rate_headers import rate_headers
from jobs.settings import Settings

SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""What holds where a route says nothing else (OWASP REST security cheat sheet)."""


async def add_common_headers(message: Message, scope: Scope) -> None:
    """Add them to the start of an answer, also of one that no route made."""
    if message["type"] == "http.response.start":
        own = {name for name, _ in message["headers"]}
        message["headers"] = [
            *((name, _allowed(value, scope) if name == b"allow" else value) for name, value in message["headers"]),
            (b"x-request-id", id_of(scope).encode()),
            *rate_headers(scope),
            *((name, value) for name, value in SECURITY if name not in own),
        ]


def _allowed(told: bytes, scope: Scope) -> bytes:
    """Every method of the path: the framework's own OPTIONS tells those of one handler; HEAD is answered by GET."""
    methods = {method.strip() for method in told.decode().split(",")}
    routes = (route for route in scope["litestar_app"].routes if route.path_format == scope.get("path_template"))
    methods |= {str(method) for route in routes if isinstance(route, HTTPRoute) for method in route.methods}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()))).encode()


def cors(settings: Settings) -> CORSConfig | None:
    """Off unless origins are named; never with cookies."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=sorted(settings.cors_origins),
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
        allow_headers=["*"],  # the official SDKs send a dozen of their own
        expose_headers=[
            *("Location", "Retry-After", "Retry-After-Ms", "ETag", "Allow", "Content-Range"),
            *(
                "X-Request-Id",
                "X-Job-Id",
                "X-Should-Retry",
                "X-Job-Adopted",
                "Idempotency-Replayed",
                "Preference-Applied",
            ),
            *("RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
        ],
    )
