"""The composition root: every part of the API process is made and joined here."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from redis.asyncio import Redis

from app.auth.authenticator import Authenticator
from app.auth.recheck import Rechecks
from app.docs import openapi as docs
from app.faces import FACES
from app.faces.admin import health
from app.faces.files import local_files
from app.http.concurrency import Concurrency, too_many_streams, too_many_waits
from app.http.json_body import LARGEST
from app.http.problems import id_of, on_darkroom_error, on_http_error, on_unexpected
from app.http.rate_headers import rate_headers
from app.http.request_end import RequestEnd
from app.live.sockets import Sockets, mounted
from jobs.access.keys import Keys
from jobs.access.orgs import Orgs
from jobs.access.rates import Rates
from jobs.blobs.expiry import BlobExpiry
from jobs.blobs.links import OwnLinks
from jobs.blobs.local import LocalBlobs
from jobs.blobs.opening import blob_store
from jobs.blobs.store import BlobMissing
from jobs.catalog.families import Catalog
from jobs.client.batches import Batches
from jobs.client.client import Jobs
from jobs.client.estimates import Estimates
from jobs.client.inputs import InputStager
from jobs.client.notifier import Waiting
from jobs.client.routing import Router
from jobs.client.submission import Drafts
from jobs.errors import DarkroomError, NotFound
from jobs.logs import configure
from jobs.queue import Turns, arq_redis
from jobs.redis.connection import connections
from jobs.settings import Settings
from jobs.store.jobs import job_store
from jobs.store.stats import Gauges
from jobs.webhooks.endpoints import open_endpoints
from jobs.webhooks.log import DeliveryLog
from jobs.webhooks.outbox import Outbox
from jobs.webhooks.poster import poster

_log = structlog.get_logger()


def create_app(settings: Settings) -> Litestar:
    """The API. Raises `ConfigurationError` when a setting is missing."""
    settings.require_production()
    configure(settings.log_format, settings.log_level)
    pool = connections(settings.redis_url)
    redis = Redis(connection_pool=pool)
    blobs = blob_store(settings)
    waiting = Waiting(redis, settings.redis_prefix)
    catalog = Catalog.load(settings.models_file)
    keys = Keys(redis, settings.redis_prefix, catalog.providers)
    authenticator = Authenticator(settings, keys)
    rates = Rates(pool, settings.redis_prefix)
    outbox, endpoints = Outbox(redis, settings.redis_prefix), open_endpoints(redis, settings)
    store = job_store(redis, settings, endpoints.enabled)
    expiry, links = BlobExpiry(redis, settings.redis_prefix, blobs), OwnLinks(blobs, settings)
    inputs = InputStager(expiry=expiry, blobs=blobs, links=links, settings=settings)
    gauges = Gauges(redis, settings.redis_prefix)
    jobs = Jobs(
        store=store,
        gauges=gauges,
        estimates=Estimates(gauges=gauges, catalog=catalog, limits=settings.provider_concurrency),
        turns=Turns(arq_redis(pool, settings.redis_prefix), settings.redis_prefix),
        waiting=waiting,
        catalog=catalog,
        blobs=blobs,
        expiry=expiry,
        links=links,
        outbox=outbox,
        drafts=Drafts(catalog=catalog, inputs=inputs, endpoints=endpoints, settings=settings),
        router=Router(catalog, settings),
        settings=settings,
    )

    streams = Concurrency(settings.most_streams, too_many_streams)
    rechecks = Rechecks(authenticator, waiting)
    sockets = Sockets(
        jobs=jobs,
        waiting=waiting,
        authenticator=authenticator,
        rates=rates,
        settings=settings,
        streams=streams,
        rechecks=rechecks,
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await blobs.open()
        await waiting.open()
        await rechecks.open()
        await sockets.open()
        try:
            yield
        finally:
            await waiting.close()
            await rechecks.close()
            await sockets.close()
            await authenticator.close()
            await blobs.close()
            await pool.disconnect()

    own_files = [local_files(settings.azure_storage_container, blobs.opens)] if isinstance(blobs, LocalBlobs) else []
    return Litestar(
        route_handlers=[
            *(h for face in FACES for h in face.handlers),
            *health.handlers,
            *docs.handlers,
            *own_files,
            mounted(sockets),
        ],
        state=State(
            {
                "jobs": jobs,
                "settings": settings,
                "authenticator": authenticator,
                "api_keys": keys,
                "endpoints": endpoints,
                "deliveries": DeliveryLog(outbox, endpoints, poster(settings), rates),
                "batches": Batches(redis, settings.redis_prefix, jobs),
                "orgs": Orgs(redis, settings.redis_prefix),
                "rates": rates,
                "waiting": waiting,
                "shapes": [shape for face in FACES for shape in getattr(face, "SHAPES", ())],
                "streams": streams,
                "rechecks": rechecks,
                "waits": Concurrency(settings.most_waits, too_many_waits),
            }
        ),
        lifespan=[lifespan],
        middleware=[LogContext, RequestEnd],
        cors_config=_cors(settings),
        before_send=[_with_common_headers],
        exception_handlers={
            DarkroomError: on_darkroom_error,
            BlobMissing: _no_blob,
            HTTPException: on_http_error,
            Exception: on_unexpected,
        },
        request_max_body_size=LARGEST,
        openapi_config=docs.CONFIG,
        logging_config=None,
    )


def _cors(settings: Settings) -> CORSConfig | None:
    """Off unless origins are named; never with cookies."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=sorted(settings.cors_origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["*"],  # the official SDKs send a dozen of their own
        expose_headers=[
            *("Location", "Retry-After", "ETag", "X-Job-Id", "X-Request-Id"),
            *("RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
        ],
    )


def _no_blob(request: Request[Any, Any, Any], _: BlobMissing) -> Response[bytes]:
    return on_darkroom_error(request, NotFound("there is no picture at this address"))


async def _with_common_headers(message: Message, scope: Scope) -> None:
    """Every answer carries the request's id and what browsers are to be held to, also the ones that no route made."""
    if message["type"] == "http.response.start":
        own = {name for name, _ in message["headers"]}
        message["headers"] = [
            *message["headers"],
            (b"x-request-id", id_of(scope).encode()),
            *rate_headers(scope),
            *((name, value) for name, value in _SECURITY if name not in own),
        ]


_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""What holds where a route says nothing else (OWASP REST security cheat sheet)."""


class LogContext:
    """Every log line of a request carries its id, and one line says how it ended (status 0: the caller had gone)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=id_of(scope)):
            try:
                await self._app(scope, receive, noted)
            finally:
                took = round((time.monotonic() - began) * 1000)
                _log.info("request", method=scope["method"], path=scope["path"], status=status, ms=took)
