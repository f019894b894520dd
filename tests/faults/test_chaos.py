"""Two hundred jobs, workers killed at chosen moments, and a blob store that is away for a while."""

import asyncio
import contextlib
import hashlib
import json
import math
import signal
import statistics
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import pytest

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.tcp_proxy import running_relay

ROOT = Path(__file__).parents[2]
KILLER = ROOT / "tests/fixtures/killer"
MOMENTS = ("after-claim", "after-intent", "call-open", "after-answer", "after-upload", "before-finish")
STORELESS = ("after-spool", "after-claim")
"""The moments while the blob store is away."""
KILLS, LEAST = 26, 3
"""So many in all, and so many at each moment, are tried for; the promise speaks of 20 and 2."""
JOBS = 200
FIRST = 80
MORE = 4
"""So many jobs are there at first, and so many more come with each kill: there is work until the last of them."""
PAUSE_SECONDS = 1.0
AWAY_AFTER = 8
"""The blob store goes away after so many kills."""
AWAY_SECONDS = 20
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
        "clientReference": str(number),
    }


class Chaos:
    """Hands out the tokens, starts again whom they killed, and reads what the killed wrote down."""

    def __init__(self, gateway, relay, folder):
        self.gateway = gateway
        self.relay = relay
        self.folder = folder
        self.killed = []
        self.work = asyncio.Semaphore(FIRST)
        self.away = []

    def journal(self):
        lines = [json.loads(line) for file in self.folder.glob("journal.*") for line in file.read_text().splitlines()]
        return sorted(lines, key=lambda line: line["at"])

    def spooled(self):
        return list(Path(self.gateway.environment["DARKROOM_DATA_DIR"], "spool").glob("*.picture"))

    async def keep_alive(self):
        while True:
            for worker in [w for w in self.gateway.workers if w.poll() is not None]:
                assert worker.returncode == -signal.SIGKILL, (self.folder / "worker.log").read_text()[-4000:]
                self.killed.append(worker.pid)
                self.gateway.workers.remove(worker)
                self.gateway.start_worker()
            await asyncio.sleep(0.05)

    async def kill_on(self):
        """One token at a time, for the moment with the fewest kills; one that nobody takes is withdrawn."""
        done, passed_over = Counter(dict.fromkeys(MOMENTS, 0)), Counter()
        while done.total() < KILLS or min(done[m] for m in MOMENTS) < LEAST:
            away = len(self.away) == 1
            moment = min(STORELESS if away else MOMENTS, key=lambda m: done[m] + passed_over[m] / 2)
            killed = await self._kill(moment)
            (done if killed else passed_over)[moment] += 1
            self._more_work(0 if away else MORE)
            if killed and done.total() == AWAY_AFTER:
                await self._shut_the_store()
            await asyncio.sleep(PAUSE_SECONDS if killed and moment != "after-spool" else 0)
        self._more_work(JOBS)

    async def _shut_the_store(self):
        await asyncio.to_thread(wait_until, self._both_busy, what="work in both workers' hands")
        self.relay.shut()
        self.away.append(time.time())
        asyncio.get_running_loop().call_later(AWAY_SECONDS, self._open_the_store)

    def _both_busy(self):
        busy = {line["pid"] for line in self.journal() if line["what"] == "answered"}
        return len(self.gateway.workers) == 2 and {worker.pid for worker in self.gateway.workers} <= busy

    def _open_the_store(self):
        self.relay.open()
        self.away.append(time.time())

    def _more_work(self, jobs):
        for _ in range(jobs):
            self.work.release()

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


@pytest.fixture
def chaos(redis_url, azurite, simulator, tmp_path):
    simulator.bench.delay, simulator.bench.jitter = 0.6, 0.4
    with running_relay(azurite.port) as relay:
        told = {
            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string.replace(str(azurite.port), str(relay.port)),
            "AZURE_STORAGE_CONTAINER": "chaos",
            "DARKROOM_LEASE_SECONDS": "3",
            "DARKROOM_WORKER_SLOTS": "6",
            "DARKROOM_LOG_LEVEL": "error",
            "PYTHONPATH": f"{ROOT}:{KILLER}",
            "KILLER_FOLDER": str(tmp_path),
        }
        with running_gateway(redis_url, simulator, workers=2, logs=tmp_path, **told) as gateway:
            yield Chaos(gateway, relay, tmp_path)


async def run_all(chaos):
    """Every job at its end, with the checksums of its pictures as a stranger downloads them."""
    async with (
        chaos.gateway.async_client() as client,
        httpx.AsyncClient(timeout=30) as stranger,
        asyncio.TaskGroup() as tasks,
    ):
        nurse = tasks.create_task(chaos.keep_alive())
        killer = tasks.create_task(chaos.kill_on())

        async def one(number):
            await chaos.work.acquire()
            made = await client.post("/api/v1/jobs", json=body(number))
            assert made.status_code == 202, made.text
            path, job = f"/api/v1/jobs/{made.json()['data']['id']}", {}
            while "finishedAt" not in job:
                job = (await client.get(f"{path}?wait=60&until=terminal")).json()["data"]
            return job

        jobs = await asyncio.gather(*(one(number) for number in range(JOBS)))
        killer.cancel()
        await asyncio.wait([killer])
        for job in jobs:
            result = job.get("result", {})
            urls = [image["url"] for image in result.get("images", [result])] if result else []
            job["sums"] = [hashlib.sha256((await stranger.get(url)).content).hexdigest() for url in urls]
        nurse.cancel()
    return jobs


class Witness:
    """What the journals prove: who began a call, what was stored, who died when."""

    def __init__(self, journal):
        self.journal = journal
        self.kills = [e for e in journal if e["what"] == "killed"]
        self.killed = {e["pid"]: e["at"] for e in self.kills}
        self.began = {(e["job"], e["call"]): e["pid"] for e in journal if e["what"] == "intending"}
        self.blobs = {(e["job"], e["call"], e["index"]): e["blob"] for e in journal if e["what"] == "storing"}
        self.stored = {e["blob"]: e["at"] for e in reversed(journal) if e["what"] == "stored"}

    def excuse(self, job, attempt):
        """Why an unknown outcome is no wonder: None when the engine should have known better."""
        pid = self.began[job["id"], attempt["call"]]
        names = [self.blobs.get((job["id"], attempt["call"], index)) for index in attempt["indexes"]]
        if pid not in self.killed or all(self.stored.get(name, math.inf) < self.killed[pid] for name in names):
            return None
        return self.killed[pid]

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
            "an outcome is unknown that was known": all(witness.excuse(job, a) for a in unknown),
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
    shut, back = chaos.away
    calm = [seconds for died, seconds in witness.recoveries() if not shut - 3 < died < back]
    rough = [seconds for died, seconds in witness.recoveries() if shut - 3 < died < back]
    ends = Counter(
        f"{job['status']}{' in part' if 0 < len(job['sums']) < job['request']['n'] else ''}"
        f" (onAmbiguous {body(int(job['clientReference']))['onAmbiguous']})"
        for job in jobs
    )
    away = sum(shut < at < back for at in witness.killed.values())
    facts = {
        f"{len(witness.kills)} kills in {took:.0f} s": Counter(k["moment"] for k in witness.kills),
        f"{len(jobs)} jobs": ends,
        f"{len(calls)} calls, in the ledger": Counter(a["outcome"] for job in jobs for a in job["attempts"]),
        f"blob store away {back - shut:.0f} s": {"kills meanwhile": away},
        "kill to next claim, store there": _spread(calm),
        "kill to next claim, store away": _spread(rough),
    }
    return "\n".join(f"{name:>34} | " + ", ".join(f"{k} {v}" for k, v in fact.items()) for name, fact in facts.items())


def _spread(seconds):
    if not seconds:
        return {"jobs": 0}
    return {"jobs": len(seconds), "p50": f"{statistics.median(seconds):.1f} s", "worst": f"{max(seconds):.1f} s"}


@pytest.mark.timeout(900)  # what hangs ends; a busy machine takes its time
def test_no_kill_and_no_outage_loses_a_picture_or_buys_one_twice(chaos, simulator):
    begun = time.monotonic()

    jobs = asyncio.run(run_all(chaos))
    wait_until(lambda: chaos.spooled() == [], what="an empty spool")

    calls, witness = simulator.bench.calls(), Witness(chaos.journal())
    print("\n" + table(jobs, calls, witness, chaos, time.monotonic() - begun))  # noqa: T201  # the findings
    moments = Counter(kill["moment"] for kill in witness.kills)
    assert list(violations(jobs, calls, witness)) == []
    assert sorted(chaos.killed) == sorted(witness.killed)
    assert len(witness.kills) >= 20
    assert min(moments[moment] for moment in MOMENTS) >= 2
    assert witness.reached(calls, jobs) >= 2
    assert chaos.away[1] - chaos.away[0] >= AWAY_SECONDS


def test_an_answer_of_two_pictures_of_which_one_was_on_disk_is_completed_when_the_job_asked_for_it(chaos, simulator):
    with chaos.gateway.client() as client:
        job_id = client.post("/api/v1/jobs", json=body(15)).json()["data"]["id"]
        wait_until(lambda: simulator.bench.calls() != [], what="the call")
        chaos.relay.shut()

        def looked():
            return client.get(f"/api/v1/jobs/{job_id}").json()["data"]

        wait_until(lambda: looked()["phase"] == "uploading", what="the first picture on disk")
        for worker in chaos.gateway.workers:
            worker.kill()
        chaos.relay.open()
        chaos.gateway.start_worker()
        job = client.get(f"/api/v1/jobs/{job_id}?wait=30&until=terminal").json()["data"]

    assert (job["status"], len(job["result"]["images"])) == ("succeeded", 2)
