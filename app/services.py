"""What the faces may use, each by its type. `app/main.py` makes them, once a process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from litestar import Request
from msgspec import Struct

if TYPE_CHECKING:
    from app.auth.authenticator import Authenticator
    from app.auth.recheck import Rechecks
    from app.http.concurrency import Concurrency
    from app.http.problems import Shape
    from jobs.access.keys import Keys
    from jobs.access.orgs import Orgs
    from jobs.access.rates import Rates
    from jobs.catalog.families import Catalog
    from jobs.client.agents import Agents
    from jobs.client.batches import Batches
    from jobs.client.client import Jobs
    from jobs.client.engines import Engines
    from jobs.client.erase import Eraser
    from jobs.client.estimates import Estimates
    from jobs.client.files import Files
    from jobs.client.image_config import ImageConfigs
    from jobs.client.kept_pictures import KeptPictures
    from jobs.client.notifier import Notifier
    from jobs.client.overview import Overview
    from jobs.client.pictures import PictureReader
    from jobs.client.responses import Responses
    from jobs.client.routing import Router
    from jobs.client.submit import Submitter
    from jobs.client.uploads import Uploads
    from jobs.history.history import History
    from jobs.pictures.decoding import Decoder
    from jobs.settings import Settings
    from jobs.webhooks.endpoints import Endpoints
    from jobs.webhooks.log import DeliveryLog

AnyRequest = Request[Any, Any, Any]


class Services(Struct, frozen=True, kw_only=True):
    """The asking half of the job, who may ask, and what this process holds open."""

    settings: Settings
    jobs: Jobs
    submitter: Submitter
    eraser: Eraser
    batches: Batches
    catalog: Catalog
    router: Router
    estimates: Estimates
    pictures: PictureReader
    files: Files
    image_configs: ImageConfigs
    engines: Engines
    kept_pictures: KeptPictures
    history: History
    uploads: Uploads
    agents: Agents
    responses: Responses
    decoder: Decoder
    overview: Overview
    notifier: Notifier
    endpoints: Endpoints
    deliveries: DeliveryLog
    authenticator: Authenticator
    rechecks: Rechecks
    keys: Keys
    orgs: Orgs
    rates: Rates
    streams: Concurrency
    waits: Concurrency
    shapes: Sequence[tuple[str, Shape]]
    """How the faces tell errors at a path, or below one that ends with a slash."""


def services(request: AnyRequest) -> Services:
    """The services of the process that serves the request."""
    found: Services = request.app.state.services
    return found
