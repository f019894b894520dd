"""Storing previews, and reading what is behind a link of ours, on a real Redis and a real folder."""

import base64
import time

import pytest

from app.main import create_app
from app.simulator.draw import draw
from jobs.blobs.expiry import BlobExpiry
from jobs.blobs.local import LocalBlobs
from jobs.blobs.opening import blob_store
from jobs.blobs.store import BlobStoreDown
from jobs.errors import NotFound
from jobs.model.picture import Picture
from jobs.pictures.sniff import MAX_BYTES
from jobs.redis.keys import Keys
from jobs.settings import Settings
from jobs.store.claims import Claim
from jobs.worker.lease import LeasedJob
from jobs.worker.previews import Previews
from tests.jobs import new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")

PNG = draw("a mug", "beef", 64, 48, "png")
JOB = new_job("openai")


class Downed:
    """A blob store that takes nothing, and remembers what was due for deletion when it was asked to."""

    def __init__(self, redis):
        self._redis = redis
        self.due = {}

    async def put(self, *_):
        self.due = dict(await self._redis.zrange(KEYS.expiring_blobs, 0, -1, withscores=True))
        raise BlobStoreDown("away", reason="blob_store_unavailable")


@pytest.fixture
def held(store):
    return LeasedJob(store, Claim(JOB, 1, "turn"))


async def test_a_preview_is_due_for_deletion_before_its_bytes_are_on_their_way(redis, held):
    blobs = Downed(redis)
    previews = Previews(blobs=blobs, expiry=BlobExpiry(redis, "{test}:", blobs))

    await previews.keep(held, (0,), Picture(data=PNG, media_type="image/png"), 0)

    ((name, at_ms),) = blobs.due.items()
    assert name.startswith(b"previews/acme/")
    assert 3_590 < at_ms / 1000 - time.time() <= 3_600
    assert held.now == JOB


@pytest.mark.parametrize(
    ("data", "index"),
    [(b"no picture", 0), (PNG + bytes(MAX_BYTES), 0), (PNG, 1)],
    ids=["none", "too large", "of no picture of the call"],
)
async def test_a_preview_that_is_unfit_is_dropped_without_a_trace(redis, held, tmp_path, data, index):
    blobs = LocalBlobs(tmp_path, "files", "http://localhost", public=True, signing_key=bytes(32))
    previews = Previews(blobs=blobs, expiry=BlobExpiry(redis, "{test}:", blobs))

    await previews.keep(held, (0,), Picture(data=data, media_type="image/png", index=index), 0)

    assert held.now == JOB
    assert await redis.keys("*") == []
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("public", ["1", "0"], ids=["public", "signed"])
async def test_what_is_behind_a_link_of_ours_is_read_and_nothing_else(redis_url, tmp_path, public):
    told = {
        "REDIS_URL": redis_url,
        "DARKROOM_DATA_DIR": str(tmp_path),
        "DARKROOM_DEV": "1",
        "JWT_SECRET": "a secret of the tests alone",
        "DARKROOM_SECRET_KEY": base64.b64encode(bytes(32)).decode(),
        "AZURE_STORAGE_PUBLIC": public,
    }
    settings = Settings.load(told, env_file=None)
    pictures, blobs = create_app(settings).state.services.pictures, blob_store(settings)
    await blobs.put("previews/acme/a.png", PNG, "image/png")

    found = await pictures.read(blobs.link("previews/acme/a.png", 60))

    assert found == PNG
    for url in (blobs.link("previews/acme/b.png"), "https://elsewhere/files/previews/acme/a.png", "nothing"):
        with pytest.raises(NotFound):
            await pictures.read(url)
