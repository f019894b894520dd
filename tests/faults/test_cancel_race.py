"""Cancels that race finishes and starts: one end a job, which stays as it is, and the money as the far end saw it."""

import asyncio
import statistics
from collections import Counter

import pytest

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

PATH = "/api/v1/jobs"
FINISHES, STARTS, WARM, BEHIND = 100, 40, 10, 3
SLOTS = 12
DELAY = 0.3
MUG = {"provider": "openai", "model": "gpt-image-2", "size": "256x256"}
ENDS = {f"image.job.{end}" for end in ("succeeded", "failed", "canceled", "expired")}


class Race:
    """Jobs on one gateway, each with what its cancel was answered and how it was first seen at its end."""

    def __init__(self, client, shared_simulator):
        self.client = client
        self.shared_simulator = shared_simulator
        self.room = asyncio.Semaphore(SLOTS)

    async def job(self, job_id, query=""):
        return (await self.client.get(f"{PATH}/{job_id}{query}")).json()["data"]

    async def submit(self, prompt, delay=DELAY):
        made = await self.client.post(PATH, json={**MUG, "prompt": f"[delay={delay}] {prompt}"})
        return made.json()["data"]["id"]

    async def begun(self, prompt):
        await asyncio.to_thread(wait_until, lambda: self.shared_simulator.bench.calls(prompt) != [], what="the call")

    async def undisturbed(self, number):
        """Seconds from the call's start to the job's end."""
        prompt = f"Warm {number}."
        async with self.room:
            job_id = await self.submit(prompt)
            await self.begun(prompt)
            clock = asyncio.get_running_loop().time
            begun = clock()
            await self.job(job_id, "?wait=30&until=terminal")
            return clock() - begun

    async def canceled(self, prompt, seconds, *, from_call):
        async with self.room:
            job_id = await self.submit(prompt)
            if from_call:
                await self.begun(prompt)
            await asyncio.sleep(seconds)
            answer = (await self.client.post(f"{PATH}/{job_id}/cancel")).json()["data"]
            first = await self.job(job_id, "?wait=30&until=terminal")
        return answer, first

    async def behind(self, number):
        """A job that is canceled while others hold every slot: it cannot have begun."""
        job_id = await self.submit(f"Behind {number}.")
        answer = (await self.client.post(f"{PATH}/{job_id}/cancel")).json()["data"]
        return answer, await self.job(job_id, "?wait=30&until=terminal")

    async def all_behind(self):
        """Jobs behind a full worker, with their cancels."""
        blockers = [f"Blocker {number}." for number in range(SLOTS)]
        ids = [await self.submit(prompt, delay=60) for prompt in blockers]
        for prompt in blockers:
            await self.begun(prompt)
        pairs = await asyncio.gather(*(self.behind(number) for number in range(BEHIND)))
        for job_id in ids:
            await self.client.post(f"{PATH}/{job_id}/cancel")
        return pairs


async def raced(client, shared_simulator):
    race = Race(client, shared_simulator)
    usual = statistics.median(await asyncio.gather(*(race.undisturbed(number) for number in range(WARM))))
    around = [max(0, usual + 0.3 * (number / FINISHES - 0.5)) for number in range(FINISHES)]
    finishes = [race.canceled(f"Finish {n}.", seconds, from_call=True) for n, seconds in enumerate(around)]
    starts = [race.canceled(f"Start {n}.", 0.001 * n, from_call=False) for n in range(STARTS)]
    pairs = await asyncio.gather(*finishes, *starts)
    pairs += await race.all_behind()
    await asyncio.sleep(DELAY + 2)  # whatever still comes has come
    told = []
    for answer, first in pairs:
        events = (await client.get(f"{PATH}/{first['id']}/events")).json()["data"]
        told.append((answer, first, await race.job(first["id"]), events))
    return told


@pytest.fixture(scope="module")
def stories(shared_simulator):
    """Of each job: the cancel's answer, the first sight of its end, how it is now, its events, and its calls."""
    with (
        running_redis() as server,
        running_gateway(server.url, shared_simulator, DARKROOM_WORKER_SLOTS=str(SLOTS)) as gateway,
    ):

        async def run():
            async with gateway.async_client() as client:
                return await raced(client, shared_simulator)

        told = asyncio.run(run())
    calls = Counter(call["client_request_id"] for call in shared_simulator.bench.calls())
    return [(*story, calls[story[2]["requestId"]]) for story in told]


def test_both_sides_win_some_of_the_races(stories):
    ends = Counter((now["status"], now.get("cancel", {}).get("outcome")) for _, _, now, _, _ in stories)

    assert len(stories) == FINISHES + STARTS + BEHIND
    assert ends["canceled", "abandoned"] >= 10
    assert ends["canceled", "prevented"] >= BEHIND
    assert ends["succeeded", "too_late"] + ends["succeeded", None] >= 10
    assert {status for status, _ in ends} == {"succeeded", "canceled"}


def test_each_job_ends_once_and_only_a_salvage_follows(stories):
    for _, _, now, events, _ in stories:
        types = [event["type"] for event in events]
        sequences = [event["sequence"] for event in events]
        (end,) = [place for place, kind in enumerate(types) if kind in ENDS]

        assert types[end] == f"image.job.{now['status']}", now
        assert types[end + 1 :] in ([], ["image.job.salvaged"]), now
        assert sequences == sorted(set(sequences)), now


def test_an_end_that_was_told_stays_and_only_a_salvage_is_added(stories):
    for answer, first, now, _, _ in stories:
        for earlier in (answer, first):
            if "finishedAt" not in earlier:
                continue
            kept = {name: earlier.get(name) for name in ("status", "finishedAt", "error")}

            assert {name: now.get(name) for name in kept} == kept
            if now["version"] != earlier["version"]:
                assert now["version"] == earlier["version"] + 1
                assert now["cancel"] == {**earlier["cancel"], "salvaged": True}


def test_the_bill_is_what_the_far_end_saw(stories):
    billings = {
        ("succeeded", None, 1): {"billed"},
        ("succeeded", "too_late", 1): {"billed"},
        ("canceled", "abandoned", 1): {"billed", "possibly_billed"},
        ("canceled", "prevented", 0): {"none"},
    }
    for _, _, now, _, asked in stories:
        assert asked == now["billing"]["providerCalls"], now
        assert now["billing"]["state"] in billings[now["status"], now.get("cancel", {}).get("outcome"), asked], now


def test_every_picture_that_was_paid_for_is_kept(stories):
    for _, _, now, _, asked in stories:
        assert ("result" in now) == (now["billing"]["state"] == "billed") == (asked == 1), now


def test_a_cancel_that_came_before_any_call_is_told_as_prevented(stories):
    uncalled = {now["cancel"]["outcome"] for _, _, now, _, asked in stories if asked == 0}

    assert uncalled == {"prevented"}
