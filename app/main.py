"""The composition root: every part of the API process is made and joined here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from litestar import Litestar, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from redis.asyncio import Redis

from app.auth.authenticator import Authenticator
from app.auth.recheck import Rechecks
from app.docs import openapi as docs
from app.faces import FACES
from app.faces.files import local_files
from app.http.common_headers import add_common_headers, cors
from app.http.concurrency import Concurrency, too_many_streams, too_many_waits
from app.http.json_body import MAX_BODY_BYTES
from app.http.problems import on_darkroom_error, on_http_error, on_unexpected
from app.http.request_end import RequestEnd
from app.http.request_log import RequestLog
from app.live.sockets import Sockets, mounted
from app.services import AnyRequest, Services
from jobs.access.keys import Keys
from jobs.access.orgs import Orgs
from jobs.access.rates import Rates
from jobs.authorities import trust
from jobs.blobs.expiry import BlobExpiry
from jobs.blobs.links import OwnLinks
from jobs.blobs.local import LocalBlobs
from jobs.blobs.opening import blob_store
from jobs.blobs.store import BlobMissing
from jobs.client.agents import Agents
from jobs.client.batches import Batches
from jobs.client.client import Jobs
from jobs.client.engines import Engines
from jobs.client.erase import Eraser
from jobs.client.estimates import Estimates
from jobs.client.files import Files
from jobs.client.image_config import open_image_configs
from jobs.client.inputs import InputStager
from jobs.client.kept_pictures import KeptPictures
from jobs.client.notifier import Notifier
from jobs.client.overview import Overview
from jobs.client.pictures import PictureReader
from jobs.client.responses import Responses
from jobs.client.routing import Router
from jobs.client.submission import Preparer
from jobs.client.submit import Submitter
from jobs.client.uploads import Uploads
from jobs.errors import DarkroomError, NotFound
from jobs.history.history import open_history
from jobs.logs import configure
from jobs.pictures.decoding import Decoder
from jobs.providers.accounts import counted
from jobs.providers.offers import offered
from jobs.redis.connection import connections
from jobs.settings import Settings
from jobs.store.breaker import circuit_breaker
from jobs.store.jobs import job_store
from jobs.store.position import queue_position
from jobs.store.stats import Stats
from jobs.store.troubles import Troubles
from jobs.webhooks.endpoints import open_endpoints
from jobs.webhooks.log import DeliveryLog
from jobs.webhooks.outbox import Outbox, outbox_rows
from jobs.webhooks.poster import poster

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

    from jobs.blobs.store import BlobStore
    from jobs.model.account import Accounts
    from jobs.store.jobs import RedisJobStore


def create_app(settings: Settings) -> Litestar:
    """The API. Raises `ConfigurationError` when a setting is missing."""
    settings.require_production()
    configure(settings.log_format, settings.log_level)
    trust(settings.ca_file, settings.data_dir)
    pool, blobs = connections(settings.redis_url), blob_store(settings)
    services = make_services(settings, pool, blobs)
    sockets = Sockets(services)
    own_files = [local_files(settings.azure_storage_container, blobs.opens)] if isinstance(blobs, LocalBlobs) else []
    return Litestar(
        route_handlers=[*(h for face in FACES for h in face.handlers), *docs.handlers, *own_files, mounted(sockets)],
        state=State({"services": services}),
        lifespan=[_lifespan(services, sockets, pool, blobs)],
        middleware=[RequestLog, RequestEnd],
        cors_config=cors(settings),
        before_send=[add_common_headers],
        exception_handlers={
            DarkroomError: on_darkroom_error,
            BlobMissing: _no_blob,
            HTTPException: on_http_error,
            Exception: on_unexpected,
        },
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=docs.CONFIG,
        logging_config=None,
    )


def make_services(settings: Settings, pool: ConnectionPool, blobs: BlobStore) -> Services:
    """Everything that the faces use, on this Redis and this blob store."""
    redis, prefix = Redis(connection_pool=pool), settings.redis_prefix
    accounts = counted(settings)
    notifier, rates, stats = Notifier(redis, prefix), Rates(pool, prefix), Stats(redis, prefix)
    catalog = offered(settings)
    keys = Keys(redis, prefix, catalog.providers)
    authenticator = Authenticator(settings, keys)
    outbox, endpoints = Outbox(redis, prefix), open_endpoints(redis, settings)
    expiry, links = BlobExpiry(redis, prefix, blobs), OwnLinks(blobs, settings)
    decoder = Decoder()
    uploads = Uploads(redis, prefix, blobs=blobs, expiry=expiry, decoder=decoder)
    inputs = InputStager(expiry=expiry, blobs=blobs, links=links, uploads=uploads, settings=settings, decoder=decoder)
    position_of = partial(queue_position, redis, prefix)
    estimates = Estimates(stats=stats, position_of=position_of, catalog=catalog, accounts=accounts)
    store = job_store(redis, settings, outbox_rows(endpoints.enabled, blobs.link), accounts)
    jobs = Jobs(store=store, notifier=notifier, outbox=outbox)
    submitter = Submitter(
        store=store,
        expiry=expiry,
        preparer=Preparer(catalog=catalog, inputs=inputs, endpoints=endpoints, settings=settings),
        estimates=estimates,
        jobs=jobs,
    )
    files = Files(redis, prefix, jobs=jobs, expiry=expiry, picture_days=settings.picture_days)
    history = open_history(redis, settings)
    eraser = Eraser(store=store, expiry=expiry, jobs=jobs, files=files, history=history)
    return Services(
        settings=settings,
        jobs=jobs,
        submitter=submitter,
        eraser=eraser,
        batches=Batches(redis, prefix, jobs=jobs, submitter=submitter, eraser=eraser),
        catalog=catalog,
        router=Router(catalog, settings),
        estimates=estimates,
        pictures=PictureReader(blobs, links),
        files=files,
        image_configs=open_image_configs(redis, settings),
        engines=Engines(settings),
        history=history,
        kept_pictures=KeptPictures(expiry=expiry, blobs=blobs, decoder=decoder, settings=settings),
        uploads=uploads,
        agents=Agents(redis, prefix),
        responses=Responses(redis, prefix),
        decoder=decoder,
        overview=_overview(redis, settings, store, blobs, stats, accounts),
        notifier=notifier,
        endpoints=endpoints,
        deliveries=DeliveryLog(outbox, endpoints, poster(settings), rates),
        authenticator=authenticator,
        rechecks=Rechecks(authenticator, notifier),
        keys=keys,
        orgs=Orgs(redis, prefix),
        rates=rates,
        streams=Concurrency(settings.max_streams, too_many_streams),
        waits=Concurrency(settings.max_waits, too_many_waits),
        shapes=[shape for face in FACES for shape in getattr(face, "SHAPES", ())],
    )


def _overview(  # noqa: PLR0913, PLR0917  # the composition root hands over each part
    redis: Redis, settings: Settings, store: RedisJobStore, blobs: BlobStore, stats: Stats, accounts: Accounts
) -> Overview:
    return Overview(
        store=store,
        blobs=blobs,
        stats=stats,
        breaker=circuit_breaker(redis, settings),
        troubles=Troubles(redis, settings.redis_prefix),
        accounts=accounts,
        settings=settings,
    )


def _lifespan(
    services: Services, sockets: Sockets, pool: ConnectionPool, blobs: BlobStore
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await blobs.open()
        await services.notifier.open()
        await services.rechecks.open()
        await sockets.open()
        try:
            yield
        finally:
            await services.notifier.close()
            await services.rechecks.close()
            await sockets.close()
            await services.authenticator.close()
            await services.decoder.close()
            await services.history.close()
            await blobs.close()
            await pool.disconnect()

    return lifespan


def _no_blob(request: AnyRequest, _: BlobMissing) -> Response[bytes]:
    return on_darkroom_error(request, NotFound("there is no picture at this address"))
