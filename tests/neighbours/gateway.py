"""A whole gateway: API and worker processes as in production, on real neighbours."""

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt
import redis

from app.simulator.server import Simulator
from jobs.redis.keys import Keys
from jobs.store.packing import unsqueeze
from tests.neighbours import free_port, start, stop, wait_until
from tests.neighbours.preloaded import start_darkroom

ROOT = str(Path(__file__).parents[2])
SECRET = "a secret that only the tests and their gateway know"
STARTING_SECONDS = 100
"""On a machine with much else to do; a start takes a second or two."""

UNENDING = httpx.Limits(max_connections=400, keepalive_expiry=None)
"""No connection is idle for too long: httpcore closes one that is, also when a request was just given to it."""


class Gateway:
    """Processes that tests may kill. `worker` and `api` are the newest of each kind."""

    def __init__(self, environment: Mapping[str, str], port: int) -> None:
        self.environment = dict(environment)
        self.url = f"http://127.0.0.1:{port}"
        self.children = []
        self.api = None
        self.workers = []
        self.logs: Path | None = None
        """A folder for what the processes write; None: they write where the tests do."""
        self.preloaded = environment["PYTHONPATH"] == ROOT
        """Whether processes begin with everything imported."""

    def start_api(self):
        self.api = self.start("api")
        wait_until(self.ready, STARTING_SECONDS, what="the API")
        return self.api

    def start_worker(self):
        """Not waited for: it takes its first job once it has loaded what it calls with."""
        worker = self.start("worker")
        self.workers.append(worker)
        return worker

    def working(self) -> bool:
        """Whether every worker offers its slots."""
        assert all(worker.poll() is None for worker in self.workers), "a worker ended"
        keys = Keys(self.environment.get("DARKROOM_REDIS_PREFIX", "{darkroom}:"))
        with redis.Redis.from_url(self.environment["REDIS_URL"]) as client:
            return client.zcard(keys.workers) >= len(self.workers)

    def ready(self) -> bool:
        assert self.api.poll() is None, "the API ended"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def client(self, org: str = "acme", *, scope: str = "write:image-gen read:image-gen", **claims) -> httpx.Client:
        """A caller of that org."""
        headers = {"Authorization": f"Bearer {token(org, scope=scope, **claims)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=150, trust_env=False)

    def async_client(self, org: str = "acme") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token(org)}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=150, trust_env=False, limits=UNENDING)

    def blobs(self, below: str) -> list[str]:
        """Names of the stored blobs below a folder of the local store."""
        root = Path(self.environment["DARKROOM_DATA_DIR"]) / "blobs" / "files"
        return sorted(p.relative_to(root).as_posix() for p in (root / below).rglob("*") if p.is_file())

    def spooled(self) -> list[str]:
        """Names of the pictures that wait on disk."""
        return sorted(p.name for p in Path(self.environment["DARKROOM_DATA_DIR"], "spool").glob("*.picture"))

    def wait_for_an_empty_spool(self) -> None:
        """A job has its end first, its copy on disk after it."""
        wait_until(lambda: not self.spooled(), 60, "an empty spool")

    def redis_keys_holding(self, text: str) -> list[str]:
        """Every key of the queue's Redis in whose bytes the text occurs."""
        with redis.Redis.from_url(self.environment["REDIS_URL"]) as client:
            return sorted(k.decode() for k in client.scan_iter(count=1000) if text in repr(_content(client, k)))

    def abandoned(self, by_ms: float = 0) -> int:
        """How many jobs are nobody's, whose caller was seen to leave, or was to wait until `by_ms` at the latest."""
        with redis.Redis.from_url(self.environment["REDIS_URL"]) as client:
            return sum(client.zcount(key, "-inf", by_ms) for key in client.scan_iter("*:undelivered:*", count=1000))

    @contextmanager
    def asking(
        self, path: str, body: Mapping[str, object], org: str = "acme", *, credential: str | None = None
    ) -> Iterator[None]:
        """Somebody who asks and reads no answer; at the end it hangs up, and the gateway has seen that."""
        before = self.abandoned()
        headers = {"Authorization": f"Bearer {credential or token(org)}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"))
        connection.request("POST", path, json.dumps(body), headers)
        yield
        connection.close()
        wait_until(lambda: self.abandoned() > before, what="the hanging up to be seen")

    def stop(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            stop(child)

    def start(self, name: str):
        """A process, not waited for."""
        log = self.logs / f"{name}.log" if self.logs else None
        begin = start_darkroom if self.preloaded else _from_nothing
        child = begin([name], self.environment, log)
        self.children.append(child)
        return child


def _from_nothing(arguments: Sequence[str], environment: Mapping[str, str], log: Path | None):
    command = [sys.executable, "-m", "app.cli", *arguments]
    if log is None:
        return start(command, env=environment)
    with log.open("ab") as file:
        return start(command, env=environment, stderr=file)


def _content(client: redis.Redis, key: bytes) -> list[bytes]:
    """All that a key holds, in plain words: what is kept small is made readable."""
    match client.type(key):
        case b"string":
            found = [client.get(key) or b""]
        case b"hash":
            found = [part for pair in client.hgetall(key).items() for part in pair]
        case b"zset":
            found = client.zrange(key, 0, -1)
        case b"set":
            found = list(client.smembers(key))
        case b"list":
            found = client.lrange(key, 0, -1)
        case b"none":  # it has ended meanwhile
            found = []
        case kind:
            raise AssertionError(kind)
    return [unsqueeze(part) for part in found]


def token(org: str | None, *, scope: str = "write:image-gen read:image-gen", **claims) -> str:
    content = {"sub": "tester", "scope": scope, "exp": int(time.time()) + 3600, **claims}
    if org is not None:
        content["org_id"] = org
    return jwt.encode(content, SECRET, "HS256")


def environment(redis_url: str, simulator: Simulator, folder: str, port: int, **settings: str) -> dict[str, str]:
    """What API and worker are told, with every far end played by the simulator; `settings` by variable, "" for none."""
    told = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ROOT,
        **{k: v for k, v in os.environ.items() if k.startswith("COV")},
        "REDIS_URL": redis_url,
        "JWT_SECRET": SECRET,
        "DARKROOM_SECRET_KEY": base64.b64encode(bytes(32)).decode(),
        "DARKROOM_PORT": str(port),
        "DARKROOM_DATA_DIR": folder,
        "DARKROOM_DEV": "1",
        "DARKROOM_DRAIN_SECONDS": "5",
        "DARKROOM_LOG_LEVEL": "warning",
        "AZURE_STORAGE_PUBLIC": "1",
        "AZURE_OPENAI_IMAGE_ENDPOINT": simulator.url,
        "AZURE_OPENAI_IMAGE_API_KEY": "a-key",
        "AZURE_OPENAI_IMAGE_API_VERSION": "2025-04-01-preview",
        "OPENAI_API_KEY": "a-key",
        "OPENAI_BASE_URL": f"{simulator.url}/v1",
        "GOOGLE_API_KEY": "a-key",
        "GOOGLE_GEMINI_BASE_URL": simulator.url,
        **settings,
    }
    return {name: value for name, value in told.items() if value}


@contextmanager
def running_gateway(
    redis_url: str, simulator: Simulator, *, workers: int = 1, logs: Path | None = None, **settings: str
) -> Iterator[Gateway]:
    """API and workers, ready to serve; `settings` by variable."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(environment(redis_url, simulator, folder, port, **settings), port)
        gateway.logs = logs
        try:
            for _ in range(workers):
                gateway.start_worker()
            gateway.start_api()
            wait_until(gateway.working, STARTING_SECONDS, what="the workers")
            yield gateway
        finally:
            gateway.stop()
