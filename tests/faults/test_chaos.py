"""Three hundred jobs while everything dies, sleeps, refuses or moves: processes, Redis, blob store and receivers."""

import asyncio
import contextlib
import hashlib
import json
import math
import os
import signal
import statistics
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import pytest
import redis

from tests.neighbours import wait_until
from tests.neighbours.blob_proxy import running_blob_proxy
from tests.neighbours.gateway import STARTING_SECONDS, running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.tcp_proxy import running_relay
from tests.neighbours.webhook_receiver import running_receiver

ROOT = Path(__file__).parents[2]
KILLER = ROOT / "tests/fixtures/killer"
MOMENTS = ("after-claim", "after-intent", "call-open", "after-answer", "after-upload", "before-finish")
STORELESS = ("after-spool", "after-claim")
"""The moments while the blob store refuses."""
KILLS, LEAST = 34, 3
"""So many in all, and so many at each moment, are tried for; the promise speaks of 30 and 2."""
PAUSES = 11
LEASE_SECONDS = 3
JOBS = 300
"""At least: as long as there is trouble, there is work."""
FIRST = 80
MORE = 5
"""So many jobs are there at first, and so many more come with each kill: there is work until the last of them."""
PAUSE_SECONDS = 1.0
AWAY_SECONDS = 10
"""So long the blob store refuses, and Redis takes no write."""
KINDS = (
    {"provider": "azure-openai", "model": "gpt-image-2", "size": "256x256"},
    {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"},
    {"provider": "openai", "model": "gpt-image-2", "size": "256x256"},
)
PER_CALL = {"azure-openai": 10, "openai": 10, "gemini": 1}


def body(number):
    n = 2 if number % 5 == 0 else 1
    ambiguous = "retry" if number % 2 else "fail"
    return {
        **KINDS[number % 3],
        "prompt": f"picture {number}",
        "n": n,
        "onAmbiguous": ambiguous,
        "maxCalls": 5,
        "clientReference": str(number),
    }


class Chaos:
    """Hands out the tokens, starts again whom they killed, and reads what the killed wrote down."""

    def __init__(self, gateway, store, servers, relay, receivers, folder):
        self.gateway = gateway
        self.store = store
        self.primary, self.replica = servers
        self.relay = relay
        self.receivers = receivers
        self.folder = folder
        self.killed = []
        self.work = asyncio.Semaphore(FIRST)
        self.away = []
        self.pauses = []
        """Of each pause: the worker's pid, its begin and its end."""
        self.done = Counter()
        """What was done to the neighbours and the API, by its name."""

    def journal(self):
        lines = [json.loads(line) for file in self.folder.glob("journal.*") for line in file.read_text().splitlines()]
        return sorted(lines, key=lambda line: line["at"])

    async def keep_alive(self):
        while True:
            for worker in [w for w in self.gateway.workers if w.poll() is not None]:
                assert worker.returncode == -signal.SIGKILL, (self.folder / "worker.log").read_text()[-4000:]
                self.killed.append(worker.pid)
                self.gateway.workers.remove(worker)
                self.gateway.start_worker()
            await asyncio.sleep(0.05)

    def more_work(self, jobs):
        for _ in range(jobs):
            self.work.release()

    async def kill_on(self):
        """One token at a time, for the moment with the fewest kills; one that nobody takes is withdrawn."""
        done, passed_over = Counter(dict.fromkeys(MOMENTS, 0)), Counter()
        while done.total() < KILLS or min(done[m] for m in MOMENTS) < LEAST:
            refusing = len(self.away) == 1
            moment = min(STORELESS if refusing else MOMENTS, key=lambda m: done[m] + passed_over[m] / 2)
            killed = await self._kill(moment)
            (done if killed else passed_over)[moment] += 1
            self.more_work(0 if refusing else MORE)
            await asyncio.sleep(PAUSE_SECONDS if killed and moment != "after-spool" else 0)

    async def pause_workers(self):
        """One worker at a time sleeps beyond its lease, and wakes among jobs that others have taken."""
        while len(self.pauses) < PAUSES:
            worker = self.gateway.workers[len(self.pauses) % len(self.gateway.workers)]
            begun = time.time()
            os.kill(worker.pid, signal.SIGSTOP)
            await asyncio.sleep(LEASE_SECONDS + 1)
            os.kill(worker.pid, signal.SIGCONT)
            self.pauses.append((worker.pid, begun, time.time()))
            await asyncio.sleep(1)

    async def trouble_neighbours(self):
        """Everything that the gateway leans on, one after the other, with time to breathe between."""
        order = (
            self._kill_redis,
            self._kill_api,
            self._refuse_writes,
            self._kill_redis,
            self._kill_api,
            self._refuse_pictures,
            self._fail_over,
            self._kill_api,
            self._kill_redis,
        )
        for trouble in order:
            await asyncio.sleep(2)
            await trouble()
            self.done[trouble.__name__.removeprefix("_")] += 1

    async def _kill_redis(self):
        self.primary.kill()
        await asyncio.sleep(0.5)
        self.primary.start()  # in this thread: the child ends with the thread that made it

    async def _kill_api(self):
        self.gateway.api.kill()
        self.gateway.api.wait()
        self.gateway.api = self.gateway.start("api")
        await asyncio.to_thread(wait_until, self.gateway.ready, STARTING_SECONDS, "the API")

    async def _refuse_writes(self):
        await asyncio.to_thread(self.primary.refuse_writes)
        await asyncio.sleep(AWAY_SECONDS)
        self.primary.take_writes()

    async def _refuse_pictures(self):
        self.away.append(time.time())
        self.store.verdict = lambda method, _: 403 if method == "PUT" else None
        await asyncio.sleep(AWAY_SECONDS)
        self.store.verdict = lambda *_: None
        self.away.append(time.time())

    async def _fail_over(self):
        """As managed services do it: writes are held until the replica has them all, then it is the primary."""
        with redis.Redis.from_url(self.primary.url) as old, redis.Redis.from_url(self.replica.url) as new:
            old.client_pause(10_000, all=False)
            same = lambda: offset(old, "master_repl_offset") == offset(new, "slave_repl_offset")  # noqa: E731  # one line
            await asyncio.to_thread(wait_until, same, what="the replica")
            self.relay.shut()
            new.replicaof("NO", "ONE")
        self.primary.kill()
        self.primary = self.replica
        self.relay.target = self.replica.port
        self.relay.open()

    async def _kill(self, moment):
        token = self.folder / moment
        token.touch()
        for _ in range(40):
            await asyncio.sleep(0.05)
            if not token.exists():
                return True
        with contextlib.suppress(FileNotFoundError):
            token.unlink()
            return False
        return True


def offset(client, name):
    return client.info("replication")[name]


@pytest.fixture
def chaos(azurite, simulator, tmp_path):
    simulator.bench.delay, simulator.bench.jitter = 0.6, 0.4
    with (
        running_redis() as primary,
        running_redis() as replica,
        running_relay(primary.port) as relay,
        running_blob_proxy(azurite.port) as store,
        running_receiver() as good,
        running_receiver(lambda _, before: (500, 200, 404, 200)[before % 4]) as bad,
    ):
        replica.follow(primary)
        told = {
            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string.replace(str(azurite.port), str(store.port)),
            "AZURE_STORAGE_CONTAINER": "chaos",
            "DARKROOM_LEASE_SECONDS": str(LEASE_SECONDS),
            "DARKROOM_WORKER_SLOTS": "6",
            "DARKROOM_LOG_LEVEL": "error",
            "DARKROOM_WEBHOOK_SCHEDULE": "0" + ",3" * 30,
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": f"{ROOT}:{KILLER}",
            "KILLER_FOLDER": str(tmp_path),
        }
        url = f"redis://127.0.0.1:{relay.port}/0"
        with running_gateway(url, simulator, workers=3, logs=tmp_path, **told) as gateway:
            yield Chaos(gateway, store, (primary, replica), relay, (good, bad), tmp_path)


async def asked(client, method, path, **said):
    """The answer of a gateway that may be away for a while: who gets none, or a 503, asks the same again."""
    async with asyncio.timeout(300):
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await client.request(method, path, **said)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
            await asyncio.sleep(0.3)


async def run_all(chaos):
    """Every job as it is when all is quiet, with the checksums of its pictures as a stranger downloads them."""
    async with chaos.gateway.async_client() as client, asyncio.TaskGroup() as tasks:
        nurse = tasks.create_task(chaos.keep_alive())
        troubles = [chaos.kill_on(), chaos.pause_workers(), chaos.trouble_neighbours()]
        troubled = asyncio.gather(*troubles)
        troubled.add_done_callback(lambda _: chaos.more_work(1))

        async def one(number):
            receiver = chaos.receivers[number % 5 == 1]
            said = {**body(number), "webhook": {"url": receiver.url}}
            made = await asked(
                client, "POST", "/api/v1/jobs", json=said, headers={"Idempotency-Key": f"picture-{number}"}
            )
            assert made.status_code in {200, 202}, made.text
            return await ended(client, made.json()["data"]["id"])

        jobs = []
        while len(jobs) < JOBS or not troubled.done():
            await chaos.work.acquire()
            jobs.append(asyncio.ensure_future(one(len(jobs))))
            if troubled.done():
                chaos.more_work(1)
        await troubled
        ids = [job["id"] for job in await asyncio.gather(*jobs)]
        await asyncio.to_thread(chaos.gateway.wait_for_an_empty_spool)
        found = [await settled(client, job_id) for job_id in ids]
        await add_sums(found)
        nurse.cancel()
    return found


async def ended(client, job_id):
    job = {}
    while "finishedAt" not in job:
        job = (await asked(client, "GET", f"/api/v1/jobs/{job_id}?wait=60&until=terminal")).json()["data"]
    return job


async def settled(client, job_id):
    """The job once its webhooks are delivered."""
    async with asyncio.timeout(300):
        while True:
            job = await ended(client, job_id)
            if {delivery["state"] for delivery in job["delivery"]} == {"delivered"}:
                return job
            await asyncio.sleep(1)


async def add_sums(jobs):
    async with httpx.AsyncClient(timeout=30) as stranger:
        for job in jobs:
            result = job.get("result", {})
            urls = [image["url"] for image in result.get("images", [result])] if result else []
            job["sums"] = [hashlib.sha256((await stranger.get(url)).content).hexdigest() for url in urls]


class Witness:
    """What the journals prove: who began a call, what was stored, who died or slept when."""

    def __init__(self, journal, pauses):
        self.journal = journal
        self.pauses = pauses
        self.kills = [e for e in journal if e["what"] == "killed"]
        self.killed = {e["pid"]: e["at"] for e in self.kills}
        self.began = {(e["job"], e["call"]): (e["pid"], e["at"]) for e in journal if e["what"] == "intending"}
        self.blobs = {(e["job"], e["call"], e["index"]): e["blob"] for e in journal if e["what"] == "storing"}
        self.stored = {e["blob"]: e["at"] for e in reversed(journal) if e["what"] == "stored"}

    def excused(self, job, attempt):
        """Whether an unknown outcome is no wonder: who began the call died, or slept, before all of it was stored."""
        pid, began = self.began[job["id"], attempt["call"]]
        names = [self.blobs.get((job["id"], attempt["call"], index)) for index in attempt["indexes"]]
        stored = max(self.stored.get(name, math.inf) for name in names)
        slept = [begin for sleeper, begin, end in self.pauses if sleeper == pid and began < end and begin < stored]
        return bool(slept) or self.killed.get(pid, math.inf) <= stored

    def kept(self, job):
        """The indexes of the job's pictures that were in storage at any time."""
        return {index for (job_id, _, index), blob in self.blobs.items() if job_id == job["id"] and blob in self.stored}

    def recoveries(self):
        """Each kill with the seconds to the next claim of each job that was in the killed worker's hands."""
        hands = {}
        for line in self.journal:
            match line["what"]:
                case "claimed":
                    died = self.killed.get(hands.get(line["job"]), math.inf)
                    if died < line["at"]:
                        yield died, line["at"] - died
                    hands[line["job"]] = line["pid"]
                case "committed" if line["status"] in {"queued", "succeeded", "failed"}:
                    hands.pop(line["job"], None)

    def reached(self, calls, jobs):
        """How many kills in an open call came when the far end had its order."""
        requests = {job["id"]: job["requestId"] for job in jobs}
        began = defaultdict(list)
        for call in calls:
            began[call["client_request_id"]].append(call["started"])
        inside = [k for k in self.kills if k["moment"] == "call-open"]
        return sum(any(k["at"] - 1 < at < k["at"] for at in began[requests[k["job"]]]) for k in inside)


def violations(jobs, calls, witness):
    """Every breach of the promise, in words; the engine is sound when there is none."""
    by_job = defaultdict(list)
    for call in calls:
        by_job[call["client_request_id"]].append(call["pictures"])
    for job in jobs:
        request, attempts, status = job["request"], job["attempts"], job["status"]
        retry, n = int(job["clientReference"]) % 2 == 1, request["n"]
        unknown = [a for a in attempts if a["outcome"] == "unknown"]
        made, sums = by_job[job["requestId"]], job["sums"]
        base = math.ceil(n / PER_CALL[request["provider"]])
        reason = job.get("error", {}).get("details", {}).get("reason")
        checks = {
            "asked for a retry and did not succeed": not retry or status == "succeeded",
            "ended without all pictures, and no outcome is unknown": len(sums) == n or (unknown and not retry),
            "failed for another reason": status == "succeeded" or reason == "outcome_unknown",
            "an outcome is unknown that was known": all(witness.excused(job, a) for a in unknown),
            "a picture is not from a call of its own": set(sums) <= {s for call in made for s in call},
            "a picture is there twice": len(set(sums)) == len(sums),
            "a picture that was stored is not in the result": len(witness.kept(job)) <= len(sums),
            "bought again": len(made) <= base + (len(unknown) if retry else 0),
            "a call is not in the ledger": len(made) <= len(attempts) == job["billing"]["providerCalls"],
        }
        for name, fine in checks.items():
            if not fine:
                yield f"{name}: {status} {reason} n={n} retry={retry} calls={len(made)} {job['id']} {attempts}"


def table(jobs, calls, witness, chaos, took):
    """The findings in a few lines."""
    ends = Counter(
        f"{job['status']}{' in part' if 0 < len(job['sums']) < job['request']['n'] else ''}"
        f" (onAmbiguous {body(int(job['clientReference']))['onAmbiguous']})"
        for job in jobs
    )
    facts = {
        f"{len(witness.kills)} kills in {took:.0f} s": Counter(k["moment"] for k in witness.kills),
        f"{len(chaos.pauses)} pauses": chaos.done,
        f"{len(jobs)} jobs": ends,
        f"{len(calls)} calls, in the ledger": Counter(a["outcome"] for job in jobs for a in job["attempts"]),
        "webhooks posted": {url: len(receiver.posts) for url, receiver in zip("+-", chaos.receivers, strict=True)},
        "kill to next claim": _spread([seconds for _, seconds in witness.recoveries()]),
    }
    return "\n".join(f"{name:>34} | " + ", ".join(f"{k} {v}" for k, v in fact.items()) for name, fact in facts.items())


def _spread(seconds):
    if not seconds:
        return {"jobs": 0}
    return {"jobs": len(seconds), "p50": f"{statistics.median(seconds):.1f} s", "worst": f"{max(seconds):.1f} s"}


@pytest.mark.timeout(900)  # what hangs ends; a busy machine takes its time
def test_no_death_no_sleep_and_no_outage_loses_a_picture_or_a_webhook_or_buys_one_twice(chaos, simulator):
    begun = time.monotonic()

    jobs = asyncio.run(run_all(chaos))

    calls, witness = simulator.bench.calls(), Witness(chaos.journal(), chaos.pauses)
    print("\n" + table(jobs, calls, witness, chaos, time.monotonic() - begun))  # noqa: T201  # the findings
    moments = Counter(kill["moment"] for kill in witness.kills)
    assert list(violations(jobs, calls, witness)) == []
    assert sorted(chaos.killed) == sorted(witness.killed)
    assert len(witness.kills) >= 30
    assert min(moments[moment] for moment in MOMENTS) >= 2
    assert witness.reached(calls, jobs) >= 2
    assert len(chaos.pauses) >= 10
    assert len(jobs) >= JOBS
    assert chaos.done == {"kill_redis": 3, "kill_api": 3, "refuse_writes": 1, "refuse_pictures": 1, "fail_over": 1}
    assert chaos.away[1] - chaos.away[0] >= AWAY_SECONDS
    posts = [post.event for receiver in chaos.receivers for post in receiver.posts]
    told = {(event["data"]["id"], event["type"]) for event in posts}
    assert {(job["id"], f"image.job.{job['status']}") for job in jobs} <= told
    assert len({event["id"] for event in posts if event["type"] != "image.job.salvaged"}) == len(jobs)


def test_an_answer_of_two_pictures_of_which_one_was_on_disk_is_completed_when_the_job_asked_for_it(chaos, simulator):
    with chaos.gateway.client() as client:
        job_id = client.post("/api/v1/jobs", json=body(15)).json()["data"]["id"]
        wait_until(lambda: simulator.bench.calls() != [], what="the call")
        chaos.store.verdict = lambda *_: 503

        def looked():
            return client.get(f"/api/v1/jobs/{job_id}").json()["data"]

        wait_until(lambda: looked()["phase"] == "uploading", what="the first picture on disk")
        for worker in chaos.gateway.workers:
            worker.kill()
        chaos.store.verdict = lambda *_: None
        chaos.gateway.start_worker()
        job = client.get(f"/api/v1/jobs/{job_id}?wait=30&until=terminal").json()["data"]

    assert (job["status"], len(job["result"]["images"])) == ("succeeded", 2)
