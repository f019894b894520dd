"""What a finished job takes of Redis, and that what is kept small is read whole; on a real Redis."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import Outcome
from jobs.model import moves
from jobs.model.json import job_json
from jobs.model.picture import Image
from jobs.model.times import now_ms
from jobs.redis.keys import Keys
from jobs.store.events import LASTING
from jobs.store.outcomes import Key
from jobs.store.packing import squeeze, unsqueeze
from tests.jobs import claims_of, new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")
BLOB = "images/acme/2026-11-28/7985041c-be35-5d5b-b385-aa14aafccde7.png"
IMAGE = Image(
    index=0, url=f"http://here/files/{BLOB}", blob=BLOB, media_type="image/png", bytes=1_534_221, sha256="0f1e" * 16,
    width=1024, height=1024,
)  # fmt: skip
LIFE = (
    moves.start,
    partial(moves.intend, indexes=(0,)),
    lambda job, now: moves.checkpoint(job, now, IMAGE, 310),
    lambda job, now: moves.settle(job, now, 1, outcome=Outcome.SUCCEEDED, charged=True, provider_status=200),
    moves.succeed,
)


async def lived(store):
    """Every record of a job that was made, and succeeded, with what the outside heard of each."""
    job = new_job(metadata={"order": "4711"}, client_reference="shelf 3", request_id="req_1")
    await store.create(job, Key(f"key of {job.id}", job.fingerprint))
    claim = await claims_of(store).claim_next("turn", "worker", 15_000)
    told = [(job, "image.job.queued")]
    for move in LIFE:
        changed = move(job, now_ms())
        job = await store.commit(job, changed, claim.fence)
        told += [(job, changed.event)] if changed.event else []
    return told


async def test_events_are_read_as_the_job_was_at_each(store):
    told = await lived(store)

    events = await store.events(told[-1][0])

    assert [(e["type"], e["data"]) for e in events] == [
        (event, job_json(job, "http://here", with_request=False)) for job, event in told
    ]
    assert [e["sequence"] for e in events] == [job.version for job, _ in told]
    assert {e["jobId"] for e in events} == {told[0][0].id}
    assert [e["timestamp"] for e in events] == [e["data"]["updatedAt"] for e in events]
    assert len({e["id"] for e in events}) == len(events)


async def test_only_events_after_a_version_are_read(store):
    told = await lived(store)

    events = await store.events(told[-1][0], told[-2][0].version)

    assert [e["type"] for e in events] == ["image.job.succeeded"]


async def test_no_move_changes_what_events_leave_to_the_record(store):
    told = await lived(store)

    shown = [job_json(job, "http://here", with_request=False) for job, _ in told]

    assert all({n: j.get(n) for n in LASTING} == {n: shown[0].get(n) for n in LASTING} for j in shown)


async def test_a_finished_record_is_read_as_it_was_written(store):
    job, _ = (await lived(store))[-1]

    assert await store.get(job.id) == job
    assert (await store.page("acme", None, 10)).jobs == (job,)


async def test_a_finished_job_takes_less_than_four_kilobytes_of_redis(store, redis):
    for _ in range(20):
        await lived(store)
    before = (await redis.info("memory"))["used_memory"]

    for _ in range(200):
        await lived(store)

    assert ((await redis.info("memory"))["used_memory"] - before) / 200 <= 3_600


@given(document=st.binary(max_size=400).filter(lambda b: not b.startswith(b"\x01")))
def test_what_was_squeezed_is_had_again_and_what_was_not_is_left(document):
    assert unsqueeze(squeeze(document)) == document
    assert unsqueeze(document) == document
